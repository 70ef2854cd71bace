"""Boxes, their classes and the pixels in them move together, and crops are those published for SSD."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_model.errors import SpecError
from pipelines.data import Augmentation, Objects
from pipelines.data.box_augment import (
    ASPECT,
    SHARES,
    change,
    check_augmentation,
    flipped,
    seen_through,
    shown_shares,
    ssd_window,
)

SIDES = st.tuples(st.integers(0, 14), st.integers(1, 16)).map(
    lambda two: (two[0] / 16, two[1] / 16)
)


@st.composite
def objects(draw: st.DrawFn, least: int = 0) -> Objects:
    """Up to six boxes whose corners lie on sixteenths, which flips keep exact."""
    count = draw(st.integers(least, 6))
    spans = draw(
        st.lists(SIDES.filter(lambda s: s[0] < s[1]), min_size=2 * count, max_size=2 * count)
    )
    boxes = [
        (spans[2 * i][0], spans[2 * i + 1][0], spans[2 * i][1], spans[2 * i + 1][1])
        for i in range(count)
    ]
    return made(boxes, draw(st.lists(st.booleans(), min_size=count, max_size=count)))


def made(
    boxes: list[tuple[float, float, float, float]], crowd: list[bool] | None = None
) -> Objects:
    """Objects of classes 0, 1, 2, ..."""
    return Objects(
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        classes=np.arange(len(boxes)),
        crowd=np.array(crowd or [False] * len(boxes), dtype=bool),
    )


def painted(found: Objects, height: int, width: int) -> np.ndarray:
    """An image (H, W, 3) with every object as a rectangle of 20 + 10 times its class."""
    image = np.zeros((height, width, 3), np.uint8)
    for box, label in zip(found.boxes, found.classes, strict=True):
        top, left, bottom, right = np.round(box * np.array([height, width] * 2)).astype(int)
        image[top:bottom, left:right] = 20 + 10 * label
    return image


@given(objects())
def test_two_flips_are_none(one: Objects) -> None:
    twice = flipped(flipped(one))
    np.testing.assert_array_equal(twice.boxes, one.boxes)
    np.testing.assert_array_equal(flipped(one).boxes[:, [0, 2]], one.boxes[:, [0, 2]])
    np.testing.assert_array_equal(flipped(one).boxes[:, 1], 1 - one.boxes[:, 3])


@settings(deadline=None)
@given(objects(), st.integers(0, 10**6), st.sampled_from([(32, 32), (24, 80), (96, 16)]))
def test_boxes_stay_in_the_image_with_an_area_and_their_classes(
    one: Objects, seed: int, shape: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    images = np.zeros((1, *shape, 3), np.uint8)
    images, (after,) = change(images, [one], Augmentation(ssd_crop=True, flip=True), rng, (20, 30))
    assert images.shape == (1, 20, 30, 3)
    assert after.boxes.dtype == np.float32
    assert (after.boxes >= 0).all()
    assert (after.boxes <= 1).all()
    assert (after.boxes[:, :2] < after.boxes[:, 2:]).all()
    assert (np.diff(after.classes) > 0).all()  # some of the classes, in their order
    np.testing.assert_array_equal(after.crowd, one.crowd[after.classes])


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_pixels_follow_their_box(seed: int) -> None:
    one = made([(0.0625, 0.125, 0.4375, 0.5), (0.5, 0.5625, 0.9375, 1.0)])
    images = painted(one, 64, 64)[None]
    changes = Augmentation(ssd_crop=True, flip=True)
    images, (after,) = change(images, [one], changes, np.random.default_rng(seed), (64, 64))
    for box, label in zip(after.boxes * 64, after.classes, strict=True):
        top, left, bottom, right = np.round(box).astype(int)
        # Two pixels at an edge are blurred where a crop is enlarged three times.
        inner = images[0, top + 3 : bottom - 3, left + 3 : right - 3]
        assert (inner == 20 + 10 * label).all()
    seen = {int(value) for value in np.unique(images)} & {20, 30}
    assert {20 + 10 * int(label) for label in after.classes if _large(after, label)} <= seen


def _large(found: Objects, label: int) -> bool:
    top, left, bottom, right = found.boxes[found.classes == label][0]
    return min(bottom - top, right - left) > 0.1


@settings(deadline=None)
@given(objects(least=1), st.integers(0, 10**6), st.sampled_from([0.5, 1.0, 1.6]))
def test_a_crop_is_of_the_published_kind(one: Objects, seed: int, aspect: float) -> None:
    window, share = ssd_window(one, aspect, np.random.default_rng(seed))
    assert share in SHARES
    height, width = window[2:] - window[:2]
    if (height, width) == (1, 1):
        return
    assert 0.1 - 1e-9 <= height * width <= 1
    assert ASPECT[0] - 1e-9 <= width / height / aspect <= ASPECT[1] + 1e-9
    counted = one.boxes[~one.crowd] if (~one.crowd).any() else np.array([[0, 0, 1, 1]])
    assert shown_shares(window[None], counted.astype(np.float64)).max() >= share


def test_what_is_drawn_is_balanced() -> None:
    rng = np.random.default_rng(0)
    one = made([(0.25, 0.25, 0.75, 0.75)])
    drawn = [ssd_window(one, 1.0, rng) for _ in range(2000)]
    whole = np.mean([window.tolist() == [0, 0, 1, 1] for window, _ in drawn])
    assert 0.12 < whole < 0.18
    shares = [share for window, share in drawn if window.tolist() != [0, 0, 1, 1]]
    counts = np.array([shares.count(share) for share in SHARES]) / len(shares)
    assert (np.abs(counts - 1 / 7) < 0.03).all()
    middles = np.mean([window for window, _ in drawn], axis=0)
    assert np.abs(middles + middles[[2, 3, 0, 1]] - 1).max() < 0.03  # no side is preferred


def test_an_object_stays_by_its_share_not_by_its_centre() -> None:
    window = np.array([0.0, 0.0, 1.0, 0.5])
    one = made([(0, 0.4, 1, 0.9), (0, 0.4, 1, 0.9), (0, 0.6, 1, 0.9)], [False, True, True])
    assert seen_through(window, one, 0.3).classes.tolist() == [1]  # a fifth of it is seen
    kept = seen_through(window, one, 0.1)
    assert kept.classes.tolist() == [0, 1]
    np.testing.assert_allclose(kept.boxes[0], [0, 0.8, 1, 1], atol=1e-6)


def test_an_image_without_objects_is_cropped_to_a_share_of_itself() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        window, share = ssd_window(made([]), 1.0, rng)
        assert (window[2:] - window[:2]).prod() >= share
        assert len(seen_through(window, made([]), share)) == 0


def test_a_very_long_image_stays_whole_where_no_crop_fits() -> None:
    # A full-width band of the largest aspect would still be less than a tenth of the area.
    window, _ = ssd_window(made([(0, 0, 1, 1)]), 40.0, np.random.default_rng(3))
    assert window.tolist() == [0, 0, 1, 1]


def test_the_same_generator_gives_the_same_and_nothing_is_changed_in_place() -> None:
    one = made([(0.1, 0.2, 0.6, 0.9)])
    images = np.random.default_rng(5).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    before, boxes = images.copy(), one.boxes.copy()
    augmentation = Augmentation(ssd_crop=True, flip=True)
    left, right = (
        change(images, [one] * 4, augmentation, np.random.default_rng(9), (16, 16))
        for _ in range(2)
    )
    np.testing.assert_array_equal(left[0], right[0])
    for a, b in zip(left[1], right[1], strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
    np.testing.assert_array_equal(images, before)
    np.testing.assert_array_equal(one.boxes, boxes)
    assert len({found.boxes.tobytes() for found in left[1]}) > 1


def test_nothing_asked_for_resizes_alone() -> None:
    one = made([(0.1, 0.2, 0.6, 0.9)])
    images, (after,) = change(
        np.zeros((1, 8, 12, 3), np.uint8), [one], Augmentation(), np.random.default_rng(0), (6, 6)
    )
    assert images.shape == (1, 6, 6, 3)
    assert after is one


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("shift_pixels", 2),
        ("cutout_pixels", 4),
        ("crop_area", (0.5, 1.0)),
        ("scale", (0.5, 2.0)),
        ("policy", "v0"),
        ("mixup_alpha", 0.2),
    ],
)
def test_changes_of_other_tasks_are_refused(field: str, value: object) -> None:
    wrong = dataclasses.replace(Augmentation(flip=True, ssd_crop=True), **{field: value})
    with pytest.raises(SpecError, match=rf"^augmentation\.{field}: .*flip and ssd_crop"):
        check_augmentation(wrong)
    check_augmentation(Augmentation(flip=True, ssd_crop=True))

"""Boxes over images: where their lines run, which colour and name they have, on images of any size."""

import numpy as np
import pytest

from model_zoo.detection.nms import Detections
from pipelines.data.dataset import Images, Objects
from pipelines.report.boxes import class_colour, draw_boxes
from pipelines.report.detect import matched

NAMES = ("cat", "dog")


def objects(*boxes: tuple[float, ...], label: int = 0, crowd: bool = False) -> Objects:
    return Objects(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.full(len(boxes), label, np.int64),
        crowd=np.full(len(boxes), crowd, np.bool_),
    )


def found(*boxes: tuple[float, ...], score: float = 0.5) -> Detections:
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.zeros(len(boxes), np.int64),
        scores=np.full(len(boxes), score, np.float32),
    )


def grey(height: int, width: int, channels: int = 3) -> Images:
    return np.full((height, width, channels), 90, np.uint8)


def test_lines_run_along_the_border_of_the_box() -> None:
    shown = draw_boxes(grey(100, 200), objects((0.4, 0.25, 0.8, 0.5)), NAMES)
    colour = np.all(shown == class_colour(0), axis=-1)
    # Rows 40 to 79 and columns 50 to 99 are the object's own pixels.
    assert colour[79, 50:100].all()
    assert colour[40:80, 50].all()
    assert colour[40:80, 99].all()
    assert not colour[80:].any()
    assert not colour[:, 100:].any()
    np.testing.assert_array_equal(shown[45:75, 55:95], grey(30, 40))
    np.testing.assert_array_equal(shown[90:], grey(10, 200))


def test_classes_have_colours_of_their_own_and_none_is_the_backgrounds() -> None:
    colours = {class_colour(label) for label in range(90)}
    assert len(colours) == 90
    assert (0, 0, 0) not in colours
    box = (0.4, 0.1, 0.9, 0.9)
    cat, dog = (draw_boxes(grey(99, 99), objects(box, label=label), NAMES) for label in (0, 1))
    assert (cat[85:90] == class_colour(0)).all(-1).any()
    assert (dog[85:90] == class_colour(1)).all(-1).any()


def test_a_score_and_a_crowd_are_written_beside_the_name() -> None:
    box, image = (0.4, 0.1, 0.9, 0.9), grey(200, 200)
    with_score = draw_boxes(image, found(box), NAMES)
    without = draw_boxes(image, found(box), NAMES, scores=False)
    other = draw_boxes(image, found(box, score=0.9), NAMES)
    assert (with_score != without).any()
    assert (with_score != other).any()
    np.testing.assert_array_equal(without, draw_boxes(image, objects(box), NAMES))
    crowd = draw_boxes(image, objects(box, crowd=True), NAMES)
    assert (crowd != without).any()


def test_the_surest_lies_on_top() -> None:
    both = Detections(
        boxes=np.array([[0.3, 0.3, 0.9, 0.9]] * 2, np.float32),
        classes=np.array([1, 0]),
        scores=np.array([0.9, 0.4], np.float32),
    )
    first = draw_boxes(grey(200, 200), both.above(0.8), NAMES)
    np.testing.assert_array_equal(draw_boxes(grey(200, 200), both, NAMES)[80:], first[80:])


@pytest.mark.parametrize(
    ("size", "channels"), [((1, 1), 3), ((5, 300), 1), ((28, 28), 1), ((700, 40), 3)]
)
def test_an_image_of_any_size_keeps_it(size: tuple[int, int], channels: int) -> None:
    boxes = ((0, 0, 1, 1), (0.5, 0.5, 0.5, 0.5), (0.99, 0.99, 1, 1), (-1, 0.2, 3, 0.7))
    shown = draw_boxes(grey(*size, channels), objects(*boxes, label=7), NAMES)
    assert shown.shape == (*size, 3)
    assert shown.dtype == np.uint8
    assert (shown != 90).any()


def test_without_objects_the_image_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    np.testing.assert_array_equal(draw_boxes(image, objects(), NAMES), image)
    np.testing.assert_array_equal(draw_boxes(image, found(), NAMES), image)


def test_an_object_is_matched_by_one_box_of_its_class() -> None:
    left, right = (0.1, 0.1, 0.5, 0.4), (0.2, 0.6, 0.9, 0.9)
    assert matched(found(left, right), objects(left, right)) == 2
    assert matched(found(left, left), objects(left, right)) == 1
    assert matched(found(left), objects(left, left)) == 1
    assert matched(found(left), objects(left, label=1)) == 0
    assert matched(found(left), objects(left, crowd=True)) == 0
    assert matched(found((0.1, 0.1, 0.5, 0.24)), objects(left)) == 0  # 0.47 of it
    assert matched(found(left), objects()) == matched(found(), objects(left)) == 0


def test_a_small_image_is_enlarged_so_that_its_names_can_be_read() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    shown = draw_boxes(image, objects(), NAMES, least_side=10)
    assert shown.shape == (12, 16, 3)
    np.testing.assert_array_equal(shown[::4, ::4, 0], image[..., 0])
    assert draw_boxes(image, objects(), NAMES, least_side=2).shape == (3, 4, 3)

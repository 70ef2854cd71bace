"""Batches are a pure function of (seed, epoch, batch), and augmentation does what it says."""

from typing import Any

import numpy as np
import pytest

from hw_model.errors import SpecError, UsageError
from model_zoo.preprocessing import Preprocessing
from pipelines.data import (
    ArraySplit,
    Augmentation,
    LabelBatches,
    augment,
    autoaugment,
    load_dataset,
)
from pipelines.data.resize import resize, to_channels

EVERYTHING = Augmentation(
    flip=True,
    shift_pixels=2,
    cutout_pixels=8,
    crop_area=(0.5, 1.0),
    policy="v0",
    mixup_alpha=0.2,
)


def identity(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32)


def batches_of(**changes: Any) -> LabelBatches:
    arguments: dict[str, Any] = {
        "batch_size": 64,
        "num_classes": 10,
        "preprocessing": identity,
        "training": True,
        "augmentation": EVERYTHING,
        "seed": 5,
    }
    return LabelBatches(load_dataset().train, **{**arguments, **changes})


def test_the_same_triple_gives_the_same_batch_in_any_order() -> None:
    forward, backward = batches_of(), batches_of()
    first = [forward[index] for index in (0, 1)]
    second = [backward[index] for index in (1, 0)][::-1]
    for (images, targets), (again, targets_again) in zip(first, second, strict=True):
        np.testing.assert_array_equal(images, again)
        np.testing.assert_array_equal(targets, targets_again)


@pytest.mark.parametrize("change", ["seed", "epoch", "index"])
def test_another_triple_gives_another_batch(change: str) -> None:
    plain, changed = batches_of(), batches_of(seed=6 if change == "seed" else 5)
    changed.epoch = int(change == "epoch")
    images, _ = plain[0]
    others, _ = changed[int(change == "index")]
    assert (images != others).any()


def test_an_epoch_visits_every_image_once_but_for_the_incomplete_batch() -> None:
    batches = batches_of()
    visited = np.concatenate([batches.indices(index) for index in range(len(batches))])
    assert len(batches) == 3000 // 64
    assert len(set(visited.tolist())) == len(visited) == len(batches) * 64


def test_evaluation_keeps_order_and_the_last_images_and_changes_nothing() -> None:
    split = load_dataset().test
    batches = LabelBatches(
        split,
        batch_size=400,
        num_classes=10,
        preprocessing=identity,
        augmentation=EVERYTHING,
    )
    images = np.concatenate([batches[index][0] for index in range(len(batches))])
    targets = np.concatenate([batches[index][1] for index in range(len(batches))])
    np.testing.assert_array_equal(images, split.read(range(1500)))
    np.testing.assert_array_equal(targets.argmax(axis=1), split.labels)
    with pytest.raises(IndexError):
        batches[4]


def test_images_reach_the_model_in_its_own_shape() -> None:
    images, targets = batches_of(input_shape=(32, 32, 3))[0]
    assert images.shape == (64, 32, 32, 3)
    assert images.dtype == np.float32
    assert targets.shape == (64, 10)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-6)


def test_training_and_evaluation_resize_alike() -> None:
    split = load_dataset("digits").train
    zoo = Preprocessing(height=28, width=28, channels=1)
    arguments: dict[str, Any] = {"batch_size": len(split), "num_classes": 10, "preprocessing": zoo}
    shape = (28, 28, 1)
    training = LabelBatches(split, training=True, input_shape=shape, **arguments)
    evaluation = LabelBatches(split, input_shape=shape, **arguments)
    order = training.indices(0)
    np.testing.assert_array_equal(training[0][0], evaluation[0][0][order])


def test_a_batch_size_must_be_positive() -> None:
    with pytest.raises(UsageError, match="batch_size"):
        batches_of(batch_size=0)
    assert batches_of(batch_size=10_000).batch_size == 3000


def test_flip_mirrors_about_half() -> None:
    images = load_dataset().train.read(range(200))
    flipped = augment.flip(images, np.random.default_rng(0))
    mirrored = [index for index in range(200) if (flipped[index] == images[index][:, ::-1]).all()]
    untouched = [index for index in range(200) if (flipped[index] == images[index]).all()]
    assert len(mirrored) + len(untouched) >= 200
    assert 70 <= len(mirrored) <= 130


def test_shift_moves_and_fills_with_zeros() -> None:
    images = np.full((50, 6, 5, 1), 9, np.uint8)
    images[:, 2, 2] = 200
    shifted = augment.shift(images, np.random.default_rng(0), 2)
    where = np.argwhere(shifted[..., 0] == 200)
    assert len(where) == 50
    offsets = where[:, 1:] - 2
    assert set(map(tuple, offsets.tolist())) <= {(y, x) for y in range(-2, 3) for x in range(-2, 3)}
    assert len(set(map(tuple, offsets.tolist()))) > 10
    down = shifted[offsets[:, 0] == 2]
    assert len(down)
    assert (down[:, :2] == 0).all()


def test_cutout_takes_a_square_of_the_chosen_images() -> None:
    images = np.full((400, 20, 20, 1), 255, np.uint8)
    out = augment.cutout(images, np.random.default_rng(0), 8, 0.5, 7)
    holes = (out == 7).sum(axis=(1, 2, 3))
    assert 140 <= (holes > 0).sum() <= 260
    assert holes.max() == 64
    assert set(np.unique(out)) == {7, 255}


def test_crop_boxes_keep_area_and_aspect_inside_the_image() -> None:
    boxes = augment.crop_boxes(500, 60, 80, np.random.default_rng(0), (0.2, 0.6), (0.75, 4 / 3))
    left, top, right, bottom = boxes.T
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (right <= 80).all()
    assert (bottom <= 60).all()
    share = (right - left) * (bottom - top) / 4800
    assert (share <= 0.6 + 1e-9).all()
    assert (share > 0.15).all()


def test_mixup_keeps_distributions() -> None:
    rng = np.random.default_rng(0)
    images = rng.random((8, 2, 2, 1), dtype=np.float32)
    targets = np.eye(8, dtype=np.float32)
    mixed, mixed_targets = augment.mixup(images, targets, rng, 1.0)
    np.testing.assert_allclose(mixed_targets.sum(axis=1), 1.0, rtol=1e-6)
    # The images are mixed with the very weights the targets show.
    np.testing.assert_allclose(mixed, np.einsum("ij,jhwc->ihwc", mixed_targets, images), atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [
        {"shift_pixels": -1},
        {"cutout_probability": 1.5},
        {"crop_area": (0.0, 1.0)},
        {"crop_area": (0.8, 0.5)},
        {"crop_aspect": (0.0, 1.0)},
        {"policy": "v9"},
    ],
)
def test_impossible_augmentation_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings)).split("_")[0]):
        Augmentation(**settings)


@pytest.mark.parametrize("channels", [1, 3])
def test_autoaugment_is_deterministic_and_changes_images(channels: int) -> None:
    images = to_channels(load_dataset().train.read(range(100)), channels)
    once = autoaugment.apply(images, np.random.default_rng(3))
    again = autoaugment.apply(images, np.random.default_rng(3))
    np.testing.assert_array_equal(once, again)
    changed = sum((a != b).any() for a, b in zip(images, once, strict=True))
    assert changed > 60


def test_autoaugment_has_the_published_sub_policies() -> None:
    assert len(autoaugment.POLICY_V0) == 25
    used = {name for steps in autoaugment.POLICY_V0 for name, _, _ in steps}
    assert {"solarize_add", "invert", "posterize"} <= used


def test_gray_and_colour_convert_both_ways() -> None:
    gray = load_dataset().train.read(range(4))
    colour = to_channels(gray, 3)
    assert colour.shape == (4, 28, 28, 3)
    np.testing.assert_array_equal(to_channels(colour, 1), gray)
    assert resize(colour, (14, 20)).shape == (4, 14, 20, 3)


def test_splits_of_any_shape_make_batches() -> None:
    split = ArraySplit(np.zeros((3, 5, 7, 3), np.uint8), [0, 1, 1])
    images, _ = LabelBatches(split, batch_size=2, num_classes=2, preprocessing=identity)[1]
    assert images.shape == (1, 5, 7, 3)


@pytest.mark.parametrize("change", [{"scale": (0.5, 2.0)}, {"ssd_crop": True}])
def test_changes_of_other_tasks_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"augmentation.{next(iter(change))}.*use crop_area here"):
        batches_of(augmentation=Augmentation(**change))

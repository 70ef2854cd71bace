"""Image and mask change together, reproducibly, and a mask that cannot be is refused."""

from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, SpecError
from model_zoo.preprocessing import Preprocessing
from pipelines.data import IGNORED, Augmentation, MaskArraySplit
from pipelines.data.mask_batches import MaskBatches, window

CLASSES = 5


def marked(count: int = 6, height: int = 12, width: int = 16) -> MaskArraySplit:
    """Images whose red channel is 40 times the class of the pixel."""
    masks = np.random.default_rng(3).integers(0, CLASSES, (count, height, width), dtype=np.uint8)
    images = np.zeros((count, height, width, 3), np.uint8)
    images[..., 0] = 40 * masks
    return MaskArraySplit(images, masks)


def batches(split: MaskArraySplit, **changes: Any) -> MaskBatches:
    settings: dict[str, Any] = {
        "batch_size": 3,
        "num_classes": CLASSES,
        "preprocessing": lambda images: images,
        "training": True,
        "seed": 1,
    }
    return MaskBatches(split, **{**settings, **changes})


def test_a_flip_moves_image_and_mask_alike_and_about_half_of_them() -> None:
    split = marked(count=200)
    images, masks = batches(split, batch_size=200, augmentation=Augmentation(flip=True))[0]
    np.testing.assert_array_equal(images[..., 0], 40 * masks)
    order = batches(split, batch_size=200).indices(0)
    kept = (masks == split.read_pairs(order)[1]).all(axis=(1, 2))
    assert 60 < kept.sum() < 140


def test_scaling_keeps_every_counted_pixel_with_its_class() -> None:
    # Blocks of 8 pixels: away from their edges bilinear and nearest agree.
    coarse = np.random.default_rng(0).integers(0, CLASSES, (8, 8, 8), dtype=np.uint8)
    masks = coarse.repeat(8, axis=1).repeat(8, axis=2)
    images = np.repeat(40 * masks[..., None], 3, axis=-1)
    split = MaskArraySplit(images, masks)
    changed = batches(split, batch_size=8, augmentation=Augmentation(scale=(0.5, 2.0), flip=True))
    images, masks = changed[0]
    assert images.shape == (8, 64, 64, 3)
    assert masks.shape == (8, 64, 64)
    counted = masks != IGNORED
    assert 0.3 < counted.mean() < 1  # some were made smaller
    agree = np.abs(images[..., 0] - 40.0 * masks)[counted] < 20
    assert agree.mean() > 0.8
    assert (images[~counted] == 127).mean() > 0.9


def test_batches_are_a_function_of_seed_epoch_and_place() -> None:
    augmentation = Augmentation(scale=(0.5, 2.0), flip=True)
    one, same = (batches(marked(), augmentation=augmentation) for _ in range(2))
    for left, right in zip(one[1], same[1], strict=True):
        np.testing.assert_array_equal(left, right)
    same.epoch = 1
    assert any((a != b).any() for a, b in zip(one[1], same[1], strict=True))


def test_training_brings_both_to_the_input_size_and_evaluation_leaves_masks() -> None:
    size = Preprocessing(height=8, width=8)
    images, masks = batches(marked(), preprocessing=size, input_shape=(8, 8, 3))[0]
    assert (images.shape, masks.shape) == ((3, 8, 8, 3), (3, 8, 8))
    images, masks = batches(marked(), preprocessing=size, input_shape=(8, 8, 3), training=False)[0]
    assert (images.shape, masks.shape) == ((3, 8, 8, 3), (3, 12, 16))


def test_a_window_beyond_the_image_shows_gray_and_is_ignored() -> None:
    image, mask = np.full((4, 4, 3), 9, np.uint8), np.ones((4, 4), np.uint8)
    shown, classes = window(image, mask, np.array([-2.0, -4.0, 6.0, 4.0]), (8, 8))
    assert (classes[4:, 2:6] == 1).all()
    assert (shown[4:, 2:6] == 9).all()
    outside = np.ones((8, 8), bool)
    outside[4:, 2:6] = False
    assert (classes[outside] == IGNORED).all()
    assert (shown[outside] == 127).all()


@pytest.mark.parametrize(
    "change", [{"policy": "v0"}, {"shift_pixels": 2}, {"cutout_pixels": 3}, {"ssd_crop": True}]
)
def test_changes_that_leave_the_mask_behind_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=f"augmentation.{next(iter(change))}.*does not move masks"):
        batches(marked(), augmentation=Augmentation(**change))


def test_a_class_id_out_of_range_is_named_with_its_image() -> None:
    split = marked()
    masks = split.read_pairs(np.arange(6))[1].copy()
    masks[4, 2, 3] = 7
    masks[5] = IGNORED
    broken = MaskArraySplit(split.read(np.arange(6)), masks)
    with pytest.raises(DataError, match=r"mask of image 4 .* outside 0..4 .* Received: 7"):
        batches(broken, training=False)[1]

"""Batches for segmentation: an image and its mask change together."""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from hw_model.errors import DataError, SpecError
from model_zoo.preprocessing import Preprocessing
from pipelines.data import augment
from pipelines.data.augment import Augmentation
from pipelines.data.batches import Floats, ImageBatches
from pipelines.data.dataset import IGNORED, Images, Masks, MaskSplit
from pipelines.data.resize import resize, to_channels

# Changes that would have to move the mask too, or mix it, and do not.
_IMAGES_ONLY = ("shift_pixels", "cutout_pixels", "policy", "mixup_alpha", "ssd_crop")
#: What lies around an image made smaller: the middle of the range, as most preprocessing maps it to 0.
_FILL = 127


class MaskBatches(ImageBatches):
    """Batches of images with a class for each pixel.

    Targets are masks (n, H, W) int32: in training at the model's input size, else at the data's own.
    """

    split: MaskSplit

    def __init__(self, split: MaskSplit, **settings: Any) -> None:
        super().__init__(split, **settings)
        for name in _IMAGES_ONLY:
            if getattr(self.augmentation, name) != getattr(Augmentation(), name):
                raise SpecError(
                    f"augmentation.{name}",
                    "does not move masks; for segmentation there are flip, crop_area and scale",
                )

    def examples(
        self, chosen: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Floats, npt.NDArray[np.int32]]:
        images, masks = self.split.read_pairs(chosen)
        self._check(masks, chosen)
        if self.training:
            images, masks = self._changed(images, masks, rng)
        elif not isinstance(self.preprocessing, Preprocessing):
            images = resize(images, self.input_shape[:2])
        images = to_channels(images, self.input_shape[2])
        return self.prepared(images), masks.astype(np.int32)

    def _check(self, masks: Masks, chosen: npt.NDArray[np.int64]) -> None:
        wrong = (masks >= self.num_classes) & (masks != IGNORED)
        if wrong.any():
            place = int(np.flatnonzero(wrong.any(axis=(1, 2)))[0])
            label = int(masks[place][wrong[place]].max())
            raise DataError(
                f"The mask of image {int(chosen[place])} has class ids outside 0..{self.num_classes - 1} "
                f"(and {IGNORED} for ignored pixels); correct the mask or list the classes. Received: {label}"
            )

    def _changed(
        self, images: Images, masks: Masks, rng: np.random.Generator
    ) -> tuple[Images, Masks]:
        """Augmented and brought to the model's height and width."""
        settings, size = self.augmentation, self.input_shape[:2]
        count, height, width, _ = images.shape
        boxes = np.broadcast_to(np.array([0, 0, width, height], np.float64), (count, 4))
        if settings.crop_area is not None:
            boxes = augment.crop_boxes(
                count, height, width, rng, settings.crop_area, settings.crop_aspect
            )
        if settings.scale is not None:
            boxes = augment.scale_boxes(boxes, rng, settings.scale)
        if settings.crop_area is not None or settings.scale is not None or (height, width) != size:
            pairs = [
                window(image, mask, box, size)
                for image, mask, box in zip(images, masks, boxes, strict=True)
            ]
            images = np.stack([image for image, _ in pairs])
            masks = np.stack([mask for _, mask in pairs])
        if settings.flip:
            mirrored = np.asarray(rng.random(count) < 0.5)
            images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
            masks = np.where(mirrored[:, None, None], masks[:, :, ::-1], masks)
        return images, masks


def window(
    image: Images, mask: Masks, box: npt.NDArray[np.float64], size: tuple[int, int]
) -> tuple[Images, Masks]:
    """What a box (left, top, right, bottom), which may reach beyond the image, shows, at `size` (H, W).

    Outside the image lies mid-gray, and the mask is ignored there. The mask takes the nearest pixel.
    """
    height, width, channels = image.shape
    left, top = (int(np.floor(edge)) for edge in box[:2])
    right, bottom = max(left + 1, round(box[2])), max(top + 1, round(box[3]))
    before = (max(0, -top), max(0, -left))
    after = (max(0, bottom - height), max(0, right - width))
    if any((*before, *after)):
        edges = tuple(zip(before, after, strict=True))
        image = np.pad(image, (*edges, (0, 0)), constant_values=_FILL)
        mask = np.pad(mask, edges, constant_values=IGNORED)
    rows = slice(top + before[0], bottom + before[0])
    columns = slice(left + before[1], right + before[1])
    image, mask = image[rows, columns], mask[rows, columns]
    classes = Image.fromarray(mask).resize(size[::-1], Image.Resampling.NEAREST)
    pixels = resize(image[None], size)[0]
    return pixels.reshape(*size, channels), np.asarray(classes)

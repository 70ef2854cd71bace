"""Batches for detection: what each anchor of a detector is to answer for an image."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError
from model_zoo.detection import encode, match
from pipelines.data.batches import Floats, ImageBatches
from pipelines.data.box_augment import change, check_augmentation
from pipelines.data.dataset import BoxSplit, Images, Objects
from pipelines.data.resize import resize, to_channels

#: Slots of anchors: the background's, and that of anchors on a crowd, which are to answer nothing.
BACKGROUND, UNCOUNTED = 0, -1
#: Share of an anchor that lies in a crowd from which it is uncounted.
_IN_CROWD = 0.5

Targets = dict[str, npt.NDArray[Any]]


class BoxBatches(ImageBatches):
    """Batches of images with boxes; `anchors` (anchors, 4) are the detector's.

    Targets go by the detector's outputs: `class_logits` (n, anchors) int32 has each anchor's slot, 1 + its class
    or `BACKGROUND` or `UNCOUNTED`; `box_codes` (n, anchors, 5) has the codes of its box and 1 where it has one.
    """

    split: BoxSplit

    def __init__(self, split: BoxSplit, *, anchors: Floats, **settings: Any) -> None:
        super().__init__(split, **settings)
        check_augmentation(self.augmentation)
        self.anchors = anchors

    def examples(
        self, chosen: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Floats, Targets]:
        images, objects = self.read(chosen)
        if self.training:
            images, objects = change(images, objects, self.augmentation, rng, self.input_shape[:2])
        return self.inputs(images), self.targets(objects)

    def read(self, chosen: npt.NDArray[np.int64]) -> tuple[Images, list[Objects]]:
        """Images and their objects, checked."""
        images, objects = self.split.read_boxed(chosen)
        for index, found in zip(chosen, objects, strict=True):
            self._check(int(index), found)
        return images, objects

    def inputs(self, images: Images) -> Floats:
        """Whole images at the model's size, their aspect ratio not kept, as the model takes them."""
        images = resize(images, self.input_shape[:2])
        return self.prepared(to_channels(images, self.input_shape[2]))

    def targets(self, objects: list[Objects]) -> Targets:
        """What the detector is to answer for images with these objects."""
        codes = np.zeros((len(objects), len(self.anchors), 5), np.float32)
        slots = np.full((len(objects), len(self.anchors)), BACKGROUND, np.int32)
        for row, found in enumerate(objects):
            crowds, single = found.boxes[found.crowd], found.boxes[~found.crowd]
            slots[row, _share_inside(self.anchors, crowds) >= _IN_CROWD] = UNCOUNTED
            which = match(self.anchors, single)
            matched = which >= 0
            which = which[matched]
            codes[row, matched, :4] = encode(single[which], self.anchors[matched])
            codes[row, matched, 4] = 1
            slots[row, matched] = 1 + found.classes[~found.crowd][which]
        return {"box_codes": codes, "class_logits": slots}

    def _check(self, index: int, found: Objects) -> None:
        if not len(found):
            return
        low, high = int(found.classes.min()), int(found.classes.max())
        if low < 0 or high >= self.num_classes:
            raise DataError(
                f"Image {index} has objects of classes {low} to {high}, outside 0..{self.num_classes - 1}; "
                "correct them or list the classes."
            )
        sides = found.boxes[:, 2:] - found.boxes[:, :2]
        wrong = ~(
            (sides > 0).all(axis=1)
            & (found.boxes >= 0).all(axis=1)
            & (found.boxes <= 1).all(axis=1)
        )
        if wrong.any():
            box = [round(float(edge), 4) for edge in found.boxes[wrong][0]]
            raise DataError(
                f"A box of image {index} is not top < bottom and left < right within 0..1 (shares of the image). "
                f"Received: {box}"
            )


def _share_inside(anchors: Floats, regions: Floats) -> Floats:
    """The largest share of each anchor's area that lies in one of the regions (n, 4)."""
    if not len(regions):
        return np.zeros(len(anchors), np.float32)
    low = np.maximum(anchors[:, None, :2], regions[None, :, :2])
    high = np.minimum(anchors[:, None, 2:], regions[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1).max(axis=1)
    share: Floats = shared / np.prod(anchors[:, 2:] - anchors[:, :2], axis=-1)
    return share

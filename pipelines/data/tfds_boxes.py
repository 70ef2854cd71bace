"""Detection data sets of tfds: which splits are for what, and which objects count neither as found nor missed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw_model.errors import DataError
from pipelines.data.dataset import BoxSplit, ImageDataset, Objects
from pipelines.data.encoded import common_shape
from pipelines.data.encoded_boxes import EncodedBoxSplit
from pipelines.data.sizes import SizesDifferError
from pipelines.data.tfds_examples import Examples, read_examples

_IMAGE, _OBJECTS = "image", "objects"


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxSource:
    """Splits of a tfds builder, and the feature of an object that takes it out of the count."""

    splits: Mapping[str, str]
    crowd_key: str


def box_sources() -> dict[str, BoxSource]:
    """Name -> data set.

    COCO's test images come without boxes: its validation images test, as in the publications. VOC 2007
    trains on its train and validation images. Objects that VOC calls difficult are treated as crowds: its
    own evaluation counts them neither way too.
    """
    return {
        "coco/2017": BoxSource(
            splits={"train": "train", "test": "validation"}, crowd_key="is_crowd"
        ),
        "voc/2007": BoxSource(
            splits={"train": "train+validation", "test": "test"}, crowd_key="is_difficult"
        ),
    }


def name_of(builder: Any) -> str:
    """How data sets of this builder are called: with its configuration where there are several."""
    config = getattr(builder, "builder_config", None)
    return f"{builder.name}/{config.name}" if config is not None else str(builder.name)


def load_boxes(
    tfds: Any, builder: Any, name: str, source: BoxSource, image_size: tuple[int, int] | None
) -> ImageDataset:
    """The prepared `builder` as a detection data set.

    Images are read whole at `image_size` (height, width), or at their own size if that is one.
    """
    available = set(builder.info.splits)
    needed = {part for split in source.splits.values() for part in split.split("+")}
    if not needed <= available:
        raise DataError(
            f"tfds data set {name!r} needs the splits {sorted(needed)}. Received: {sorted(available)}"
        )
    examples = {
        split: read_examples(tfds, builder, stored, (_IMAGE,), also=(_OBJECTS,))
        for split, stored in source.splits.items()
    }
    empty = [split for split, found in examples.items() if not found.first]
    if empty:
        raise DataError(f"tfds data set {name!r} has no examples in {', '.join(empty)}.")
    size = image_size or _common_size(examples)
    return ImageDataset(
        name=name,
        class_names=tuple(builder.info.features[_OBJECTS]["label"].names),
        splits={split: _split(found, size, source.crowd_key) for split, found in examples.items()},
        source=str(builder.data_dir),
        licence=getattr(builder.info.redistribution_info, "license", "") or "",
    )


def _common_size(examples: Mapping[str, Examples]) -> tuple[int, int]:
    # Of a set too large for memory the first example says nothing about the others.
    if any(found.stored is not None for found in examples.values()):
        raise SizesDifferError(
            "Images of this data set are too many to compare their sizes; give "
            "image_size=(height, width), such as (320, 320)."
        )
    pictures = [(one[_IMAGE], part.where) for part in examples.values() for one in part.first]
    shape = common_shape(
        [picture for picture, _ in pictures], [where for _, where in pictures], None
    )
    return shape[:2]


def _split(examples: Examples, size: tuple[int, int], crowd_key: str) -> BoxSplit:
    def fetch(index: int) -> tuple[Any, Objects]:
        example = examples.at(index)
        return example[_IMAGE], _objects(example[_OBJECTS], crowd_key)

    known = None
    if examples.stored is None:
        known = [_objects(example[_OBJECTS], crowd_key) for example in examples.first]
    return EncodedBoxSplit(fetch, examples.count, size=size, name_of=examples.name, known=known)


def _objects(found: Mapping[str, Any], crowd_key: str) -> Objects:
    """Clipped to the image, without those that have no area."""
    boxes = np.clip(np.asarray(found["bbox"], dtype=np.float32).reshape(-1, 4), 0, 1)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return Objects(
        boxes=boxes[kept],
        classes=np.asarray(found["label"], dtype=np.int64)[kept],
        crowd=np.asarray(found[crowd_key], dtype=bool)[kept],
    )

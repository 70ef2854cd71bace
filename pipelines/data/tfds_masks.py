"""Segmentation data sets of tfds: which feature holds the mask, and what its values mean."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError
from pipelines.data.dataset import IGNORED, ImageDataset, MaskSplit
from pipelines.data.encoded import common_shape, open_image
from pipelines.data.encoded_masks import EncodedMaskSplit
from pipelines.data.tfds_examples import Examples, read_examples

# Object categories 1..100 of the Places Challenge 2017, in its order.
# Source: instanceInfo100_train.txt of the challenge's instance segmentation task.
_OBJECTS = """
bed, windowpane, cabinet, person, door, table, curtain, chair, car, painting, sofa, shelf, mirror,
armchair, seat, fence, desk, wardrobe, lamp, bathtub, railing, cushion, box, column, signboard, chest
of drawers, counter, sink, fireplace, refrigerator, stairs, case, pool table, pillow, screen door,
bookcase, coffee table, toilet, flower, book, bench, countertop, stove, palm, kitchen island, computer,
swivel chair, boat, arcade machine, bus, towel, light, truck, chandelier, awning, streetlight, booth,
television receiver, airplane, apparel, pole, bannister, ottoman, bottle, van, ship, fountain, washer,
plaything, stool, barrel, basket, bag, minibike, oven, ball, food, step, trade name, microwave, pot,
animal, bicycle, dishwasher, screen, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan,
plate, monitor, bulletin board, radiator, glass, clock, flag
"""

# Semantic categories 1..150 of the scene parsing benchmark (ADE20K), in its order.
# Source: objectInfo150 of the benchmark.
_SCENES = """
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk, person,
earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf, house, sea,
mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub, railing, cushion, base,
box, column, signboard, chest of drawers, counter, sand, sink, skyscraper, fireplace, refrigerator,
grandstand, path, stairs, runway, case, pool table, pillow, screen door, stairway, river, bridge,
bookcase, blind, coffee table, toilet, flower, book, hill, bench, countertop, stove, palm, kitchen
island, computer, swivel chair, boat, bar, arcade machine, hovel, bus, towel, light, truck, tower,
chandelier, awning, streetlight, booth, television receiver, airplane, dirt track, apparel, pole, land,
bannister, escalator, ottoman, bottle, buffet, poster, stage, van, ship, fountain, conveyer belt,
canopy, washer, plaything, swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle,
oven, ball, food, step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen,
blanket, sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
monitor, bulletin board, shower, radiator, glass, clock, flag
"""

# Largest id of the published 32-class models; larger ones become 0, and 0 is ignored.
_LAST_OF_32 = 31


@dataclass(frozen=True, kw_only=True, slots=True)
class Labels:
    """Names by class id, and the class id for each stored value 0..255."""

    names: tuple[str, ...]
    relabel: npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskSource:
    """A tfds builder with masks; `labels` by whether a mask is gray ("L") or in its red channel ("RGB")."""

    builder: str
    mask_key: str
    labels: Mapping[str, Labels]
    image_key: str = "image"


def _numbered(text: str, last: int | None = None) -> Labels:
    """Classes 1.. of a list, up to `last`; 0 and what is larger is ignored, channel 0 never a target."""
    names = [" ".join(name.split()) for name in text.split(",")][:last]
    relabel = np.full(256, IGNORED, dtype=np.uint8)
    relabel[1 : len(names) + 1] = np.arange(1, len(names) + 1)
    return Labels(names=("(ignored)", *names), relabel=relabel)


def _trimap() -> Labels:
    """1 is the pet, 2 the background, 3 the border between them."""
    relabel = np.full(256, IGNORED, dtype=np.uint8)
    relabel[1], relabel[2] = 1, 0
    return Labels(names=("background", "pet"), relabel=relabel)


def mask_sources() -> dict[str, MaskSource]:
    """Name -> data set. Those of `scene_parse150` differ in how many classes they keep.

    tfds prepares `scene_parse150` from the benchmark's instance annotations: the red channel of a mask
    is one of 100 object categories, 0 for walls, sky and other such. Gray masks, as of the benchmark's
    scene parsing task, have 150 categories. The lists' first 31 differ accordingly.
    """
    return {
        name: MaskSource(
            builder="scene_parse150",
            mask_key="annotation",
            labels={"RGB": _numbered(_OBJECTS, last), "L": _numbered(_SCENES, last)},
        )
        for name, last in (("scene_parse150", None), ("scene_parse150_32", _LAST_OF_32))
    } | {
        "oxford_iiit_pet_masks": MaskSource(
            builder="oxford_iiit_pet", mask_key="segmentation_mask", labels={"L": _trimap()}
        )
    }


def load_masks(
    tfds: Any, builder: Any, name: str, source: MaskSource, image_size: tuple[int, int] | None
) -> ImageDataset:
    """The prepared `builder` as a segmentation data set."""
    available = list(builder.info.splits)
    if not {"train", "test"} <= set(available):
        raise DataError(
            f"tfds data set {name!r} needs train and test splits. Received: {available}"
        )
    keys = (source.image_key, source.mask_key)
    examples = {split: read_examples(tfds, builder, split, keys) for split in ("train", "test")}
    empty = [split for split, found in examples.items() if not found.first]
    if empty:
        raise DataError(f"tfds data set {name!r} has no examples in {', '.join(empty)}.")
    train = examples["train"]
    with open_image(train.at(0)[source.mask_key], train.name(0)) as mask:
        mode = "RGB" if mask.mode == "RGB" else "L"
    if mode not in source.labels:
        raise DataError(
            f"Masks of tfds data set {name!r} are {mode}; {list(source.labels)} is known."
        )
    labels = source.labels[mode]
    size = image_size or _common_size(examples.values(), source.image_key)
    splits = {
        split: _split(found, source, labels, size, red_channel=mode == "RGB")
        for split, found in examples.items()
    }
    return ImageDataset(
        name=name,
        class_names=labels.names,
        splits=splits,
        source=str(builder.data_dir),
        licence=getattr(builder.info.redistribution_info, "license", "") or "",
    )


def _common_size(examples: Iterable[Examples], key: str) -> tuple[int, int]:
    pictures = [(one[key], part.where) for part in examples for one in part.first]
    shape = common_shape(
        [picture for picture, _ in pictures], [where for _, where in pictures], None
    )
    return shape[:2]


def _split(
    examples: Examples,
    source: MaskSource,
    labels: Labels,
    size: tuple[int, int],
    *,
    red_channel: bool,
) -> MaskSplit:
    def fetch(index: int) -> tuple[Any, Any]:
        example = examples.at(index)
        return example[source.image_key], example[source.mask_key]

    return EncodedMaskSplit(
        fetch,
        examples.count,
        size=size,
        class_names=labels.names,
        name_of=lambda index: (examples.name(index), f"of {examples.name(index)}"),
        relabel=labels.relabel,
        red_channel=red_channel,
    )

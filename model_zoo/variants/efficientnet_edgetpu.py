"""EfficientNet-EdgeTPU S, M, L as published.

Source: TensorFlow TPU repository, models/official/efficientnet/edgetpu; Gupta & Akin 2020.
"""

import math
from dataclasses import dataclass
from functools import partial

from model_zoo.registry import register
from model_zoo.spec.image import (
    Backbone,
    BlockKind,
    ClassifierHead,
    ImageInput,
    ModelSpec,
    Stack,
    Stem,
)
from model_zoo.spec.scaling import round_filters

# (kind, kernel, stride, expansion, repeats, nominal input filters, filters, residual) before scaling
ROWS: tuple[tuple[BlockKind, int, int, int, int, int, int, bool], ...] = (
    ("fused_late_stride", 3, 1, 4, 1, 24, 24, False),
    ("fused_late_stride", 3, 2, 8, 2, 24, 32, True),
    ("fused_late_stride", 3, 2, 8, 4, 32, 48, True),
    ("dw", 5, 2, 8, 5, 48, 96, True),
    ("dw", 5, 1, 8, 4, 96, 144, True),
    ("dw", 5, 2, 8, 2, 144, 192, True),
)


@dataclass(frozen=True, slots=True)
class Variant:
    """Compound scaling of one size."""

    width: float
    depth: float
    resolution: int
    dropout: float


VARIANTS: dict[str, Variant] = {
    "s": Variant(1.0, 1.0, 224, 0.2),
    "m": Variant(1.0, 1.1, 240, 0.2),
    "l": Variant(1.2, 1.4, 300, 0.3),
}


def spec(size: str) -> ModelSpec:
    """The published network at its own resolution, 1001 classes; `size` is a key of `VARIANTS`."""
    variant = VARIANTS[size]
    stem_filters = round_filters(32 * variant.width)
    stacks: list[Stack] = []
    for kind, kernel, stride, expansion, repeats, nominal, filters, residual in ROWS:
        # The first row expands a nominal width that is not the stem's; it is stated outright.
        first = not stacks
        stacks.append(
            Stack(
                kind=kind,
                filters=round_filters(filters * variant.width),
                kernel=kernel,
                stride=stride,
                expansion=expansion,
                repeats=math.ceil(repeats * variant.depth),
                residual=residual,
                mid_filters=round_filters(nominal * variant.width) * expansion if first else None,
            )
        )
    return ModelSpec(
        family="efficientnet_edgetpu",
        input=ImageInput(height=variant.resolution, width=variant.resolution),
        backbone=Backbone(
            stem=Stem(kernel=3, filters=stem_filters), stacks=tuple(stacks), drop_connect=0.2
        ),
        head=ClassifierHead(
            num_classes=1001,
            top_filters=round_filters(1280 * variant.width),
            dropout=variant.dropout,
            form="dense",
        ),
    )


for _size in VARIANTS:
    register(f"efficientnet_edgetpu_{_size}", partial(spec, _size), task="classification")

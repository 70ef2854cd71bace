"""MobileNetEdgeTPUv2 Tiny, XS, S, M, L as published.

Source: TensorFlow Model Garden, official/projects/edgetpu/vision, named model configurations; Akin et al. 2022.
"""

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

# (kind, kernel, stride, expansion, stage); Tiny makes the rows in TINY_GROUPED group convolutions too.
ROWS: tuple[tuple[BlockKind, int, int, int, int], ...] = (
    ("project", 1, 1, 1, 0),
    ("fused", 3, 2, 8, 1),
    ("group_fused", 3, 1, 4, 1),
    ("fused", 3, 2, 8, 2),
    ("group_fused", 3, 1, 4, 2),
    ("fused", 3, 1, 4, 2),
    ("group_fused", 3, 1, 4, 2),
    ("fused", 3, 2, 8, 3),
    ("dw", 3, 1, 4, 3),
    ("dw", 3, 1, 4, 3),
    ("dw", 3, 1, 4, 3),
    ("dw", 3, 1, 8, 4),
    ("dw", 3, 1, 4, 4),
    ("dw", 3, 1, 4, 4),
    ("dw", 3, 1, 4, 4),
    ("dw", 3, 2, 8, 5),
    ("dw", 3, 1, 4, 5),
    ("dw", 3, 1, 4, 5),
    ("dw", 3, 1, 4, 5),
    ("dw", 3, 1, 8, 6),
)
TINY_GROUPED = (3, 5, 7)


@dataclass(frozen=True, slots=True)
class Variant:
    """What differs between the five sizes; `widths` are the output channels of stages 0 to 6."""

    stem_kernel: int
    stem_filters: int
    widths: tuple[int, int, int, int, int, int, int]
    group_size: int
    top_filters: int
    dropout: float
    drop_connect: float
    grouped: tuple[int, ...] = ()


VARIANTS: dict[str, Variant] = {
    "tiny": Variant(5, 32, (16, 32, 48, 80, 112, 160, 192), 64, 1280, 0.05, 0.05, TINY_GROUPED),
    "xs": Variant(5, 32, (16, 32, 48, 96, 144, 160, 192), 64, 1280, 0.05, 0.05),
    "s": Variant(5, 64, (24, 48, 64, 128, 160, 192, 256), 64, 1280, 0.2, 0.1),
    "m": Variant(5, 64, (32, 64, 80, 160, 192, 240, 320), 64, 1344, 0.2, 0.1),
    "l": Variant(7, 64, (32, 64, 96, 192, 240, 256, 384), 128, 1408, 0.2, 0.1),
}


def spec(size: str) -> ModelSpec:
    """The published network for 224 px and 1001 classes; `size` is a key of `VARIANTS`."""
    variant = VARIANTS[size]
    stacks: list[Stack] = []
    for row, (kind, kernel, stride, expansion, stage) in enumerate(ROWS):
        grouped = kind == "group_fused" or row in variant.grouped
        stacks.append(
            Stack(
                kind="group_fused" if grouped else kind,
                filters=variant.widths[stage],
                kernel=kernel,
                stride=stride,
                expansion=expansion,
                group_size=variant.group_size if grouped else None,
            )
        )
    return ModelSpec(
        family="mobilenet_edgetpu_v2",
        input=ImageInput(height=224, width=224),
        backbone=Backbone(
            stem=Stem(kernel=variant.stem_kernel, filters=variant.stem_filters),
            stacks=tuple(stacks),
            drop_connect=variant.drop_connect,
        ),
        head=ClassifierHead(
            num_classes=1001, top_filters=variant.top_filters, dropout=variant.dropout
        ),
    )


for _size in VARIANTS:
    register(f"mobilenet_edgetpu_v2_{_size}", partial(spec, _size), task="classification")

"""MobileNetEdgeTPU (version 1) at widths 0.75 to 1.75 as published.

Source: TensorFlow Model Garden, official/projects/edgetpu/vision (Keras port); Gupta & Akin 2020.
"""

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
from model_zoo.spec.scaling import scale_width

# (kind, kernel, stride, expansion, repeats, filters at width 1.0, residual)
ROWS: tuple[tuple[BlockKind, int, int, int, int, int, bool], ...] = (
    ("project", 1, 1, 1, 1, 16, True),
    ("fused", 3, 2, 8, 1, 32, True),
    ("fused", 3, 1, 4, 3, 32, True),
    ("fused", 3, 2, 8, 1, 48, True),
    ("fused", 3, 1, 4, 3, 48, True),
    ("dw", 3, 2, 8, 1, 96, True),
    ("dw", 3, 1, 4, 3, 96, True),
    ("dw", 3, 1, 8, 1, 96, False),
    ("dw", 3, 1, 4, 3, 96, True),
    ("dw", 5, 2, 8, 1, 160, True),
    ("dw", 5, 1, 4, 3, 160, True),
    ("dw", 3, 1, 8, 1, 192, True),
)
#: Name of the variant -> multiplier of every width, stem and top included.
WIDTHS: dict[str, float] = {
    "dm0p75": 0.75,
    "dm1p0": 1.0,
    "dm1p25": 1.25,
    "dm1p5": 1.5,
    "dm1p75": 1.75,
}


def spec(width: float = 1.0) -> ModelSpec:
    """The published network for 224 px and 1001 classes, `width` times as wide."""
    stacks = tuple(
        Stack(
            kind=kind,
            filters=filters,
            kernel=kernel,
            stride=stride,
            expansion=expansion,
            repeats=repeats,
            residual=residual,
        )
        for kind, kernel, stride, expansion, repeats, filters, residual in ROWS
    )
    base = ModelSpec(
        family="mobilenet_edgetpu_v1",
        input=ImageInput(height=224, width=224),
        backbone=Backbone(stem=Stem(kernel=3, filters=32), stacks=stacks, drop_connect=0.1),
        head=ClassifierHead(num_classes=1001, top_filters=1280, dropout=0.1),
    )
    return base if width == 1.0 else scale_width(base, width)


for _name, _width in WIDTHS.items():
    register(f"mobilenet_edgetpu_v1_{_name}", partial(spec, _width), task="classification")

"""AutoSeg-EdgeTPU XS, S, M as published: searched backbones with a BiFPN head, for 512 px and 32 classes.

Source: TensorFlow Model Garden, official/projects/edgetpu/vision (AutoSeg backbones and BiFPN head); Akin et al. 2022.
"""

from functools import partial

from model_zoo.registry import register
from model_zoo.spec.image import Backbone, BlockKind, ImageInput, ModelSpec, Stack, Stem
from model_zoo.spec.segmentation import BifpnHead

# (kind, kernel, stride, expansion, filters, repeats, residual); filters are the published ones, rounded to fours
Row = tuple[BlockKind, int, int, int, int, int, bool]
XS: tuple[Row, ...] = (
    ("project", 1, 1, 1, 12, 1, True),
    ("fused", 3, 2, 6, 24, 1, True),
    ("dw", 3, 1, 3, 24, 1, True),
    ("fused", 3, 2, 3, 60, 1, True),
    ("dw", 3, 1, 6, 40, 1, True),
    ("dw", 5, 2, 3, 40, 1, True),
    ("dw", 3, 1, 6, 40, 1, True),
    ("fused", 3, 1, 6, 120, 1, True),
    ("dw", 3, 1, 6, 168, 1, True),
    ("dw", 5, 1, 6, 84, 1, True),
    ("dw", 5, 1, 3, 84, 1, True),
    ("dw", 5, 2, 1, 84, 1, False),
    ("fused", 1, 1, 6, 288, 1, False),
    ("dw", 5, 1, 1, 288, 1, False),
    ("fused", 1, 1, 3, 96, 1, False),
    ("dw", 5, 1, 1, 96, 1, False),
    ("fused", 1, 1, 6, 96, 1, False),
    ("dw", 5, 1, 1, 96, 1, False),
    ("fused", 1, 1, 6, 96, 1, False),
    ("dw", 5, 1, 3, 480, 1, True),
)
S: tuple[Row, ...] = (
    ("project", 1, 1, 1, 12, 1, True),
    ("fused", 3, 2, 6, 36, 1, True),
    ("dw", 5, 1, 3, 20, 1, True),
    ("fused", 5, 2, 6, 60, 1, True),
    ("dw", 3, 1, 3, 60, 1, True),
    ("dw", 5, 2, 6, 120, 1, True),
    ("dw", 3, 1, 3, 120, 1, True),
    ("dw", 5, 1, 6, 120, 1, True),
    ("dw", 3, 1, 6, 112, 1, True),
    ("dw", 5, 1, 6, 112, 2, True),
    ("dw", 5, 2, 1, 112, 1, False),
    ("fused", 1, 1, 6, 192, 1, False),
    ("dw", 5, 1, 1, 192, 1, False),
    ("fused", 1, 1, 6, 96, 1, False),
    ("dw", 5, 1, 3, 96, 1, True),
    ("dw", 5, 1, 1, 96, 1, False),
    ("fused", 1, 1, 6, 192, 1, False),
    ("dw", 5, 1, 1, 192, 1, False),
    ("fused", 1, 1, 3, 160, 1, False),
)
M: tuple[Row, ...] = (
    ("dw", 5, 1, 1, 16, 1, False),
    ("fused", 3, 2, 6, 36, 1, True),
    ("dw", 3, 1, 3, 36, 1, True),
    ("fused", 3, 2, 6, 60, 1, True),
    ("dw", 3, 1, 6, 60, 1, True),
    ("fused", 5, 2, 6, 120, 1, True),
    ("dw", 5, 1, 6, 120, 1, True),
    ("fused", 3, 1, 6, 80, 1, True),
    ("dw", 3, 1, 6, 168, 1, True),
    ("dw", 5, 1, 6, 168, 1, True),
    ("dw", 5, 1, 1, 168, 1, False),
    ("fused", 1, 1, 6, 168, 1, False),
    ("dw", 3, 2, 1, 168, 1, False),
    ("fused", 1, 1, 3, 192, 1, False),
    ("dw", 5, 1, 1, 192, 1, False),
    ("fused", 1, 1, 6, 288, 1, False),
    ("dw", 5, 1, 1, 288, 1, False),
    ("fused", 1, 1, 6, 96, 1, False),
    ("dw", 5, 1, 1, 96, 1, False),
    ("fused", 1, 1, 3, 192, 1, False),
    ("dw", 5, 1, 1, 192, 1, False),
    ("fused", 1, 1, 3, 320, 1, False),
)
#: Name of the variant -> its rows and its drop-connect rate.
VARIANTS: dict[str, tuple[tuple[Row, ...], float]] = {"xs": (XS, 0.2), "s": (S, 0.2), "m": (M, 0.3)}


def spec(size: str) -> ModelSpec:
    """The published network for 512 px and 32 classes; `size` is a key of `VARIANTS`."""
    rows, drop_connect = VARIANTS[size]
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
        for kind, kernel, stride, expansion, filters, repeats, residual in rows
    )
    return ModelSpec(
        family="autoseg_edgetpu",
        input=ImageInput(height=512, width=512),
        backbone=Backbone(
            stem=Stem(kernel=3, filters=32), stacks=stacks, drop_connect=drop_connect
        ),
        head=BifpnHead(num_classes=32),
    )


for _size in VARIANTS:
    register(f"autoseg_edgetpu_{_size}", partial(spec, _size), task="segmentation")

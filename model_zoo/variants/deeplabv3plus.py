"""DeepLabV3+ on MobileNetEdgeTPUv2 XS, S, M, L and, as the baseline, on MobileNetV2; for 512 px.

Sources: TensorFlow Model Garden, official/projects/edgetpu/vision; Sandler et al. 2018 for MobileNetV2. The
baseline has the 32-class head of the others: the published one is not described.
"""

from dataclasses import replace
from functools import partial

from model_zoo.registry import register
from model_zoo.spec.image import Backbone, ImageInput, ModelSpec, Stack, Stem
from model_zoo.spec.segmentation import DeepLabHead
from model_zoo.variants import mobilenet_edgetpu_v2

SIZES = ("xs", "s", "m", "l")
HEADS: dict[int, DeepLabHead] = {
    32: DeepLabHead(num_classes=32),
    151: DeepLabHead(num_classes=151, pyramid_filters=160, low_filters=64),
}
# (expansion, filters, repeats, stride)
MOBILENET_V2_ROWS: tuple[tuple[int, int, int, int], ...] = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def spec(size: str, num_classes: int = 32) -> ModelSpec:
    """The published network; `size` is one of `SIZES`, `num_classes` a key of `HEADS`."""
    return replace(
        mobilenet_edgetpu_v2.spec(size),
        family="deeplabv3plus_mobilenet_edgetpu_v2",
        input=ImageInput(height=512, width=512),
        head=HEADS[num_classes],
    )


def baseline() -> ModelSpec:
    """MobileNetV2 at width 1.0, all of it but its top convolution, with the 32-class head."""
    stacks = tuple(
        Stack(kind="dw", filters=filters, stride=stride, expansion=expansion, repeats=repeats)
        for expansion, filters, repeats, stride in MOBILENET_V2_ROWS
    )
    return ModelSpec(
        family="deeplabv3plus_mobilenet_v2",
        input=ImageInput(height=512, width=512),
        backbone=Backbone(stem=Stem(kernel=3, filters=32), stacks=stacks),
        head=HEADS[32],
    )


for _size in SIZES:
    _name = f"deeplabv3plus_mobilenet_edgetpu_v2_{_size}"
    register(_name, partial(spec, _size), task="segmentation")
    register(f"{_name}_151", partial(spec, _size, 151), task="segmentation")
register("deeplabv3plus_mobilenet_v2", baseline, task="segmentation")

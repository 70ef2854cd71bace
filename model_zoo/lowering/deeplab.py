"""The DeepLabV3+ segmentation head: atrous pyramid, fusion with a finer level, separable convolutions, classifier.

Source: DeepLabV3+ on MobileNetEdgeTPUv2 as published; its batch norms have an epsilon of their own.
"""

from collections.abc import Mapping
from typing import TypeVar

from hw_model.graph import Builder, ops
from model_zoo.lowering.bifpn import CLASSIFIER, resample
from model_zoo.spec.segmentation import DeepLabHead

H = TypeVar("H")
R = TypeVar("R")
#: Names the initialisers go by.
PYRAMID = "pyramid"
ATROUS = "pyramid_atrous"
DECODER = "decoder"
_NORM = ops.BatchNorm(epsilon=2e-3)


def lower_deeplab(head: DeepLabHead, b: Builder[H, R], levels: Mapping[str, H]) -> H:
    """Scores (N, h, w, num_classes) at `low_level` from the backbone's maps."""
    low = levels[f"P{head.low_level}"]
    size = b.shape(low)[1:3]
    x = _pyramid(head, b, levels[f"P{head.level}"])
    x = resample(b, x, size, f"{DECODER}_resize")
    low = _conv(b, low, head.low_filters, f"{DECODER}_low")
    x = b.concat((x, low), name=f"{DECODER}_concat")
    for index in range(head.repeats):
        prefix = f"{DECODER}_{index}"
        x = b.depthwise(x, 3, name=f"{prefix}_depthwise")
        x = _norm_relu(b, x, f"{prefix}_depthwise")
        x = _conv(b, x, head.filters, prefix)
    return b.conv(x, head.num_classes, 1, bias=True, name=f"{CLASSIFIER}_conv2d")


def _pyramid(head: DeepLabHead, b: Builder[H, R], x: H) -> H:
    """The map seen at several dilations and as a whole."""
    size = b.shape(x)[1:3]
    branches = [_conv(b, x, head.pyramid_filters, f"{PYRAMID}_point")]
    for rate in head.rates:
        wide = ops.DepthwiseConv2D(kernel=(3, 3), dilation=(rate, rate))
        branch = b.emit(wide, (x,), name=f"{ATROUS}_{rate}_depthwise")[0]
        branches.append(_conv(b, branch, head.pyramid_filters, f"{PYRAMID}_rate_{rate}"))
    whole = b.average_pool_all(x, name=f"{PYRAMID}_pool")
    whole = _conv(b, whole, head.pyramid_filters, f"{PYRAMID}_pool")
    branches.append(resample(b, whole, size, f"{PYRAMID}_pool_resize"))
    x = b.concat(branches, name=f"{PYRAMID}_concat")
    x = _conv(b, x, head.pyramid_filters, f"{PYRAMID}_project")
    return b.dropout(x, head.dropout, name=f"{PYRAMID}_dropout")


def _conv(b: Builder[H, R], x: H, filters: int, prefix: str) -> H:
    return _norm_relu(b, b.conv(x, filters, 1, name=f"{prefix}_conv2d"), prefix)


def _norm_relu(b: Builder[H, R], x: H, prefix: str) -> H:
    x = b.emit(_NORM, (x,), name=f"{prefix}_bn")[0]
    return b.activation(x, "relu", name=f"{prefix}_activation")

"""The SSDLite head: extra maps, and for every map a depthwise convolution and a 1x1 one for boxes and for classes.

Source: published box predictor and feature maps of MobileDet and SpaghettiNet (TensorFlow object detection API).
"""

from collections.abc import Mapping
from functools import partial
from typing import TypeVar

from hw_model.graph import Builder, ops
from model_zoo.lowering.nodes import norm_relu6
from model_zoo.spec.detection import SsdHead

H = TypeVar("H")
R = TypeVar("R")
#: Names the initialisers go by.
HEAD = "ssd"
EXTRA = f"{HEAD}_extra"
CLASSES = f"{HEAD}_class"
BOXES = f"{HEAD}_box"
#: Values a box is told by.
CODE_SIZE = 4
_NORM = ops.BatchNorm(momentum=0.97, epsilon=1e-3)


def lower_ssd(head: SsdHead, b: Builder[H, R], maps: Mapping[str, H]) -> dict[str, H]:
    """`box_codes` (N, anchors, 4) and `class_logits` (N, anchors, num_classes + 1)."""
    rows = list(maps.values())
    for index, filters in enumerate(head.extra_filters):
        rows.append(
            b.part((EXTRA, filters), rows[-1], partial(_extra, filters, f"{EXTRA}_{index}"))
        )
    anchors = tuple(map(len, head.anchors.sizes(len(rows))))
    return {
        name: b.join((prefix, anchors, size), tuple(rows), partial(_predict, prefix, anchors, size))
        # In the order of the names, which is that of the outputs of an exported file.
        for name, prefix, size in (
            ("box_codes", BOXES, CODE_SIZE),
            ("class_logits", CLASSES, head.num_classes + 1),
        )
    }


def _extra(filters: int, prefix: str, b: Builder[H, R], x: H) -> H:
    """A map of half the size."""
    x = b.conv(x, filters // 2, 1, name=f"{prefix}_squeeze_conv2d")
    x = norm_relu6(b, x, _NORM, f"{prefix}_squeeze")
    x = b.depthwise(x, 3, stride=2, name=f"{prefix}_depthwise")
    x = norm_relu6(b, x, _NORM, f"{prefix}_depthwise")
    x = b.conv(x, filters, 1, name=f"{prefix}_conv2d")
    return norm_relu6(b, x, _NORM, prefix)


def _predict(
    prefix: str, anchors: tuple[int, ...], size: int, b: Builder[H, R], maps: tuple[H, ...]
) -> H:
    """`size` values for every anchor of every map, (N, anchors, size)."""
    rows = []
    for index, (x, each) in enumerate(zip(maps, anchors, strict=True)):
        name = f"{prefix}_{index}"
        x = b.depthwise(x, 3, name=f"{name}_depthwise")
        x = norm_relu6(b, x, _NORM, name)
        x = b.conv(x, each * size, 1, bias=True, name=f"{name}_conv2d")
        batch, height, width, _ = b.shape(x)
        rows.append(b.reshape(x, (batch, height * width * each, size), name=f"{name}_reshape"))
    return rows[0] if len(rows) == 1 else b.concat(rows, axis=-2, name=f"{prefix}_concat")

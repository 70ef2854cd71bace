"""The BiFPN segmentation head: laterals, cells that mix levels up and down, and a classifier at the finest level.

Source: published AutoSeg-EdgeTPU head; sums are plain, convolutions separable with batch norm and ReLU6.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

from hw_model.graph import Builder, ops
from model_zoo.spec.segmentation import BifpnHead

H = TypeVar("H")
R = TypeVar("R")
#: Names the initialisers go by.
LATERAL = "bifpn_lateral"
CLASSIFIER = "segment_logits"


def lower_pyramid(head: BifpnHead, b: Builder[H, R], levels: Mapping[str, H]) -> tuple[H, ...]:
    """One map per level at the head's width; the backbone's last map is pooled for what lies beyond."""
    maps: list[H] = []
    for level in range(head.min_level, head.max_level + 1):
        within, beyond = f"P{level}" in levels, f"P{level - 1}" in levels
        x = levels[f"P{level}"] if within else levels[f"P{level - 1}"] if beyond else maps[-1]
        key = (LATERAL, head.filters, within, beyond)
        maps.append(b.part(key, x, partial(_lateral, head.filters, level, within, beyond)))
    return tuple(maps)


def _lateral(filters: int, level: int, within: bool, beyond: bool, b: Builder[H, R], x: H) -> H:
    if within or beyond:
        x = b.conv(x, filters, 1, bias=True, name=f"{LATERAL}_{level}_conv2d")
    if within:
        return b.batch_norm(x, name=f"{LATERAL}_{level}_bn")
    pool = ops.Pool(mode="average", kernel=(3, 3), stride=(2, 2), padding="same")
    return b.emit(pool, (x,), name=f"bifpn_pool_{level}")[0]


def lower_bifpn(head: BifpnHead, b: Builder[H, R], pyramid: Sequence[H]) -> H:
    """Scores (N, h, w, num_classes) at `min_level` from the maps of `lower_pyramid`."""
    maps = list(pyramid)
    for cell in range(head.repeats):
        maps = _cell(head, b, maps, f"bifpn_cell_{cell}")
    x = _sum(b, maps, b.shape(maps[0])[1:3], "segment_merge")
    x = _separable(b, x, head.filters, "segment_conv")
    x = b.depthwise(x, 3, name=f"{CLASSIFIER}_depthwise")
    return b.conv(x, head.num_classes, 1, bias=True, name=f"{CLASSIFIER}_conv2d")


def _cell(head: BifpnHead, b: Builder[H, R], maps: Sequence[H], prefix: str) -> list[H]:
    """Every level joined by the coarser ones on the way down, then by the finer ones on the way up."""
    down = list(maps)
    for index in reversed(range(len(maps) - 1)):
        parts = [maps[index], down[index + 1]]
        down[index] = _node(head, b, parts, f"{prefix}_down_{head.min_level + index}")
    up = down[:1]
    for index in range(1, len(maps)):
        last = index == len(maps) - 1
        parts = [maps[index], up[-1]] if last else [maps[index], down[index], up[-1]]
        up.append(_node(head, b, parts, f"{prefix}_up_{head.min_level + index}"))
    return up


def _node(head: BifpnHead, b: Builder[H, R], parts: Sequence[H], prefix: str) -> H:
    """Inputs resampled to the first one's size and summed, then a separable convolution."""
    x = _sum(b, parts, b.shape(parts[0])[1:3], f"{prefix}_sum")
    return _separable(b, x, head.filters, prefix)


def _sum(b: Builder[H, R], parts: Sequence[H], size: tuple[int, ...], prefix: str) -> H:
    total = parts[0]
    for index, part in enumerate(parts[1:], start=1):
        total = b.add(
            total, resample(b, part, size, f"{prefix}_{index}_resize"), name=f"{prefix}_{index}"
        )
    return total


def resample(b: Builder[H, R], x: H, size: tuple[int, ...], name: str) -> H:
    """The map at another size: bilinear where it grows, averages of q + 1 pixels at stride q where it shrinks."""
    height, width = b.shape(x)[1:3]
    if (height, width) == size:
        return x
    if height <= size[0] and width <= size[1]:
        return b.emit(ops.Resize(mode="bilinear", size=(size[0], size[1])), (x,), name=name)[0]
    stride = ((height - 1) // size[0] + 1, (width - 1) // size[1] + 1)
    window = (stride[0] + 1, stride[1] + 1)
    pool = ops.Pool(mode="average", kernel=window, stride=stride, padding="same")
    return b.emit(pool, (x,), name=name)[0]


def _separable(b: Builder[H, R], x: H, filters: int, prefix: str) -> H:
    x = b.depthwise(x, 3, name=f"{prefix}_depthwise")
    x = b.conv(x, filters, 1, name=f"{prefix}_conv2d")
    x = b.batch_norm(x, name=f"{prefix}_bn")
    return b.activation(x, "relu6", name=f"{prefix}_activation")

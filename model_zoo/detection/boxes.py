"""Boxes as corners, as centres, and as the codes a detector learns.

Corners are (top, left, bottom, right), centres (centre y, centre x, height, width), all as shares of the image.
Source: Ren et al. 2015; the factors are those of the TensorFlow object detection API.
"""

from typing import Any

import numpy as np

#: What the differences of centres (y, x) and of logarithms of sizes (height, width) are multiplied by.
FACTORS = (10.0, 10.0, 5.0, 5.0)
#: The smallest height and width that is coded, as a share of the image.
MIN_SIZE = 1e-8
#: Codes of sizes beyond this one would overflow: e**50 is larger than any image.
_MAX_LOG = 50.0


def encode(corners: Any, anchors: Any, *, ops: Any = np) -> Any:
    """Codes (..., 4) of boxes relative to anchors, both as corners (..., 4).

    `ops` is NumPy, or `keras.ops` for tensors.
    """
    box, anchor = (ops.split(centres_of(each, ops=ops), 2, axis=-1) for each in (corners, anchors))
    sizes, anchor_sizes = (ops.maximum(each[1], MIN_SIZE) for each in (box, anchor))
    codes = [(box[0] - anchor[0]) / anchor_sizes, ops.log(sizes / anchor_sizes)]
    return ops.concatenate(codes, axis=-1) * _factors(corners, ops)


def decode(codes: Any, anchors: Any, *, ops: Any = np) -> Any:
    """Boxes as corners (..., 4), not clipped to the image, of codes relative to anchors given as corners."""
    centre, size = ops.split(codes / _factors(codes, ops), 2, axis=-1)
    anchor, anchor_size = ops.split(centres_of(anchors, ops=ops), 2, axis=-1)
    size = ops.exp(ops.clip(size, -_MAX_LOG, _MAX_LOG)) * anchor_size
    return corners_of(ops.concatenate([centre * anchor_size + anchor, size], axis=-1), ops=ops)


def centres_of(corners: Any, *, ops: Any = np) -> Any:
    """(centre y, centre x, height, width) of (top, left, bottom, right)."""
    first, last = ops.split(corners, 2, axis=-1)
    return ops.concatenate([(first + last) / 2, last - first], axis=-1)


def corners_of(centres: Any, *, ops: Any = np) -> Any:
    """(top, left, bottom, right) of (centre y, centre x, height, width)."""
    centre, size = ops.split(centres, 2, axis=-1)
    return ops.concatenate([centre - size / 2, centre + size / 2], axis=-1)


def _factors(like: Any, ops: Any) -> Any:
    return ops.array(FACTORS, dtype=like.dtype)

"""Which anchor is to find which object. NumPy only.

Source: argmax matcher of the TensorFlow object detection API as the published detectors configure it.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

#: Overlap from which an anchor is to find the object it overlaps most.
MATCHED = 0.5


def iou(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes (n, 4) and (m, 4) given by their corners, (n, m); 0 for empty boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas = [np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=-1) for box in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    found: Floats = np.where(union > 0, shared / np.maximum(union, 1e-12), 0).astype(np.float32)
    return found


def match(anchors: Floats, boxes: Floats, threshold: float = MATCHED) -> npt.NDArray[np.int64]:
    """For each anchor (anchors, 4) the object (of `boxes` (n, 4)) it is to find, or -1 for none.

    An anchor finds what it overlaps most, from `threshold` on; every object gets at least the anchor that
    overlaps it most. Where objects share that anchor, the first of them has it.
    """
    if not len(boxes):
        return np.full(len(anchors), -1, np.int64)
    overlap = iou(boxes, anchors)
    found = overlap.argmax(axis=0)
    found[overlap.max(axis=0) < threshold] = -1
    nearest = overlap.argmax(axis=1)
    # An object that overlaps no anchor at all has no nearest one.
    forced = np.flatnonzero(overlap.max(axis=1) > 0)[::-1]
    found[nearest[forced]] = forced
    return found

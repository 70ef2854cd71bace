"""Colours of classes, and a mask shown over its image: the same in reports, contact sheets and predictions."""

import numpy as np
import numpy.typing as npt

from pipelines.data.dataset import IGNORED, Images, Masks

_WHITE = np.array([255, 255, 255], np.uint8)


def colours(count: int = 256) -> npt.NDArray[np.uint8]:
    """RGB of class ids, (count, 3): 0, the background, is black; neighbours differ strongly.

    Source: the colour map of the PASCAL VOC development kit (each bit of the id goes to one channel).

    >>> colours(4).tolist()
    [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]
    """
    ids = np.arange(count)
    rows = np.zeros((count, 3), dtype=np.uint8)
    for bit in range(8):
        for channel in range(3):
            rows[:, channel] |= (((ids >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return rows


def overlay(image: Images, mask: Masks, *, opacity: float = 0.6) -> Images:
    """A mask (H, W) of class ids in colours over its image (H, W, 1 or 3); RGB.

    Background keeps the image as it is, ignored pixels are white, edges between classes are drawn.
    """
    rgb = np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.float32)
    tint = colours()[mask].astype(np.float32)
    tint[mask == IGNORED] = _WHITE
    shown = np.where((mask > 0)[..., None], (1 - opacity) * rgb + opacity * tint, rgb)
    edge = np.zeros(mask.shape, bool)
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    edge[1:] |= mask[1:] != mask[:-1]
    shown[edge] = _WHITE
    return np.rint(shown).astype(np.uint8)

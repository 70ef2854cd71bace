"""Bilinear resizing and channel conversion of uint8 batches with Pillow, the same on every backend."""

import numpy as np
import numpy.typing as npt
from PIL import Image

from hw_model.errors import DataError
from pipelines.data.dataset import Images

# Share of the short side that evaluation keeps before resizing. Source: the published evaluation of
# MobileNetEdgeTPU (centre crop 0.875, bilinear).
EVAL_CROP = 0.875


def to_channels(images: Images, channels: int) -> Images:
    """Gray to RGB by repeating, RGB to gray by luma; anything else is refused."""
    have = images.shape[-1]
    if have == channels:
        return images
    if have == 1 and channels == 3:
        return np.repeat(images, 3, axis=-1)
    if have == 3 and channels == 1:
        # ITU-R BT.601 luma, as Pillow converts RGB to L.
        luma = images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        return np.round(luma).astype(np.uint8)[..., np.newaxis]
    raise DataError(f"Cannot turn images of {have} channels into {channels}; use 1 or 3.")


def resize(
    images: Images, size: tuple[int, int], boxes: npt.NDArray[np.float64] | None = None
) -> Images:
    """Resizes to `size` (height, width), each image from its box (left, top, right, bottom)."""
    height, width = size
    if boxes is None and images.shape[1:3] == size:
        return images
    out = np.empty((len(images), height, width, images.shape[-1]), dtype=np.uint8)
    for index, image in enumerate(images):
        box = None if boxes is None else tuple(float(edge) for edge in boxes[index])
        gray = image.shape[-1] == 1
        picture = Image.fromarray(image[..., 0] if gray else image)
        scaled = picture.resize((width, height), Image.Resampling.BILINEAR, box=box)
        out[index] = np.asarray(scaled).reshape(height, width, -1)
    return out


def central_crop(images: Images, share: float) -> Images:
    """The middle square of each image, `share` of its short side."""
    height, width = images.shape[1:3]
    side = max(1, round(min(height, width) * share))
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, top : top + side, left : left + side]

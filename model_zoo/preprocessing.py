"""What happens to an image before a network sees it; it travels with every preset. NumPy only."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from hw_model.errors import DataError, SpecError
from model_zoo.spec.base import Node, require_int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing(Node):
    """Centre crop, resize, channels, then `(x - mean) / scale`, of each channel its own where there are several.

    `crop` is the share of the short side that the centre crop keeps (1.0: no crop, the aspect ratio is
    not kept). Source of the defaults: published configs of MobileNetEdgeTPU v1 and v2.
    """

    height: int
    width: int
    channels: int = 3
    mean: float | tuple[float, ...] = 127.5
    scale: float | tuple[float, ...] = 127.5
    crop: float = 1.0
    resize: Literal["bilinear"] = "bilinear"

    def check(self) -> None:
        for name in ("height", "width", "channels"):
            require_int(name, getattr(self, name), 1, 1 << 14)
        if not 0 < self.crop <= 1:
            raise SpecError("crop", f"must be above 0 and at most 1. Received: {self.crop}")
        for name in ("mean", "scale"):
            values = getattr(self, name)
            if isinstance(values, tuple) and len(values) != self.channels:
                raise SpecError(name, f"must be one, or {self.channels} values. Received: {values}")
        if not np.all(np.asarray(self.scale) > 0):
            raise SpecError("scale", f"must be positive. Received: {self.scale}")

    def __call__(self, images: Any) -> np.ndarray:
        """Float32 (N, height, width, channels) from uint8 images (N, H, W, C), (H, W, C) or (H, W).

        Raises:
            DataError: not an image, or a channel count that cannot be converted.
        """
        batch = np.asarray(images)
        if batch.ndim == 2:
            batch = batch[None, :, :, None]
        elif batch.ndim == 3:
            batch = batch[None]
        if batch.ndim != 4 or 0 in batch.shape:
            raise DataError(f"An image batch is (N, H, W, C). Received: shape {np.shape(images)}")
        if batch.shape[1:3] != (self.height, self.width):
            batch = np.stack([self._resized(image) for image in batch])
        pixels = self._channels(batch).astype(np.float32)
        return (pixels - np.asarray(self.mean, np.float32)) / np.asarray(self.scale, np.float32)

    def _channels(self, batch: np.ndarray) -> np.ndarray:
        have = batch.shape[-1]
        if have == self.channels:
            return batch
        if have == 1:
            return np.repeat(batch, self.channels, axis=-1)
        if have == 4 and self.channels == 3:
            return batch[..., :3]
        if have in (3, 4) and self.channels == 1:
            weights = np.array([0.299, 0.587, 0.114], np.float32)
            return np.rint(batch[..., :3].astype(np.float32) @ weights)[..., None]
        raise DataError(f"Images must have 1, 3 or {self.channels} channels. Received: {have}")

    def _resized(self, image: np.ndarray) -> np.ndarray:
        from PIL import Image

        height, width = image.shape[:2]
        if self.crop < 1:
            side = max(1, round(self.crop * min(height, width)))
            top, left = (height - side) // 2, (width - side) // 2
            image = image[top : top + side, left : left + side]
        pixels = np.ascontiguousarray(np.clip(image, 0, 255).astype(np.uint8))
        size = (self.width, self.height)
        planes = [
            Image.fromarray(pixels[:, :, channel]).resize(size, Image.Resampling.BILINEAR)
            for channel in range(image.shape[2])
        ]
        return np.stack([np.asarray(plane) for plane in planes], axis=-1)

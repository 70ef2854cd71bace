"""A split of encoded images (files or bytes in memory), decoded on demand to one size."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from hw_model.errors import DataError
from pipelines.data.dataset import Images, Indices, Labels, LabelSplit
from pipelines.data.sizes import only_size

Encoded = Path | bytes | npt.NDArray[np.uint8]

# Decoded images up to this much stay in memory, so that epochs after the first decode nothing.
_CACHE_BYTES = 512 << 20

# Gray and bilevel modes; everything else is read as RGB.
_GRAY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "F"})


class EncodedSplit(LabelSplit):
    """Images decoded by Pillow, cropped to their centre square and resized to `size` where they differ."""

    def __init__(
        self,
        fetch: Callable[[int], Encoded],
        labels: npt.ArrayLike,
        *,
        shape: tuple[int, int, int],
        name_of: Callable[[int], str],
    ) -> None:
        self._fetch = fetch
        self._labels: Labels = np.asarray(labels, dtype=np.int64)
        self._shape = shape
        self._name_of = name_of
        total_bytes = len(self._labels) * int(np.prod(shape))
        fits = total_bytes <= _CACHE_BYTES
        self._cache: Images | None = (
            np.empty((len(self._labels), *shape), np.uint8) if fits else None
        )
        self._cached = np.zeros(len(self._labels), dtype=bool)

    @property
    def labels(self) -> Labels:
        return self._labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._shape

    def read(self, indices: Indices) -> Images:
        chosen = np.asarray(indices, dtype=np.int64)
        if self._cache is None:
            out = np.empty((len(chosen), *self._shape), dtype=np.uint8)
            for place, index in enumerate(chosen):
                out[place] = self._decode(int(index))
            return out
        for index in chosen[~self._cached[chosen]]:
            self._cache[index] = self._decode(int(index))
            self._cached[index] = True
        return self._cache[chosen]

    def _decode(self, index: int) -> Images:
        return decode(self._fetch(index), self._shape, self._name_of(index))


def decode(encoded: Encoded, shape: tuple[int, int, int], name: str) -> Images:
    """One image as uint8 of `shape` (H, W, C).

    Raises:
        DataError: not an image, or a damaged one.
    """
    height, width, channels = shape
    with open_image(encoded, name) as image:
        try:
            upright = ImageOps.exif_transpose(image)
            converted = to_mode(upright, "L" if channels == 1 else "RGB")
        except (OSError, SyntaxError, ValueError) as error:
            raise unreadable(name, error) from error
    if converted.size != (width, height):
        converted = ImageOps.fit(converted, (width, height), Image.Resampling.BILINEAR)
    return np.asarray(converted, dtype=np.uint8).reshape(shape)


def open_image(encoded: Encoded, name: str) -> Image.Image:
    """The image with its header read: size and mode are known, pixels are not decoded yet."""
    try:
        if isinstance(encoded, np.ndarray):
            gray = encoded.ndim == 2 or encoded.shape[-1] == 1
            return Image.fromarray(encoded.reshape(encoded.shape[:2]) if gray else encoded)
        return Image.open(io.BytesIO(encoded) if isinstance(encoded, bytes) else encoded)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise unreadable(name, error) from error


def common_shape(
    encoded: Sequence[Encoded], names: Sequence[str], image_size: tuple[int, int] | None
) -> tuple[int, int, int]:
    """(H, W, C) to read all of them at: their own size if it is one, else `image_size` is needed."""
    sizes, gray = set(), True
    for item, name in zip(encoded, names, strict=True):
        with open_image(item, name) as image:
            sizes.add((image.height, image.width))
            gray &= image.mode in _GRAY_MODES
    channels = 1 if gray else 3
    if image_size is not None:
        return (*image_size, channels)
    return (*only_size(sizes, "", usual=224), channels)


def to_mode(image: Image.Image, mode: str) -> Image.Image:
    """The image as L or RGB."""
    if image.mode == "I;16":
        # Pillow clips 16-bit values instead of scaling them.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        # A cut-out without background is shown on white, not on the colour hidden below its alpha.
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, layer)
    return image.convert(mode)


def unreadable(name: str, error: Exception) -> DataError:
    """What to raise where Pillow raised `error`."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"Cannot read image {name}: {reason}. Replace or delete it.")

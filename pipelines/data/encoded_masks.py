"""A split of encoded image and mask pairs (files or bytes in memory), decoded on demand to one size."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from hw_model.errors import DataError
from pipelines.data.dataset import IGNORED, Images, Indices, Masks, MaskSplit
from pipelines.data.encoded import Encoded, open_image, to_mode, unreadable

# Decoded pairs up to this much stay in memory, so that epochs after the first decode nothing.
_CACHE_BYTES = 512 << 20

# Modes whose pixels are class ids: bilevel, gray and palette, all of 8 bits.
_ID_MODES = frozenset({"1", "L", "P"})


class EncodedMaskSplit(MaskSplit):
    """RGB images resized bilinearly and masks by nearest neighbour, both whole: nothing is cropped.

    Where the aspect differs from `size` (height, width) the picture is stretched, so that every
    labelled pixel counts. `relabel` (256,) gives the class id for each value of a stored mask.
    """

    def __init__(
        self,
        fetch: Callable[[int], tuple[Encoded, Encoded]],
        count: int,
        *,
        size: tuple[int, int],
        class_names: tuple[str, ...],
        name_of: Callable[[int], tuple[str, str]],
        relabel: npt.NDArray[np.uint8] | None = None,
        red_channel: bool = False,
    ) -> None:
        self._fetch = fetch
        self._count = count
        self._size = size
        self._class_names = class_names
        self._name_of = name_of
        self._relabel = relabel
        self._red_channel = red_channel
        fits = count * size[0] * size[1] * 4 <= _CACHE_BYTES
        self._cache: dict[int, tuple[Images, Masks]] | None = {} if fits else None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return *self._size, 3

    def __len__(self) -> int:
        return self._count

    def read_pairs(self, indices: Indices) -> tuple[Images, Masks]:
        chosen = np.asarray(indices, dtype=np.int64)
        images = np.empty((len(chosen), *self.image_shape), dtype=np.uint8)
        masks = np.empty((len(chosen), *self._size), dtype=np.uint8)
        for place, index in enumerate(chosen.tolist()):
            images[place], masks[place] = self._pair(index)
        return images, masks

    def _pair(self, index: int) -> tuple[Images, Masks]:
        if self._cache is None:
            return self._decode(index)
        if index not in self._cache:
            self._cache[index] = self._decode(index)
        return self._cache[index]

    def _decode(self, index: int) -> tuple[Images, Masks]:
        encoded, encoded_mask = self._fetch(index)
        name, mask_name = self._name_of(index)
        height, width = self._size
        with open_image(encoded, name) as opened:
            try:
                image = to_mode(ImageOps.exif_transpose(opened), "RGB")
            except (OSError, SyntaxError, ValueError) as error:
                raise unreadable(name, error) from error
        ids = mask_ids(encoded_mask, mask_name, red_channel=self._red_channel)
        check_sizes(name, image.size, mask_name, ids.shape[::-1])
        if self._relabel is not None:
            ids = self._relabel[ids]
        check_ids(mask_name, ids, self._class_names)
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
            mask = Image.fromarray(ids).resize((width, height), Image.Resampling.NEAREST)
            ids = np.asarray(mask)
        return np.asarray(image), ids


def mask_ids(encoded: Encoded, name: str, *, red_channel: bool = False) -> Masks:
    """The class ids (H, W) that a mask stores, in its red channel where `red_channel` says so.

    Raises:
        DataError: a damaged file, or colours instead of class ids.
    """
    with open_image(encoded, name) as mask:
        check_mode(name, mask.mode, red_channel=red_channel)
        try:
            ids = np.asarray(mask.getchannel(0) if mask.mode == "RGB" else mask)
        except (OSError, SyntaxError, ValueError) as error:
            raise unreadable(name, error) from error
    return ids.astype(np.uint8)


def check_mode(name: str, mode: str, *, red_channel: bool = False) -> None:
    """Refuses masks whose pixels are no class ids of 8 bits."""
    if mode in _ID_MODES or (red_channel and mode == "RGB"):
        return
    kind = "colours" if mode in ("RGB", "RGBA", "CMYK", "YCbCr") else f"mode {mode}"
    raise DataError(
        f"Mask {name} holds {kind}; a mask is an 8-bit gray or palette PNG whose values are class ids "
        f"({IGNORED} is ignored). Convert colours to ids first."
    )


def check_sizes(
    name: str, image_size: tuple[int, ...], mask_name: str, mask_size: tuple[int, ...]
) -> None:
    """Refuses a mask of another (width, height) than its image."""
    if image_size != mask_size:
        raise DataError(
            f"Mask {mask_name} is {mask_size[0]}x{mask_size[1]} pixels, its image {name} is "
            f"{image_size[0]}x{image_size[1]}; make the mask again from the image as it is."
        )


def check_ids(mask_name: str, ids: Masks, class_names: tuple[str, ...]) -> None:
    """Refuses class ids that have no name."""
    strange = np.unique(ids[(ids >= len(class_names)) & (ids != IGNORED)])
    if len(strange):
        shown = ", ".join(map(str, strange[:5].tolist())) + (", ..." if len(strange) > 5 else "")
        raise DataError(
            f"Mask {mask_name} has class ids {shown}; with {len(class_names)} classes ids are "
            f"0..{len(class_names) - 1}, or {IGNORED} for pixels to ignore."
        )

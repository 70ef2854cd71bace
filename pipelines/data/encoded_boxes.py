"""A split of encoded images with the boxes of their objects, decoded on demand to one size."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from hw_model.errors import DataError
from pipelines.data.dataset import BoxSplit, Images, Indices, Objects
from pipelines.data.encoded import Encoded, open_image, to_mode, unreadable

# Decoded images up to this much stay in memory, so that epochs after the first decode nothing.
_CACHE_BYTES = 512 << 20

# How to turn an image for each EXIF orientation from 5 on, which lie on their side.
_TURNS = {
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_EXIF_ORIENTATION = 0x0112


class EncodedBoxSplit(BoxSplit):
    """RGB images resized bilinearly to `size` (height, width), whole: stretched where the aspect differs.

    `pixels_of` gives the (height, width) that boxes were measured in, where it is known. An image of that
    size is taken as it is stored, whatever its EXIF orientation says, as COCO's tools do; one that has it
    only when turned is turned; any other is refused, since its boxes would lie elsewhere. `known` are the
    objects of all images where they are at hand.
    """

    def __init__(
        self,
        fetch: Callable[[int], tuple[Encoded, Objects]],
        count: int,
        *,
        size: tuple[int, int],
        name_of: Callable[[int], str],
        pixels_of: Callable[[int], tuple[int, int]] | None = None,
        known: list[Objects] | None = None,
    ) -> None:
        self._fetch = fetch
        self._count = count
        self._size = size
        self._name_of = name_of
        self._pixels_of = pixels_of
        self._known = known
        fits = count * size[0] * size[1] * 3 <= _CACHE_BYTES
        self._cache: dict[int, tuple[Images, Objects]] | None = {} if fits else None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return *self._size, 3

    def __len__(self) -> int:
        return self._count

    def read_boxed(self, indices: Indices) -> tuple[Images, list[Objects]]:
        chosen = np.asarray(indices, dtype=np.int64)
        images = np.empty((len(chosen), *self.image_shape), dtype=np.uint8)
        found: list[Objects] = []
        for place, index in enumerate(chosen.tolist()):
            images[place], objects = self._example(index)
            found.append(objects)
        return images, found

    def known_objects(self) -> list[Objects] | None:
        return self._known

    def _example(self, index: int) -> tuple[Images, Objects]:
        if self._cache is None:
            return self._decode(index)
        if index not in self._cache:
            self._cache[index] = self._decode(index)
        return self._cache[index]

    def _decode(self, index: int) -> tuple[Images, Objects]:
        encoded, objects = self._fetch(index)
        name = self._name_of(index)
        with open_image(encoded, name) as opened:
            try:
                if self._pixels_of is not None:
                    opened = upright(opened, name, self._pixels_of(index))
                image = to_mode(opened, "RGB")
            except (OSError, SyntaxError, ValueError) as error:
                raise unreadable(name, error) from error
        if image.size != self._size[::-1]:
            image = image.resize(self._size[::-1], Image.Resampling.BILINEAR)
        return np.asarray(image), objects


def upright(image: Image.Image, name: str, pixels: tuple[int, int]) -> Image.Image:
    """The image turned as its boxes were drawn: as stored where it is of `pixels` (height, width)."""
    if image.size == pixels[::-1]:
        return image
    turn = _TURNS.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    if turn is not None and image.size == pixels:
        return image.transpose(turn)
    raise DataError(
        f"Image {name} is {image.width}x{image.height} pixels, its boxes were drawn on "
        f"{pixels[1]}x{pixels[0]}; correct height and width, or use the images the boxes were drawn on."
    )

"""Images as PNG data URIs, written with the standard library: a page carries its pictures in itself."""

import base64
import struct
import zlib

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError

_COLOUR_TYPES = {1: 0, 3: 2}


def data_uri(image: npt.NDArray[np.uint8]) -> str:
    """A uint8 image (H, W), (H, W, 1) or (H, W, 3) as `data:image/png;base64,...`."""
    return "data:image/png;base64," + base64.b64encode(encode(image)).decode("ascii")


def encode(image: npt.NDArray[np.uint8]) -> bytes:
    """The bytes of a PNG file.

    Source: W3C Portable Network Graphics specification, sections 5 (chunks), 9 (filter 0), 11.2 (IHDR).
    """
    pixels = image[:, :, np.newaxis] if image.ndim == 2 else image
    if pixels.ndim != 3 or pixels.shape[2] not in _COLOUR_TYPES or pixels.dtype != np.uint8:
        raise DataError(
            f"A picture is uint8 (H, W), (H, W, 1) or (H, W, 3). Received: {image.dtype} {image.shape}"
        )
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    lines = np.zeros(
        (height, 1 + width * channels), dtype=np.uint8
    )  # each line starts with filter 0
    lines[:, 1:] = pixels.reshape(height, width * channels)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", header),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

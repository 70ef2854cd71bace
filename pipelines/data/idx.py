"""Reads IDX files, the format MNIST and Fashion-MNIST are published in, plain or gzipped."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError

# Magic is two zero bytes, a type code and the number of dimensions. Source: the MNIST page's format
# note; 0x08 (unsigned byte) is the only type either data set uses.
_UNSIGNED_BYTE = 0x08


def read_idx(path: str | Path) -> npt.NDArray[np.uint8]:
    """The array in an IDX file.

    Raises:
        DataError: missing, truncated, or not an IDX file of unsigned bytes.
    """
    content = _read(Path(path))
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise DataError(
            f"{path} is not an IDX file of unsigned bytes: expected it to start with 00 00 08. "
            f"Received: {content[:4].hex(' ') or 'nothing'}"
        )
    rank = content[3]
    start = 4 + 4 * rank
    if rank == 0 or len(content) < start:
        raise DataError(f"{path} is truncated: its IDX header announces {rank} dimensions.")
    shape = struct.unpack(f">{rank}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{path} is truncated or damaged: shape {shape} needs {math.prod(shape)} bytes. "
            f"Received: {len(content) - start}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is truncated or not a gzip file ({error}).") from error

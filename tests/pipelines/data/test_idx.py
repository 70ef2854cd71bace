"""IDX files: real ones read, damaged ones are refused with one line."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from hw_model.errors import DataError
from pipelines.data.idx import read_idx
from pipelines.data.sources import idx_fashion_mnist

PIXELS = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)


def idx_bytes(array: np.ndarray) -> bytes:
    """`array` as the published format has it."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


@pytest.mark.parametrize("packed", [False, True])
def test_an_array_comes_back(tmp_path: Path, packed: bool) -> None:
    content = idx_bytes(PIXELS)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if packed else content)
    np.testing.assert_array_equal(read_idx(path), PIXELS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Received: nothing"),
        (b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00", "Received: 00 00 0d 01"),
        (b"\x89PNG not idx", "not an IDX file"),
        (idx_bytes(PIXELS)[:7], "announces 3 dimensions"),
        (idx_bytes(PIXELS)[:-1], r"shape \(2, 3, 4\) needs 24 bytes. Received: 23"),
        (idx_bytes(PIXELS) + b"\x00", "Received: 25"),
        (gzip.compress(idx_bytes(PIXELS), mtime=0)[:-9], "truncated"),
        (b"\x1f\x8b" + bytes(20), "not a gzip file"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_idx(tmp_path / "nothing.gz")


def test_fashion_mnist_is_four_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 12), ("t10k", 4)):
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            path = tmp_path / f"{prefix}-{kind}-ubyte.gz"
            path.write_bytes(gzip.compress(idx_bytes(array)))
    data = idx_fashion_mnist(tmp_path)
    assert (len(data.train), len(data.test), data.image_shape) == (12, 4, (28, 28, 1))
    assert data.class_names[9] == "ankle boot"

"""Damaged files end in one `DataError` line or in a legal graph: never in another exception, never late or large."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError
from hw_model.io import read_tflite

MAP = (1, 8, 8, 4)
FILES = 5_000


def _lists(num: Callable[..., Any], make_file: Callable[..., bytes]) -> bytes:
    """A file of operators that take lists: axes, sizes, parts, indices."""

    def i32(*values: int) -> np.ndarray[Any, Any]:
        return np.array(values, np.int32)

    tensors = [
        ("x", MAP, "INT8", None, ([0.5], [3], 0)), ("cut", (1, 4, 8, 4), "INT8"), ("swapped", (1, 8, 4, 4), "INT8"),
        ("a", (1, 8, 4, 2), "INT8"), ("b", (1, 8, 4, 2), "INT8"), ("packed", (2, 1, 8, 4, 2), "INT8"),
        ("sum", (2, 1, 8), "INT8"), ("rows", (1, 8), "INT8", None, None, {7: [-1, 8]}), ("y", (1, 8, 3), "INT8"),
        ("begin", (4,), "INT32", i32(0, 2, 0, 0)), ("end", (4,), "INT32", i32(1, 6, 8, 4)),
        ("ones", (4,), "INT32", i32(1, 1, 1, 1)), ("order", (4,), "INT32", i32(0, 2, 1, 3)),
        ("axis", (1,), "INT32", i32(3)), ("axes", (2,), "INT32", i32(-1, -2)), ("first", (), "INT32", i32(1)),
        ("table", (9, 3), "INT8", np.zeros((9, 3), np.int8), ([0.1] * 9, [0] * 9, 0)),
    ]  # fmt: skip
    calls = [
        ("STRIDED_SLICE", [0, 9, 10, 11], [1]), ("TRANSPOSE", [1, 12], [2]),
        ("SPLIT", [13, 2], [3, 4], {0: num("i", 2)}), ("PACK", [3, 4], [5], {0: num("i", 2)}),
        ("SUM", [5, 14], [6]), ("GATHER", [6, 15], [7]), ("EMBEDDING_LOOKUP", [7, 16], [8]),
    ]  # fmt: skip
    return make_file(tensors, calls, [0], [8], metadata=("min_runtime_version",))


def _weights(num: Callable[..., Any], make_file: Callable[..., bytes]) -> bytes:
    """A file of operators with weights, a custom one, and a subgraph more."""
    tensors = [
        ("x", MAP, "INT8"), ("up", (1, 16, 16, 6), "INT8"), ("thin", (1, 16, 16, 6), "INT8"), ("y", (1, 5), "INT8"),
        ("found", (1, 5), "FLOAT32"), ("size", (4,), "INT32", np.array((1, 16, 16, 6), np.int32)),
        ("w1", (6, 2, 2, 4), "INT8", np.zeros(96, np.int8)), ("w2", (1, 3, 3, 6), "INT8", np.zeros(54, np.int8)),
        ("w3", (5, 1536), "INT8", np.zeros(7680, np.int8), ([0.1] * 5, [0] * 5, 0)),
    ]  # fmt: skip
    two = {0: num("b", 0), 1: num("i", 2), 2: num("i", 2)}
    one = {0: num("b", 0), 1: num("i", 1), 2: num("i", 1), 4: num("b", 3)}
    calls = [
        ("TRANSPOSE_CONV", [5, 6, 0], [1], two), ("DEPTHWISE_CONV_2D", [1, 7, -1], [2], one),
        ("FULLY_CONNECTED", [2, 8, -1], [3], {0: num("b", 2)}), ("post_process", [3], [4]),
    ]  # fmt: skip
    return make_file(tensors, calls, [0], [4], subgraphs=2)


def test_damaged_files_end_in_one_line(
    make_file: Callable[..., bytes],
    num: Callable[..., Any],
    tiny_path: Path,
    root: Path,
    tmp_path: Path,
) -> None:
    """In a process of its own, whose memory is limited; a file that takes 5 s of its processor fails too."""
    shipped = next((root / "weights").glob("*/*_int8.tflite"))
    made = {"lists.tflite": _lists(num, make_file), "weights.tflite": _weights(num, make_file)}
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    script = Path(__file__).parent / "fixtures" / "fuzz.py"
    paths = [str(tiny_path), str(shipped), *map(str, made)]
    ran = subprocess.run(
        [sys.executable, str(script), str(FILES), *paths],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    outcomes = json.loads(ran.stdout)
    assert sum(outcomes.values()) == FILES
    # Damage in weights and names cannot be seen, damage in structure must be.
    assert outcomes["refused"] > FILES / 2
    assert outcomes["read"] > FILES / 20


def test_truncated_anywhere(tiny_bytes: bytes) -> None:
    for size in range(0, len(tiny_bytes) - 16, 29):
        with pytest.raises(DataError):
            read_tflite(tiny_bytes[:size])


def test_every_word_made_huge(make_file: Callable[..., bytes], num: Callable[..., Any]) -> None:
    """Lengths, offsets, shapes and option values at their extremes, none left out."""
    content = _lists(num, make_file)
    outcomes = set()
    for position in range(8, len(content) - 4, 4):
        damaged = bytearray(content)
        damaged[position : position + 4] = b"\xff\xff\xff\x7f"
        try:
            read_tflite(bytes(damaged))
            outcomes.add("read")
        except DataError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}

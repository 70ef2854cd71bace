"""A small writer of `.tflite` files, so that every operator and every kind of damage can be made without TensorFlow."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.io import tflite_schema as schema


class Ref(list):
    """A vector of tables."""


@dataclass(frozen=True)
class Num:
    """A number with its struct format."""

    fmt: str
    value: float


class Blob:
    """Appends FlatBuffer objects; parents come before children, so that every offset leads forward."""

    def __init__(self) -> None:
        self.data = bytearray(b"\0\0\0\0TFL3")

    def _align(self) -> int:
        self.data += bytes(-len(self.data) % 8)
        return len(self.data)

    def table(self, fields: dict[int, Any]) -> int:
        """A table; every field takes 8 bytes."""
        slots = max(fields, default=-1) + 1
        vtable = self._align()
        inline = 4 + 8 * len(fields) + 4
        offsets = {slot: 8 + 8 * order for order, slot in enumerate(sorted(fields))}
        entries = [offsets.get(slot, 0) for slot in range(slots)]
        self.data += struct.pack(f"<{2 + slots}H", 4 + 2 * slots, inline, *entries)
        position = self._align()
        self.data += struct.pack("<i", position - vtable) + bytes(inline - 4)
        for slot, value in fields.items():
            field = position + offsets[slot]
            if isinstance(value, Num):
                struct.pack_into("<" + value.fmt, self.data, field, value.value)
            else:
                struct.pack_into("<I", self.data, field, self.value(value) - field)
        return position

    def value(self, value: Any) -> int:
        """A nested object."""
        if isinstance(value, dict):
            return self.table(value)
        if isinstance(value, str):
            return self._vector(len(value.encode()), value.encode())
        if isinstance(value, bytes):
            return self._vector(len(value), value)
        if isinstance(value, np.ndarray):
            return self._vector(len(value), value.tobytes())
        if isinstance(value, Ref):
            start = self._vector(len(value), bytes(4 * len(value)))
            made: dict[int, int] = {}  # an item that occurs twice is written once
            for order, item in enumerate(value):
                entry = start + 4 + 4 * order
                position = made.get(id(item)) or self.table(item)
                made[id(item)] = position
                struct.pack_into("<I", self.data, entry, position - entry)
            return start
        return self._vector(len(value), struct.pack(f"<{len(value)}i", *value))

    def _vector(self, length: int, content: bytes) -> int:
        start = self._align()
        self.data += struct.pack("<I", length) + content
        return start


TYPES = {name: code for code, (name, _) in enumerate(schema.ELEMENT_TYPES)}
Spec = tuple[str, tuple[int, ...], Any]


def write_file(
    tensors: list[tuple[Any, ...]],
    operators: list[tuple[Any, ...]],
    inputs: list[int],
    outputs: list[int],
    *,
    metadata: tuple[str, ...] = (),
    subgraphs: int = 1,
) -> bytes:
    """A file from tensors and operators.

    A tensor is (name, shape, type[, values[, quantization[, fields]]]), an operator (code, in, out[, options]).
    Values are bytes or an array; a quantization is (scales, zero points, axis); fields are raw ones by slot. A
    code in lower case is that of a custom operator. An operator that is in the list twice is written once.
    """
    buffers = Ref([{}])
    tables = Ref()
    for name, shape, element_type, *more in tensors:
        fields: dict[int, Any] = {0: list(shape), 1: Num("b", TYPES[element_type]), 3: name}
        if more and more[0] is not None:
            content = more[0] if isinstance(more[0], bytes) else np.asarray(more[0]).tobytes()
            buffers.append({0: content})
            fields[2] = Num("I", len(buffers) - 1)
        if len(more) > 1 and more[1] is not None:
            scales, zeros, axis = more[1]
            scale, zero = np.asarray(scales, np.float32), np.asarray(zeros, np.int64)
            fields[4] = {2: scale, 3: zero, 6: Num("i", axis)}
        tables.append({**fields, **(more[2] if len(more) > 2 else {})})
    codes = list(dict.fromkeys(op[0] for op in operators))
    code_tables = Ref()
    for code in codes:
        number = schema.CUSTOM if code.islower() else schema.OPERATORS.index(code)
        entry: dict[int, Any] = {0: Num("b", min(number, 127)), 3: Num("i", number)}
        code_tables.append({**entry, 1: code} if code.islower() else entry)
    calls = Ref()
    made: dict[int, dict[int, Any]] = {}
    for operator in operators:
        code, reads, writes, *options = operator
        fields = {0: Num("I", codes.index(code)), 1: list(reads), 2: list(writes)}
        fields = {**fields, 4: options[0]} if options else fields
        calls.append(made.setdefault(id(operator), fields))
    main = {0: tables, 1: list(inputs), 2: list(outputs), 3: calls, 4: "main"}
    notes = Ref([{0: name, 1: Num("I", 0)} for name in metadata])
    blob = Blob()
    root = {
        0: Num("I", 3),
        1: code_tables,
        2: Ref([main] * subgraphs),
        3: "by hand",
        4: buffers,
        6: notes,
    }
    position = blob.table(root)
    struct.pack_into("<I", blob.data, 0, position)
    return bytes(blob.data)


@pytest.fixture(scope="session")
def make_file() -> Callable[..., bytes]:
    """`write_file`, for tests."""
    return write_file


@pytest.fixture(scope="session")
def num() -> type[Num]:
    """`Num`, for options."""
    return Num


@pytest.fixture(scope="session")
def tiny_path() -> Path:
    """A real int8 file of a few kilobytes, made by a converter (see fixtures/make_tiny.py)."""
    return Path(__file__).parent / "fixtures" / "tiny_int8.tflite"


@pytest.fixture(scope="session")
def tiny_bytes(tiny_path: Path) -> bytes:
    """The content of that file."""
    return tiny_path.read_bytes()

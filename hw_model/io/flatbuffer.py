"""Bounds-checked access to a FlatBuffer: every offset is checked before it is followed, and the work is capped."""

import struct
from typing import Any, Self

import numpy as np

from hw_model.errors import DataError

#: Vector entries and strings one file may make us decode, whatever its size; large networks need some ten thousand.
MAX_ITEMS = 1_000_000
#: A vector may be referred to many times, so a small hostile file could describe billions of entries. Files as
#: tools write them hold less than one item in a byte.
_ITEMS_PER_BYTE = 2
_ITEMS_BASE = 1024
#: What a table counts for: it takes as long to read as this many numbers.
_TABLE_ITEMS = 8
_STRING_LIMIT = 512

_FORMATS = {fmt: struct.Struct("<" + fmt) for fmt in ("b", "B", "?", "H", "i", "I", "f", "Q")}


class FlatBuffer:
    """The bytes of one file; answers with `DataError` whatever in them does not hold together."""

    def __init__(self, data: bytes, source: str) -> None:
        self.data = data
        self.view = memoryview(data)
        self.source = source
        self._items = min(MAX_ITEMS, _ITEMS_BASE + _ITEMS_PER_BYTE * len(data))
        self._items_left = self._items

    def corrupt(self, problem: str) -> DataError:
        """The one error a file can cause."""
        return DataError(
            f"{self.source} is not a readable .tflite file: {problem}; "
            "it is truncated or corrupt, copy or export it again"
        )

    def spend(self, items: int) -> None:
        """Accounts for decoding work."""
        self._items_left -= items
        if self._items_left < 0:
            raise self.corrupt(
                f"it describes more than {self._items:,} items in {len(self.data):,} bytes"
            )

    def scalar(self, fmt: str, position: int) -> Any:
        """One little-endian number."""
        packed = _FORMATS[fmt]
        if not 0 <= position <= len(self.data) - packed.size:
            raise self.corrupt(f"a reference leads to byte {position:,} of {len(self.data):,}")
        return packed.unpack_from(self.data, position)[0]

    def follow(self, position: int) -> int:
        """Where the unsigned offset stored at `position` leads; offsets always lead forward."""
        offset = int(self.scalar("I", position))
        if offset == 0:
            raise self.corrupt(f"the reference at byte {position:,} leads nowhere")
        return position + offset

    def vector(self, position: int, item_bytes: int) -> tuple[int, int]:
        """(first byte, length) of the vector at `position`, which lies wholly inside the file."""
        length = int(self.scalar("I", position))
        if length * item_bytes > len(self.data) - position - 4:
            raise self.corrupt(
                f"a list of {length:,} entries at byte {position:,} exceeds the file"
            )
        return position + 4, length

    def root(self) -> "Table":
        """The table a file starts with."""
        return Table(self, self.follow(0))


class Table:
    """One FlatBuffer table; fields are addressed by slot (their order in the schema)."""

    __slots__ = ("_buffer", "_position", "_size", "_vtable", "_vtable_bytes")

    def __init__(self, buffer: FlatBuffer, position: int) -> None:
        self._buffer = buffer
        self._position = position
        self._vtable = position - int(buffer.scalar("i", position))
        self._vtable_bytes = int(buffer.scalar("H", self._vtable))
        self._size = int(buffer.scalar("H", self._vtable + 2))
        if self._vtable_bytes < 4 or self._vtable_bytes % 2 or self._size < 4:
            raise buffer.corrupt(f"the table at byte {position:,} has no valid layout")

    def _field(self, slot: int, item_bytes: int) -> int | None:
        """Position of a field's value inside this table; None when the file leaves it out."""
        entry = 4 + 2 * slot
        if entry + 2 > self._vtable_bytes:
            return None
        offset = int(self._buffer.scalar("H", self._vtable + entry))
        if offset == 0:
            return None
        if offset < 4 or offset + item_bytes > self._size:
            raise self._buffer.corrupt(
                f"field {slot} of the table at byte {self._position:,} leaves it"
            )
        return self._position + offset

    def _target(self, slot: int) -> int | None:
        field = self._field(slot, 4)
        return None if field is None else self._buffer.follow(field)

    def scalar(self, slot: int, fmt: str, default: Any = 0) -> Any:
        """A number or a bool."""
        field = self._field(slot, _FORMATS[fmt].size)
        return default if field is None else self._buffer.scalar(fmt, field)

    def table(self, slot: int) -> Self | None:
        """A nested table."""
        target = self._target(slot)
        return None if target is None else type(self)(self._buffer, target)

    def tables(self, slot: int) -> list["Table"]:
        """A vector of tables."""
        target = self._target(slot)
        if target is None:
            return []
        start, length = self._buffer.vector(target, 4)
        self._buffer.spend(_TABLE_ITEMS * length)
        return [
            Table(self._buffer, self._buffer.follow(start + 4 * index)) for index in range(length)
        ]

    def ints(self, slot: int) -> tuple[int, ...]:
        """A vector of int32."""
        target = self._target(slot)
        if target is None:
            return ()
        start, length = self._buffer.vector(target, 4)
        self._buffer.spend(length)
        return struct.unpack_from(f"<{length}i", self._buffer.data, start)

    def array(self, slot: int, dtype: str) -> np.ndarray[Any, np.dtype[Any]] | None:
        """A vector of numbers, not copied; None when absent or empty."""
        target = self._target(slot)
        if target is None:
            return None
        item = np.dtype(dtype)
        start, length = self._buffer.vector(target, item.itemsize)
        self._buffer.spend(1)
        return np.frombuffer(self._buffer.data, item, length, start) if length else None

    def raw(self, slot: int) -> memoryview:
        """A vector of bytes, not copied; empty when absent."""
        target = self._target(slot)
        if target is None:
            return self._buffer.view[:0]
        start, length = self._buffer.vector(target, 1)
        self._buffer.spend(1)
        return self._buffer.view[start : start + length]

    def text(self, slot: int) -> str:
        """A string on one line, cut at 512 bytes; what cannot be shown is replaced."""
        content = bytes(self.raw(slot)[:_STRING_LIMIT])
        self._buffer.spend(len(content) // 64)
        decoded = content.decode("utf-8", errors="replace")
        return (
            decoded
            if decoded.isprintable()
            else "".join(c if c.isprintable() else "?" for c in decoded)
        )

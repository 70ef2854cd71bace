"""Reads TFRecord files of tf.train.Example without TensorFlow: plain, gzip or zlib, every record checked."""

import struct
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from hw_model.errors import DataError

# Wire types of protocol buffers. Source: its encoding guide.
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
# Members of Feature. Source: tensorflow/core/example/feature.proto.
_BYTES_LIST, _INT64_LIST = 1, 3


class Feature:
    """The value of one feature, decoded when asked for."""

    def __init__(self, path: str, name: str, message: memoryview) -> None:
        self._where = f"{path}: feature {name!r}"
        self._message = message

    def texts(self) -> list[str]:
        """Its byte strings as text."""
        try:
            items = [item for number, item in self._items(_BYTES_LIST) if number == 1]
            return [str(item, "utf-8") for item in items if isinstance(item, memoryview)]
        except (ValueError, IndexError) as error:
            raise DataError(f"{self._where} is not text: {error}.") from error

    def integers(self) -> list[int]:
        """Its 64-bit integers, none of which is negative in what is read here."""
        try:
            result: list[int] = []
            for _, item in self._items(_INT64_LIST):
                result.extend([item] if isinstance(item, int) else _varints(item))
            return result
        except (ValueError, IndexError) as error:
            raise DataError(f"{self._where} is no list of integers: {error}.") from error

    def _items(self, member: int) -> Iterator[tuple[int, int | memoryview]]:
        for number, item in _fields(self._message):
            if number != member or isinstance(item, int):
                raise ValueError(f"it is of kind {number}, not {member}")
            yield from _fields(item)


def read_examples(path: str | Path) -> Iterator[dict[str, Feature]]:
    """The features of each record by name.

    Raises:
        DataError: missing, truncated, or not what its checksums say.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    try:
        for record in _records(*_inflated(content)):
            yield _features(str(path), record)
    except (zlib.error, ValueError, IndexError) as error:
        raise DataError(f"{path} is damaged or no TFRecord file: {error}.") from error


def _inflated(content: bytes) -> tuple[memoryview, bool]:
    """What the file holds, and whether a checksum of the compression has covered it."""
    if content[:2] == b"\x1f\x8b" or (content[:1] == b"\x78" and _is_zlib(content)):
        # 32: zlib or gzip, as the header says.
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        inflated = stream.decompress(content)
        if not stream.eof:
            raise ValueError("its compressed data ends too early")
        return memoryview(inflated), True
    return memoryview(content), False


def _is_zlib(content: bytes) -> bool:
    """A zlib header is a multiple of 31; the length of a first record of 120 bytes is none."""
    return len(content) > 1 and int.from_bytes(content[:2], "big") % 31 == 0


def _records(content: memoryview, checked: bool) -> Iterator[memoryview]:
    """Length, its checksum, data, its checksum. Source: tensorflow/core/lib/io/record_writer.h."""
    place = 0
    while place < len(content):
        header = content[place : place + 12]
        if len(header) < 12 or _masked_crc(header[:8]) != struct.unpack("<I", header[8:])[0]:
            raise ValueError(f"no record begins at byte {place}")
        (length,) = struct.unpack("<Q", header[:8])
        data = content[place + 12 : place + 12 + length]
        crc = content[place + 12 + length : place + 16 + length]
        if len(crc) < 4:
            raise ValueError(f"the record at byte {place} is cut off")
        if not checked and _masked_crc(data) != struct.unpack("<I", crc)[0]:
            raise ValueError(f"the record at byte {place} is not what its checksum says")
        yield data
        place += 16 + length


def _features(path: str, record: memoryview) -> dict[str, Feature]:
    """Example {features {feature: map<string, Feature>}}."""
    result = {}
    for _, features in _fields(record):
        for _, entry in _fields(_message(features)):
            pair = dict(_fields(_message(entry)))
            name = str(_message(pair.get(1, 0)), "utf-8")
            result[name] = Feature(path, name, _message(pair.get(2, memoryview(b""))))
    return result


def _message(item: int | memoryview) -> memoryview:
    if isinstance(item, int):
        raise ValueError("a record is no tf.train.Example")
    return item


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of a message; fixed-size values come as their bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        kind = key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} is unknown")
        if place + size > len(message):
            raise ValueError("a message is cut off")
        yield key >> 3, message[place : place + size]
        place += size


def _varints(packed: memoryview) -> Iterator[int]:
    place = 0
    while place < len(packed):
        value, place = _varint(packed, place)
        yield value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first, and the place behind it."""
    value = message[place]
    if value < 0x80:
        return value, place + 1
    value &= 0x7F
    for shift in range(7, 70, 7):
        place += 1
        byte = message[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
    raise ValueError("a number has more than ten bytes")


@cache
def _crc_table() -> tuple[int, ...]:
    """CRC-32C, reflected polynomial 0x82F63B78. Source: RFC 3720, appendix B.4."""
    table = []
    for index in range(256):
        for _ in range(8):
            index = (index >> 1) ^ (0x82F63B78 if index & 1 else 0)
        table.append(index)
    return tuple(table)


def _masked_crc(data: memoryview) -> int:
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ table[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    # Rotated by 15 and shifted, so that the checksum of data with checksums is not special.
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF

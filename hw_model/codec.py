"""Strict JSON for frozen dataclasses: what is written reads back equal, and anything else is refused with its path."""

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union

from hw_model.errors import SpecError

T = TypeVar("T")
TAG = "type"
#: Objects of one class that are remembered; networks are made of few different parts.
REMEMBERED = 1 << 12


def to_data(value: Any) -> Any:
    """A dataclass as JSON-ready dicts, lists and scalars; members of a union carry their class name as `type`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        data: dict[str, Any] = {}
        if getattr(value, "TAGGED", False):
            data[TAG] = type(value).__name__
        for field in dataclasses.fields(value):
            data[field.name] = to_data(getattr(value, field.name))
        return data
    if isinstance(value, tuple | list):
        return [to_data(item) for item in value]
    if isinstance(value, dict):
        return {key: to_data(item) for key, item in value.items()}
    return value


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Canonical JSON text: sorted keys, no NaN; compact unless `indent` is given."""
    separators = (",", ":") if indent is None else None
    return json.dumps(
        to_data(value), sort_keys=True, allow_nan=False, indent=indent, separators=separators
    )


def loads(cls: type[T], text: str | bytes) -> T:
    """Reads a `cls` from JSON text.

    Raises:
        SpecError: malformed JSON, duplicate or unknown keys, NaN, a missing field, a value of the wrong
            type or out of range; the message starts with the path of the offending field.
    """
    try:
        # A decoder made once: `json.loads` makes one for every text that asks for more than the plain one.
        if isinstance(text, bytes):
            text = text.decode(json.detect_encoding(text))
        data = _strict().decode(text)
    except (ValueError, RecursionError) as error:
        raise SpecError("", f"not valid JSON: {error}") from error
    return from_data(cls, data)


def from_data(cls: type[T], data: Any) -> T:
    """Reads a `cls` from parsed JSON; raises `SpecError` as `loads` does."""
    result: T = _decoder(typing.cast(Any, cls))(data)
    return result


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SpecError("", f"key {twice!r} appears twice in one object; keep one of them")
    return result


@functools.cache
def _strict() -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)


def _no_constant(name: str) -> Any:
    raise SpecError("", f"{name} is not a number an architecture can use")


Decoder = Callable[[Any], Any]


@functools.cache
def _decoder(kind: Any) -> Decoder:
    """What reads one type: made once, since a search or a service reads specs by the thousand.

    The path of an error is put together on its way out; a value without error costs none.
    """
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _object_decoder(typing.cast(type, kind))
    if origin in (Union, types.UnionType):
        return _union_decoder(typing.get_args(kind))
    if origin is Literal:
        return _literal_decoder(typing.get_args(kind))
    if origin is tuple:
        return _tuple_decoder(typing.get_args(kind))
    return _scalar_decoder(kind)


def _object_decoder(cls: type) -> Decoder:
    fields = dataclasses.fields(cls)
    required = [
        field.name
        for field in fields
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    tagged = getattr(cls, "TAGGED", False)

    @functools.cache
    def decoders() -> dict[str, Decoder]:
        # When first used: a class may hold its own kind.
        hints = typing.get_type_hints(cls)
        return {field.name: _decoder(hints[field.name]) for field in fields}

    known_objects: dict[Any, Any] = {}

    def decode(data: Any) -> Any:
        if not isinstance(data, dict):
            raise SpecError("", f"must be an object ({cls.__name__}). Received: {data!r}")
        # Types are a part of the key: True equals 1, and only one of them is a width.
        held = data.values()
        key = (*data, *held, *map(type, held))
        try:
            found = known_objects.get(key)
        except TypeError:
            return read(data)  # it holds lists or objects
        if found is None:
            found = read(data)
            if len(known_objects) >= REMEMBERED:
                known_objects.clear()
            known_objects[key] = found
        return found

    def read(data: dict[str, Any]) -> Any:
        values = data
        if tagged:
            values = dict(data)
            if values.pop(TAG, None) != cls.__name__:
                raise SpecError(TAG, f"must be {cls.__name__!r}. Received: {data.get(TAG)!r}")
        known = decoders()
        for key in values:
            if key not in known:
                raise SpecError(key, f"unknown field; {cls.__name__} has {', '.join(known)}")
        for name in required:
            if name not in values:
                raise SpecError(name, "is missing")
        decoded = {}
        for key, item in values.items():
            try:
                decoded[key] = known[key](item)
            except SpecError as error:
                raise error.under(key) from None
        return cls(**decoded)

    return decode


def _union_decoder(members: tuple[Any, ...]) -> Decoder:
    optional = type(None) in members
    choices = [member for member in members if member is not type(None)]
    tagged = {cls.__name__: cls for cls in choices if getattr(cls, "TAGGED", False)}
    # One member may go without a tag: what files held before there were others.
    plain = [cls for cls in choices if not getattr(cls, "TAGGED", False)] if tagged else []

    def decode(data: Any) -> Any:
        if data is None and optional:
            return None
        if len(choices) == 1:
            return _decoder(choices[0])(data)
        if tagged:
            tag = data.get(TAG) if isinstance(data, dict) else None
            if tag is None and len(plain) == 1:
                return _decoder(plain[0])(data)
            if not isinstance(tag, str) or tag not in tagged:
                raise SpecError(TAG, f"must be one of {', '.join(tagged)}. Received: {tag!r}")
            return _decoder(tagged[tag])(data)
        for choice in choices:
            try:
                return _decoder(choice)(data)
            except SpecError:
                continue
        raise SpecError("", f"no accepted form matches. Received: {data!r}")

    return decode


def _literal_decoder(allowed: tuple[Any, ...]) -> Decoder:
    def decode(data: Any) -> Any:
        if not isinstance(data, str | int) or isinstance(data, bool) or data not in allowed:
            raise SpecError(
                "", f"must be one of {', '.join(map(repr, allowed))}. Received: {data!r}"
            )
        return data

    return decode


def _tuple_decoder(members: tuple[Any, ...]) -> Decoder:
    repeated = len(members) == 2 and members[1] is Ellipsis

    def decode(data: Any) -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            raise SpecError("", f"must be a list. Received: {data!r}")
        if not repeated and len(members) != len(data):
            raise SpecError("", f"must have {len(members)} entries. Received: {len(data)}")
        kinds = [members[0]] * len(data) if repeated else members
        decoded = []
        for index, (kind, item) in enumerate(zip(kinds, data, strict=True)):
            try:
                decoded.append(_decoder(kind)(item))
            except SpecError as error:
                raise error.under(f"[{index}]") from None
        return tuple(decoded)

    return decode


def _scalar_decoder(kind: Any) -> Decoder:
    def decode(data: Any) -> Any:
        if type(data) is kind and kind is not float:
            return data
        if kind is Any:
            return data
        if kind is float and isinstance(data, int) and not isinstance(data, bool):
            return float(data)
        if type(data) is not kind:
            raise SpecError("", f"must be {kind.__name__}. Received: {data!r}")
        if not math.isfinite(data):
            raise SpecError("", f"must be finite. Received: {data!r}")
        return data

    return decode

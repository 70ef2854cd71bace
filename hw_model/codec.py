"""Strict JSON for frozen dataclasses: what is written reads back equal, and anything else is refused with its path."""

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Any, Literal, TypeVar, Union

from hw_model.errors import SpecError

T = TypeVar("T")
TAG = "type"


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
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SpecError("", f"not valid JSON: {error}") from error
    return from_data(cls, data)


def from_data(cls: type[T], data: Any) -> T:
    """Reads a `cls` from parsed JSON; raises `SpecError` as `loads` does."""
    result: T = _decode(cls, data, "")
    return result


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SpecError("", f"key {twice!r} appears twice in one object; keep one of them")
    return result


def _no_constant(name: str) -> Any:
    raise SpecError("", f"{name} is not a number an architecture can use")


@functools.cache
def _field_types(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _decode(kind: Any, data: Any, path: str) -> Any:
    origin = typing.get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _decode_object(typing.cast(type, kind), data, path)
    if origin in (Union, types.UnionType):
        return _decode_union(typing.get_args(kind), data, path)
    if origin is Literal:
        allowed = typing.get_args(kind)
        if not isinstance(data, str | int) or isinstance(data, bool) or data not in allowed:
            raise SpecError(
                path, f"must be one of {', '.join(map(repr, allowed))}. Received: {data!r}"
            )
        return data
    if origin is tuple:
        return _decode_tuple(typing.get_args(kind), data, path)
    return _decode_scalar(kind, data, path)


def _decode_object(cls: type, data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise SpecError(path, f"must be an object ({cls.__name__}). Received: {data!r}")
    values = dict(data)
    if getattr(cls, "TAGGED", False) and values.pop(TAG, None) != cls.__name__:
        raise SpecError(_join(path, TAG), f"must be {cls.__name__!r}. Received: {data.get(TAG)!r}")
    hints = _field_types(cls)
    for key in values:
        if key not in hints:
            raise SpecError(
                _join(path, key), f"unknown field; {cls.__name__} has {', '.join(hints)}"
            )
    for field in dataclasses.fields(cls):
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if field.name not in values and required:
            raise SpecError(_join(path, field.name), "is missing")
    decoded = {key: _decode(hints[key], item, _join(path, key)) for key, item in values.items()}
    try:
        return cls(**decoded)
    except SpecError as error:
        raise (error.under(path) if path else error) from None


def _decode_union(members: tuple[Any, ...], data: Any, path: str) -> Any:
    if data is None and type(None) in members:
        return None
    choices = [member for member in members if member is not type(None)]
    if len(choices) == 1:
        return _decode(choices[0], data, path)
    tagged = {cls.__name__: cls for cls in choices if getattr(cls, "TAGGED", False)}
    if tagged:
        tag = data.get(TAG) if isinstance(data, dict) else None
        if tag not in tagged:
            raise SpecError(
                _join(path, TAG), f"must be one of {', '.join(tagged)}. Received: {tag!r}"
            )
        return _decode_object(tagged[str(tag)], data, path)
    for choice in choices:
        try:
            return _decode(choice, data, path)
        except SpecError:
            continue
    raise SpecError(path, f"no accepted form matches. Received: {data!r}")


def _decode_tuple(members: tuple[Any, ...], data: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(data, list | tuple):
        raise SpecError(path, f"must be a list. Received: {data!r}")
    if len(members) == 2 and members[1] is Ellipsis:
        kinds = [members[0]] * len(data)
    elif len(members) == len(data):
        kinds = list(members)
    else:
        raise SpecError(path, f"must have {len(members)} entries. Received: {len(data)}")
    return tuple(
        _decode(kind, item, f"{path}[{index}]")
        for index, (kind, item) in enumerate(zip(kinds, data, strict=True))
    )


def _decode_scalar(kind: Any, data: Any, path: str) -> Any:
    if kind is Any:
        return data
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if type(data) is not kind:
        raise SpecError(path, f"must be {kind.__name__}. Received: {data!r}")
    if kind is float and not math.isfinite(data):
        raise SpecError(path, f"must be finite. Received: {data!r}")
    return data


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key

"""Targets from TOML files: every constant is a table with value, unit and source, and nothing else passes."""

import dataclasses
import difflib
import math
import os
import tomllib
import typing
from functools import cache
from pathlib import Path
from typing import Any

from hw_model.errors import DataError, SpecError, UnknownNameError
from hw_model.graph.ops import OP_TYPES
from hw_model.targets.target import (
    Accuracy,
    Array,
    Constant,
    Energy,
    Host,
    Link,
    Memory,
    Overhead,
    Target,
)

FOLDER = Path(__file__).parent
PARTS: dict[str, type] = {
    "array": Array, "memory": Memory, "link": Link, "overhead": Overhead, "host": Host, "energy": Energy,
    "accuracy": Accuracy,
}  # fmt: skip
LABELS = ("name", "title", "group_form")
CONSTANT_KEYS = ("value", "unit", "source", "assumption", "fitted", "low", "high")


def list_targets() -> tuple[str, ...]:
    """Names of the targets that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def load_target(name: str | os.PathLike[str]) -> Target:
    """A target by name, or from a file when `name` is a path or ends in `.toml`.

    >>> load_target("coral_usb").array.peak_macs_per_cycle
    4096

    Raises:
        UnknownNameError: no target of that name; suggests near ones.
        DataError: the file cannot be read.
        SpecError: the file breaks a rule; the path names the constant.
    """
    if not isinstance(name, str) or name.endswith(".toml"):
        return _read(Path(name))
    if name not in list_targets():
        raise UnknownNameError("target", name, list_targets())
    return _shipped(name)


@cache
def _shipped(name: str) -> Target:
    return _read(FOLDER / f"{name}.toml")


def _read(path: Path) -> Target:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read target file {path}: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(str(path), f"is not valid TOML: {error}") from error
    try:
        return from_data(data)
    except SpecError as error:
        raise SpecError(f"{path.name}: {error.path}", error.problem) from None


def from_data(data: dict[str, Any]) -> Target:
    """A target from parsed TOML; raises `SpecError` with the path of the first constant that is wrong."""
    _check_keys("", data, (*LABELS, *PARTS))
    for label in LABELS:
        if not isinstance(data[label], str) or not data[label]:
            raise SpecError(label, f"must be text. Received: {data[label]!r}")
    if data["group_form"] not in ("split", "native"):
        raise SpecError(
            "group_form", f"must be 'split' or 'native'. Received: {data['group_form']!r}"
        )
    constants: list[Constant] = []
    parts: dict[str, Any] = {}
    for name, cls in PARTS.items():
        if not isinstance(data[name], dict):
            raise SpecError(name, f"must be a table. Received: {data[name]!r}")
        fields = dataclasses.fields(cls)
        _check_keys(name, data[name], tuple(entry.name for entry in fields))
        kinds = typing.get_type_hints(cls)
        read = [
            _constant(f"{name}.{entry.name}", data[name][entry.name], entry, kinds[entry.name])
            for entry in fields
        ]
        constants += read
        parts[name] = _part(cls, read, "value")
        if cls is Energy:
            parts |= {f"{name}_{end}": _part(cls, read, end) for end in ("low", "high")}
    labels = {label: data[label] for label in LABELS}
    return Target(**labels, **parts, constants=tuple(constants))


def _part(cls: type, read: list[Constant], end: str) -> Any:
    """One part of a target from the values of its constants, or from one end of their ranges."""
    return cls(**{item.path.partition(".")[2]: getattr(item, end) for item in read})


def _check_keys(path: str, table: dict[str, Any], known: tuple[str, ...]) -> None:
    prefix = f"{path}." if path else ""
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise SpecError(f"{prefix}{key}", f"is unknown; {hint}")
    for key in known:
        if key not in table:
            raise SpecError(f"{prefix}{key}", "is missing")


def _constant(path: str, table: Any, entry: "dataclasses.Field[Any]", kind: Any) -> Constant:
    if not isinstance(table, dict):
        raise SpecError(path, f"must be a table with value, unit and source. Received: {table!r}")
    optional = {"assumption": False, "fitted": False}
    if not entry.metadata["interval"]:
        # A range that nothing reads would look as if it counted.
        _check_keys(path, {**optional, **table}, CONSTANT_KEYS[:-2])
    else:
        _check_keys(path, {**optional, **table}, CONSTANT_KEYS)
    unit, source = entry.metadata["unit"], table["source"]
    if table["unit"] != unit:
        raise SpecError(f"{path}.unit", f"must be {unit!r}. Received: {table['unit']!r}")
    if not isinstance(source, str) or len(source) < 3:
        raise SpecError(f"{path}.source", f"must say where the value is from. Received: {source!r}")
    for flag in ("assumption", "fitted"):
        if not isinstance(table.get(flag, False), bool):
            raise SpecError(f"{path}.{flag}", f"must be true or false. Received: {table[flag]!r}")
    minimum = entry.metadata["minimum"]
    value, low, high = (
        _value(f"{path}.{key}", table.get(key, table["value"]), kind, minimum)
        for key in ("value", "low", "high")
    )
    if not low <= value <= high or (value == 0) != (high == 0):
        raise SpecError(
            path,
            "must lie between its low and high, all above 0 or all 0. "
            f"Received: value {value!r}, low {low!r}, high {high!r}",
        )
    return Constant(
        path=path,
        value=value,
        low=low,
        high=high,
        unit=unit,
        source=source,
        assumption=table.get("assumption", False),
        fitted=table.get("fitted", False),
    )


def _value(path: str, value: Any, kind: Any, minimum: float) -> Any:
    if kind not in (int, float):
        if not isinstance(value, list) or any(item not in OP_TYPES for item in value):
            raise SpecError(path, f"must list operation kinds. Received: {value!r}")
        return tuple(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole and (kind is int or not isinstance(value, float)):
        wanted = "an integer" if kind is int else "a number"
        raise SpecError(path, f"must be {wanted}. Received: {value!r}")
    if not math.isfinite(value) or value < minimum:
        raise SpecError(path, f"must be at least {minimum:g}. Received: {value!r}")
    return kind(value)

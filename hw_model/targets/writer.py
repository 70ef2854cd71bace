"""Target files with some constants changed: everything else is written as it was read."""

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_model.errors import DataError, SpecError

_HEAD = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\n)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A constant's new value and where it is from."""

    value: float
    source: str
    assumption: bool = False


def with_changes(path: Path, changes: Mapping[str, Change]) -> str:
    """The text of a target file after `changes` (path of a constant -> change); comments at its top stay.

    Raises:
        DataError: the file cannot be read.
        SpecError: it is no TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = tomllib.loads(text)
    except OSError as error:
        raise DataError(f"Cannot read target file {path}: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(str(path), f"is not valid TOML: {error}") from error
    for name, change in changes.items():
        part, _, key = name.partition(".")
        data[part][key] |= {"value": change.value, "source": change.source}
        data[part][key].pop("assumption", None)
        if change.assumption:
            data[part][key]["assumption"] = True
    head = _HEAD.match(text)
    return (head[0] if head else "") + to_toml(data)


def to_toml(data: Mapping[str, Any]) -> str:
    """A target as TOML: labels, then one table for each part with one constant a line."""
    lines = [f"{key} = {_plain(value)}" for key, value in data.items() if isinstance(value, str)]
    for part, table in data.items():
        if isinstance(table, Mapping):
            lines += ["", f"[{part}]"]
            lines += [f"{key} = {_inline(constant)}" for key, constant in table.items()]
    return "\n".join(lines) + "\n"


def _inline(constant: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {_plain(value)}" for key, value in constant.items()) + " }"


def _plain(value: Any) -> str:
    """Text, numbers, flags and lists of text: JSON's spelling is TOML's, but for one control character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

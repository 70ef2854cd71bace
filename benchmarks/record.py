"""How a benchmark records what it measured: one JSON file per table, with the command and the machine."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from hw_model.files import write_json

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: the rows' key, the heading, and a format such as `,` or `.2f` for its numbers."""

    key: str
    heading: str
    format: str = ""


def save(
    name: str,
    *,
    command: str,
    columns: Sequence[Column],
    rows: Sequence[Mapping[str, Any]],
    notes: Sequence[str] = (),
) -> Path:
    """Writes `results/<name>.json`, from which the README's table of that name is drawn."""
    path = RESULTS / f"{name}.json"
    write_json(
        path,
        {
            "command": command,
            "machine": machine(),
            "columns": [{"key": c.key, "heading": c.heading, "format": c.format} for c in columns],
            "rows": [dict(row) for row in rows],
            "notes": list(notes),
        },
    )
    return path


def load(name: str) -> dict[str, Any]:
    """What `save` wrote under that name."""
    result: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return result


def machine() -> str:
    """The machine and the versions a figure depends on, in one line."""
    versions = [f"Python {platform.python_version()}"]
    for package in ("numpy", "tensorflow", "keras"):
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return f"{_processor()}, {os.cpu_count()} cores; {', '.join(versions)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

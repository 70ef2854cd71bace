"""What a verb answers: text for a person, data for a program, and the exit code; and how text is laid out."""

import json
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`text` is printed, or `data` as JSON where `--json` asks for it."""

    text: str
    data: Any = None
    code: int = 0

    def as_json(self) -> str:
        """The data as JSON text; a number that is none (NaN, infinity) becomes null."""
        return json.dumps(_finite(self.data), indent=2, allow_nan=False, ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Aligned columns: numbers and what looks like them to the right, words to the left."""
    cells = [[_shown(value) for value in row] for row in rows]
    widths = [max(_width(text) for text in column) for column in zip(headings, *cells, strict=True)]
    right = [
        bool(rows) and all(_is_number(row[index]) for row in rows) for index in range(len(headings))
    ]

    def line(texts: Sequence[str]) -> str:
        padded = [
            " " * (width - _width(text)) + text if to_right else text + " " * (width - _width(text))
            for text, width, to_right in zip(texts, widths, right, strict=True)
        ]
        return "  ".join(padded).rstrip()

    return "\n".join([line(headings), line(["─" * width for width in widths]), *map(line, cells)])


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """One `label  value` line per pair, values in one column."""
    width = max(len(label) for label, _ in pairs)
    return "\n".join(f"{label:<{width}}  {_shown(value)}".rstrip() for label, value in pairs)


def metric_text(key: str, value: float) -> str:
    """A metric as people read it: a share in percent, a loss as it is."""
    return f"{value:.4g}" if key == "loss" else f"{100 * value:.2f} %"


def _shown(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _is_number(value: object) -> bool:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return True
    text = str(value)
    return text in ("–", "") or text[:1].isdigit()


def _width(text: str) -> int:
    """Columns a terminal gives the text."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)

"""Draws the READMEs' tables from results/*.json, between `<!-- table:NAME -->` and `<!-- /table -->`."""

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from record import load

from hw_model.errors import DataError, EdgeZooError
from hw_model.files import write_text

ROOT = Path(__file__).resolve().parent.parent
READMES = (ROOT / "README.md", ROOT / "hw_model" / "README.md")
MARKED = re.compile(r"(<!-- table:(?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- /table -->)", re.DOTALL)


def table(result: Mapping[str, Any]) -> str:
    """One result as a Markdown table, followed by its notes and by the command and machine it is from."""
    columns = result["columns"]
    lines = [
        _line([column["heading"] for column in columns]),
        _line(["---:" if _is_numeric(result, column) else "---" for column in columns]),
    ]
    lines += [
        _line([_cell(row.get(column["key"]), column["format"]) for column in columns])
        for row in result["rows"]
    ]
    source = f"From `{result['command']}` on {result['machine']}."
    return "\n".join([*lines, "", " ".join([*result["notes"], source]), ""])


def rewrite(text: str) -> str:
    """A README's text with every marked table drawn anew.

    Raises:
        DataError: a marker names a table that no benchmark has recorded.
    """

    def drawn(match: re.Match[str]) -> str:
        name = match["name"]
        try:
            result = load(name)
        except FileNotFoundError as error:
            raise DataError(
                f"A README asks for table {name!r}, but benchmarks/results/{name}.json is missing."
            ) from error
        return f"{match[1]}{table(result)}{match[4]}"

    return MARKED.sub(drawn, text)


def main() -> int:
    """Rewrites the READMEs, or with `--check` only says whether they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    check = parser.parse_args().check
    stale = False
    for path in READMES:
        old = path.read_text(encoding="utf-8")
        try:
            new = rewrite(old)
        except EdgeZooError as error:
            print(error, file=sys.stderr)
            return error.exit_code
        stale |= new != old
        if new != old and not check:
            write_text(path, new)
    return int(check and stale)


def _is_numeric(result: Mapping[str, Any], column: Mapping[str, str]) -> bool:
    values = [row.get(column["key"]) for row in result["rows"]]
    return any(isinstance(v, int | float) for v in values)


def _cell(value: Any, style: str) -> str:
    if value is None:
        return "–"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(value, style)
    return str(value).replace("|", r"\|")


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())

"""Published latencies: who measured what, and whether a row is fitted or only checked.

None was measured by this project. Clock, compiler and host differ between data sets, so no fit mixes two.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hw_model.errors import DataError

TABLE = Path(__file__).parent / "published" / "latencies.csv"
COLUMNS = ["data_set", "target", "model", "output", "latency_ms", "use", "cached_mib", "source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One published latency."""

    data_set: str
    target: str
    model: str
    latency_ms: float
    fitted: bool
    source: str
    #: Parameters that stayed on the chip, where the compiler's log was published with the latency.
    cached_mib: float | None = None
    #: What a segmentation network returns, such as `argmax`; empty for others.
    output: str = ""

    @property
    def label(self) -> str:
        """The network with what it returns."""
        return f"{self.model}, {self.output}" if self.output else self.model


@cache
def measurements(path: Path = TABLE) -> tuple[Measurement, ...]:
    """Every row of the table.

    Raises:
        DataError: a row breaks the format; the message names its line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames != COLUMNS:
            raise DataError(f"{path.name} must have the columns {', '.join(COLUMNS)}.")
        return tuple(_row(path.name, line, fields) for line, fields in enumerate(reader, start=2))


def _row(name: str, line: int, fields: dict[str, str]) -> Measurement:
    try:
        latency_ms = float(fields["latency_ms"])
        cached_mib = float(fields["cached_mib"]) if fields["cached_mib"] else None
    except (TypeError, ValueError):
        latency_ms, cached_mib = 0.0, None
    if not latency_ms > 0 or fields["use"] not in ("fit", "check") or None in fields.values():
        raise DataError(
            f"{name}, line {line}: needs a positive latency_ms and use 'fit' or 'check'."
        )
    return Measurement(
        data_set=fields["data_set"],
        target=fields["target"],
        model=fields["model"],
        latency_ms=latency_ms,
        fitted=fields["use"] == "fit",
        source=fields["source"],
        cached_mib=cached_mib,
        output=fields["output"],
    )


def data_set(name: str) -> tuple[Measurement, ...]:
    """The rows of one data set, in table order."""
    return tuple(row for row in measurements() if row.data_set == name)

"""A user's own measurements: a CSV of models and milliseconds, and the fit of a target to them."""

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_model.calibrate.fit import Fit, Progress, fit
from hw_model.calibrate.profile import with_scales
from hw_model.errors import DataError, UsageError
from hw_model.estimator import graph_of
from hw_model.targets import Target, load_target

MODEL, LATENCY = "model", "latency_ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a measurements file."""

    model: str
    latency_ms: float
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A target with fitted constants, and how well it then agrees with what was measured."""

    target: Target
    fit: Fit


def calibrate(
    target: str | os.PathLike[str] | Target,
    measurements: Sequence[tuple[Any, float]],
    *,
    progress: Progress = iter,
) -> Calibration:
    """Fits the constants a target marks `fitted = true` to measured latencies.

    `measurements` pairs what `estimate` takes (a graph, a spec, a `.tflite` path) with milliseconds.

    Raises:
        UsageError: too few rows for the constants, none marked, or a latency that is no positive number.
    """
    chosen = target if isinstance(target, Target) else load_target(target)
    for model, latency_ms in measurements:
        if not (math.isfinite(latency_ms) and latency_ms > 0):
            name = getattr(model, "name", model)
            raise UsageError(f"A latency is a positive number. Received: {latency_ms} for {name}")
    graphs = [graph_of(model) for model, _ in measurements]
    found = fit(chosen, graphs, [each_ms for _, each_ms in measurements], progress=progress)
    return Calibration(target=with_scales(chosen, found.scales), fit=found)


def read_measurements(path: str | os.PathLike[str]) -> tuple[Row, ...]:
    """The rows of a CSV file with the columns `model` and `latency_ms`; other columns are left alone.

    Raises:
        DataError: the file cannot be read or a row is wrong; the message names its line.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in (MODEL, LATENCY) if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path}: needs the columns {MODEL} and {LATENCY}. Received: "
                    f"{', '.join(reader.fieldnames or ()) or 'nothing'}"
                )
            rows = tuple(_row(path, reader.line_num, fields) for fields in reader)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV text: {error}") from error
    first: dict[str, int] = {}
    for row in rows:
        if row.model in first:
            raise DataError(
                f"{path}, line {row.line}: {row.model} is measured on line {first[row.model]} already; "
                "keep one, or their mean"
            )
        first[row.model] = row.line
    return rows


def _row(path: Path, line: int, fields: dict[str | None, Any]) -> Row:
    model, text = (fields.get(MODEL) or "").strip(), (fields.get(LATENCY) or "").strip()
    try:
        latency_ms = float(text)
    except ValueError:
        latency_ms = math.nan
    if not model or None in fields:
        raise DataError(
            f"{path}, line {line}: needs a model and as many cells as there are columns"
        )
    if not (math.isfinite(latency_ms) and latency_ms > 0):
        raise DataError(
            f"{path}, line {line}: {LATENCY} must be a positive number. Received: {text!r}"
        )
    return Row(model=model, latency_ms=latency_ms, line=line)

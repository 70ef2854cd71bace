"""`edgezoo calibrate`: fits the constants a target file leaves open to latencies measured on the device."""

import argparse
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import DataError, EdgeZooError, SpecError, UsageError
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.options import add_json, add_target
from pipelines.cli.references import graph_of, is_tflite

if TYPE_CHECKING:
    from hw_model.calibrate import Calibration
    from hw_model.calibrate.measured import Row
    from hw_model.graph import Graph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `calibrate`."""
    add_target(parser, default=None)
    parser.add_argument(
        "--measurements",
        metavar="FILE.csv",
        required=True,
        help="columns model (a name of the zoo, a spec.json or a .tflite file, sought beside the CSV too) "
        "and latency_ms",
    )
    parser.add_argument(
        "--out", metavar="FILE.toml", help="write the target with the fitted constants here"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Fits, writes the target where asked, and shows errors with each row in the fit and left out of it."""
    from hw_model import load_target
    from hw_model.calibrate import calibrate, read_measurements
    from hw_model.calibrate.profile import scales_of

    if not args.target:
        raise UsageError("Say which target to fit: --target FILE.toml, or a name and --out")
    if args.out and not args.out.endswith(".toml"):
        raise UsageError(f"--out is a .toml file. Received: {args.out}")
    target = load_target(args.target)
    rows = read_measurements(args.measurements)
    graphs = [_graph(Path(args.measurements), row) for row in rows]
    pairs = [(graph, row.latency_ms) for graph, row in zip(graphs, rows, strict=True)]
    found = calibrate(target, pairs, progress=_bar)
    before = scales_of(target)
    source = f"fitted to {Path(args.measurements).name}, {len(rows)} rows"
    text = _text(found, rows, before)
    written = _target_text(args.target, found, source)
    if args.out:
        from hw_model.files import write_text

        write_text(args.out, written)
        text += f"\n\nWritten to {args.out}; use it with --target {args.out}"
    else:
        text += "\n\nNothing written; --out FILE.toml writes the target with these constants"
    return Answer(text=text, data=_data(found, rows, before, args.out))


def _bar(rows: Sequence[int]) -> Iterable[int]:
    """A progress bar over the rows left out; it stays away from short fits."""
    from tqdm import tqdm

    return tqdm(rows, desc="leaving rows out", unit="row", delay=2, leave=False)


def _graph(table_path: Path, row: "Row") -> "Graph":
    """The graph behind a row; a path may be relative to the CSV."""
    reference = row.model
    beside = table_path.parent / reference
    if not Path(reference).exists() and beside.is_file():
        reference = str(beside)
    try:
        return graph_of(reference)
    except EdgeZooError as error:
        raise DataError(f"{table_path}, line {row.line}: {error}") from error


def _target_text(name: str, found: "Calibration", source: str) -> str:
    """The target's file with the fitted constants; it must be one that can be read again."""
    from hw_model.targets.loader import FOLDER, from_data
    from hw_model.targets.writer import Change, with_changes

    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    changes = {
        key: Change(value=float(f"{value:.4g}") if value > 1e-3 else 0.0, source=source)
        for key, value in found.fit.scales.items()
    }
    error = round(found.fit.left_out.mape, 3)
    changes["accuracy.analytical_error"] = Change(
        value=error, source=f"mean relative error of rows left out, {source}"
    )
    changes["accuracy.simulator_error"] = Change(
        value=error, source=f"assumed: as the analytical evaluator's, {source}", assumption=True
    )
    text = with_changes(path, changes)
    try:
        from_data(tomllib.loads(text))
        # One ratio that runs away is told beside the fit; the speed of everything is no such thing.
        if (speed := "overhead.mapping_efficiency") in found.fit.untold:
            raise SpecError(speed, f"would be {found.fit.scales[speed]:.3g}")
    except SpecError as problem:
        raise DataError(
            f"The best fit lies where no target can be ({problem}): check the measurements' unit, or mark "
            "fewer constants with `fitted = true`"
        ) from problem
    return text


def _text(found: "Calibration", rows: "Sequence[Row]", before: dict[str, float]) -> str:
    fit = found.fit
    units = {constant.path: constant.unit for constant in found.target.constants}
    changed = [
        [name, round(before[name], 4), round(value, 4), units[name]]
        for name, value in fit.scales.items()
    ]
    return "\n\n".join(
        [
            table(["model", "measured ms", "predicted ms", "error", "left out"], _errors(found, rows)),
            table(["constant", "before", "fitted", "unit"], changed),
            facts(
                [
                    ("mean error", f"{fit.fitted.mape:.1%} in the fit, {fit.left_out.mape:.1%} left out"),
                    ("largest", f"{fit.fitted.max_error:.1%} in the fit, {fit.left_out.max_error:.1%} left out"),
                    ("rank order", f"Spearman {fit.left_out.spearman:.3f} over {len(rows)} rows left out"),
                ]
            ),
            *(f"warning  {_untold(name)}" for name in fit.untold),
        ]
    )  # fmt: skip


def _untold(name: str) -> str:
    return (
        f"{name} ended as far from its start as it may: these measurements do not tell it; measure networks that "
        "spend their time elsewhere, or take its `fitted = true` away"
    )


def _errors(found: "Calibration", rows: "Sequence[Row]") -> list[list[object]]:
    each = zip(rows, found.fit.predicted_ms, found.fit.left_out_ms, strict=True)
    return [
        [
            Path(row.model).name if is_tflite(row.model) else row.model,
            row.latency_ms,
            round(predicted, 4),
            f"{predicted / row.latency_ms - 1:+.1%}",
            f"{left_out / row.latency_ms - 1:+.1%}",
        ]
        for row, predicted, left_out in each
    ]


def _data(
    found: "Calibration", rows: "Sequence[Row]", before: dict[str, float], out: str | None
) -> dict[str, Any]:
    fit = found.fit
    each = zip(rows, fit.predicted_ms, fit.left_out_ms, strict=True)
    return {
        "target": found.target.name,
        "constants": {
            name: {"before": before[name], "fitted": value} for name, value in fit.scales.items()
        },
        "untold": list(fit.untold),
        "mean_error": fit.fitted.mape,
        "mean_error_left_out": fit.left_out.mape,
        "spearman_left_out": fit.left_out.spearman,
        "rows": [
            {
                "model": row.model,
                "latency_ms": row.latency_ms,
                "predicted_ms": predicted,
                "left_out_ms": left_out,
            }
            for row, predicted, left_out in each
        ],
        "written": out,
    }

"""Compares the cost model with published latencies, rows left out of the fit in turn. Writes results/cost*.json.

`--fit` instead fits the scales that each target declares and prints what its TOML file should say.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from record import Column, save

from hw_model import load_target
from hw_model.calibrate.correlate import Correlation, correlate
from hw_model.calibrate.fit import Fit, fit
from hw_model.calibrate.published import Measurement, data_set
from hw_model.calibrate.reference_nets import reference_net
from hw_model.cost import evaluator_for
from hw_model.graph import Graph
from model_zoo.registry import entries, spec_of

FITTED = ("pixel6", "pixel4", "coral_usb", "coral_devboard")
CHECKED = {
    "coral_zoo": "coral.ai/models, same device, other table",
    "coral_jetson": "Jetson Nano as host",
    "conv_sweep": "68 chains of five 3x3 convolutions, link and host unknown",
}
COMMAND = "python benchmarks/cost_vs_published.py"
MODEL_COLUMNS = (
    Column(key="model", heading="Network"),
    Column(key="target", heading="Target"),
    Column(key="published_ms", heading="Published ms", format=".2f"),
    Column(key="predicted_ms", heading="Predicted ms", format=".2f"),
    Column(key="error_percent", heading="Error %", format="+.1f"),
    Column(key="left_out_percent", heading="Error % when left out of the fit", format="+.1f"),
)
SET_COLUMNS = (
    Column(key="data_set", heading="Published table"),
    Column(key="n", heading="Networks", format="d"),
    Column(key="spearman", heading="Spearman", format=".3f"),
    Column(key="kendall", heading="Kendall", format=".3f"),
    Column(key="mape_percent", heading="Mean error %", format=".1f"),
    Column(key="left_out_percent", heading="Mean error % left out", format=".1f"),
    Column(key="max_percent", heading="Largest error %", format=".1f"),
    Column(key="macs_percent", heading="Left out, line through MACs %", format=".1f"),
    Column(key="parameters_percent", heading="Left out, line through parameters %", format=".1f"),
)


@cache
def graph_of(name: str) -> Graph:
    """A network by the name the published table uses."""
    return spec_of(name).graph() if name in entries() else reference_net(name)


@cache
def fit_of(name: str) -> Fit:
    """The fit of one target to its data set."""
    rows = data_set(name)
    graphs = [graph_of(row.model) for row in rows]
    return fit(load_target(name), graphs, [row.latency_ms for row in rows])


def predicted_ms(target: str, rows: Sequence[Measurement], *, scales_of: str = "") -> list[float]:
    """Latencies a shipped target predicts, with another target's scales where asked."""
    chosen = load_target(target)
    if scales_of:
        chosen = replace(chosen, overhead=load_target(scales_of).overhead)
    evaluator = evaluator_for(chosen)
    return [evaluator.report(graph_of(row.model)).latency_ms for row in rows]


def line_left_out(feature: Sequence[float], measured: Sequence[float]) -> float:
    """Mean relative error of `a x + b`, fitted to relative errors without the row it predicts."""
    x, y = np.asarray(feature), np.asarray(measured)
    errors = []
    for row in range(len(y)):
        keep = np.arange(len(y)) != row
        columns = np.stack([x[keep] / y[keep], 1 / y[keep]], axis=1)
        (slope, offset), *_ = np.linalg.lstsq(columns, np.ones(int(keep.sum())), rcond=None)
        errors.append(abs((slope * x[row] + offset) / y[row] - 1))
    return float(np.mean(errors))


def model_rows() -> list[dict[str, Any]]:
    """One row for each network of the zoo in a fitted table."""
    result = []
    for name in FITTED:
        rows, fitted = data_set(name), fit_of(name)
        shipped = predicted_ms(name, rows)
        for row, now, left_out in zip(rows, shipped, fitted.left_out_ms, strict=True):
            if row.model in entries():
                result.append(
                    {
                        "model": row.model,
                        "target": name,
                        "published_ms": row.latency_ms,
                        "predicted_ms": round(now, 4),
                        "error_percent": round(100 * (now / row.latency_ms - 1), 2),
                        "left_out_percent": round(100 * (left_out / row.latency_ms - 1), 2),
                    }
                )
    return result


def _agreement(label: str, found: Correlation, **more: float | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "data_set": label,
        "n": found.n,
        "spearman": round(found.spearman, 4),
        "kendall": round(found.kendall, 4),
        "mape_percent": round(100 * found.mape, 2),
        "max_percent": round(100 * found.max_error, 2),
    }
    return row | {key: None if v is None else round(100 * v, 2) for key, v in more.items()}


def set_rows() -> list[dict[str, Any]]:
    """One row for each published table: the fitted ones, then those only checked."""
    result = []
    for name in FITTED:
        rows = data_set(name)
        measured = [row.latency_ms for row in rows]
        graphs = [graph_of(row.model) for row in rows]
        result.append(
            _agreement(
                f"{name} (fitted)",
                correlate(predicted_ms(name, rows), measured),
                left_out_percent=fit_of(name).left_out.mape,
                macs_percent=line_left_out([graph.macs for graph in graphs], measured),
                parameters_percent=line_left_out([graph.param_count for graph in graphs], measured),
            )
        )
    board = data_set("coral_devboard")
    moved = predicted_ms("coral_devboard", board, scales_of="coral_usb")
    unfitted = {"left_out_percent": None, "macs_percent": None, "parameters_percent": None}
    result.append(
        _agreement(
            "coral_devboard with the scales of coral_usb (checked)",
            correlate(moved, [row.latency_ms for row in board]),
            **unfitted,
        )
    )
    for name, note in CHECKED.items():
        rows = data_set(name)
        found = correlate(predicted_ms(rows[0].target, rows), [row.latency_ms for row in rows])
        result.append(_agreement(f"{name} (checked): {note}", found, **unfitted))
    return result


def notes() -> list[str]:
    """What a reader must know to judge the figures."""
    six = next(row for row in set_rows() if row["data_set"].startswith("pixel6"))
    return [
        f"Over the nine networks published for Pixel 6: Spearman {six['spearman']:.2f}, mean error "
        f"{six['mape_percent']:.1f} %, {six['left_out_percent']:.1f} % when each is left out of the fit "
        f"(a line through multiply-adds alone: {six['macs_percent']:.1f} %).",
        "Two scales are fitted per target (on the rows of its own table, of which the zoo's are shown); the "
        "sizes of the Pixel chips are assumptions, marked in `hw_model/targets`.",
    ]


def print_fits() -> None:
    """What the TOML files should say."""
    for name in FITTED:
        found = fit_of(name)
        scales = ", ".join(f"{scale} = {value:.4g}" for scale, value in found.scales.items())
        print(f"{name}: {scales}, analytical_error = {found.left_out.mape:.2g}")


def main() -> None:
    """Writes the tables, or prints the fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="print fitted scales, write nothing")
    if parser.parse_args().fit:
        print_fits()
        return
    save("cost", command=COMMAND, columns=MODEL_COLUMNS, rows=model_rows(), notes=notes())
    save("cost_agreement", command=COMMAND, columns=SET_COLUMNS, rows=set_rows())


if __name__ == "__main__":
    main()

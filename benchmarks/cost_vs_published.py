"""Compares the cost model with published latencies, rows left out of the fit in turn. Writes results/cost*.json.

`--fit` instead fits the constants that each target declares and prints what its TOML file should say.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from record import Column, save

from hw_model import load_target
from hw_model.calibrate.correlate import Correlation, correlate
from hw_model.calibrate.fit import Fit, declared_scales, fit_profiles
from hw_model.calibrate.profile import Profile, scales_of, with_scales
from hw_model.calibrate.published import Measurement, data_set
from hw_model.calibrate.reference_nets import reference_net
from hw_model.cost import evaluator_for
from hw_model.graph import Graph
from model_zoo.registry import entries, spec_of

FITTED = ("pixel6", "pixel4", "coral_usb", "coral_devboard")
MIB = 1 << 20
EFFICIENCY, POINTWISE = "overhead.mapping_efficiency", "overhead.pointwise_ratio"
RATE, CALL = "link.parameter_mb_per_s", "overhead.inference_us"
#: An idle call on the Jetson host of the micro-benchmarks: their smallest published row.
JETSON_CALL_US = 292.0


@dataclass(frozen=True, kw_only=True)
class Study:
    """A published table: what of its target is fitted to it, and what is held at another value."""

    table: str
    label: str
    fits: tuple[str, ...] = ()
    holds: dict[str, float] = field(default_factory=dict)
    also: str = ""
    on_chip: bool = False


STUDIES = (
    *(Study(table=name, label=f"{name}, fitted", fits=("declared",)) for name in FITTED),
    Study(table="coral_usb", label="coral_usb, fitted, networks that fit the chip", fits=("declared",), on_chip=True),
    Study(table="coral_usb", label="coral_usb with the two rows left out of its fit", fits=("declared",),
          also="coral_usb_excluded"),
    Study(table="coral_devboard", label="coral_devboard with the two rows left out of its fit", fits=("declared",),
          also="coral_devboard_excluded"),
    Study(table="coral_devboard", label="coral_devboard: coral_usb's constants, two of the link fitted",
          fits=(RATE, CALL)),
    Study(table="coral_zoo", label="coral_zoo: same device, another table; nothing fitted"),
    Study(table="coral_jetson", label="coral_jetson: Jetson Nano as host; nothing fitted"),
    Study(table="pixel6_older", label="pixel6_older: an earlier revision's row; nothing fitted"),
    Study(table="jetson_conv", label="7x7 convolution chains, Jetson: one scale", fits=(EFFICIENCY,),
          holds={CALL: JETSON_CALL_US}),
    Study(table="jetson_dense", label="dense chains, Jetson: one scale", fits=(RATE,),
          holds={CALL: JETSON_CALL_US, EFFICIENCY: 1.0, POINTWISE: 1.0}),
    Study(table="jetson_input", label="image in, pixel out, Jetson: one scale", fits=("link.input_mb_per_s",),
          holds={CALL: JETSON_CALL_US}),
    Study(table="jetson_output", label="pixel in, image out, Jetson: one scale", fits=("link.output_mb_per_s",),
          holds={CALL: JETSON_CALL_US}),
    # 2.75 ms/MiB is the slope of the same author's sweep of dense layers.
    Study(table="conv_sweep", label="68 chains of five 3x3 convolutions: one scale", fits=(EFFICIENCY,),
          holds={CALL: JETSON_CALL_US, RATE: MIB / 2.75e3}),
)  # fmt: skip
COMMAND = "python benchmarks/cost_vs_published.py"
MODEL_COLUMNS = (
    Column(key="model", heading="Network"),
    Column(key="target", heading="Target"),
    Column(key="published_ms", heading="Published ms", format=".2f"),
    Column(key="predicted_ms", heading="Predicted ms", format=".2f"),
    Column(key="error_percent", heading="Error %", format="+.1f"),
    Column(key="left_out_percent", heading="Error % when left out of the fit", format="+.1f"),
)
ROW_COLUMNS = (Column(key="table", heading="Published table"), *MODEL_COLUMNS)
SET_COLUMNS = (
    Column(key="data_set", heading="Published table"),
    Column(key="n", heading="Networks", format="d"),
    Column(key="fitted", heading="Constants fitted", format="d"),
    Column(key="spearman", heading="Spearman", format=".3f"),
    Column(key="kendall", heading="Kendall", format=".3f"),
    Column(key="mape_percent", heading="Mean error %", format=".1f"),
    Column(key="left_out_percent", heading="Mean error % left out", format=".1f"),
    Column(key="simulator_percent", heading="Simulator, left out", format=".1f"),
    Column(key="max_percent", heading="Largest error %", format=".1f"),
    Column(key="within_10_percent", heading="Within 10 %, left out", format=".0f"),
    Column(key="macs_percent", heading="Left out, line through MACs %", format=".1f"),
    Column(key="parameters_percent", heading="Left out, line through parameters %", format=".1f"),
)


@cache
def graph_of(name: str) -> Graph:
    """A network by the name the published table uses."""
    return spec_of(name).graph() if name in entries() else reference_net(name)


def rows_of(study: Study) -> list[Measurement]:
    """The rows of a study, in table order."""
    rows = [*data_set(study.table), *data_set(study.also)]
    if study.on_chip:
        rows = [row for row in rows if not _streams(row)]
    return rows


def _streams(row: Measurement) -> bool:
    return evaluator_for(load_target(row.target)).report(graph_of(row.model)).streamed_bytes > 0


def profile_of(row: Measurement) -> Profile:
    """Counted work of a row, with the parameters on the chip that its compiler logged, where that is published."""
    target = load_target(row.target)
    if row.cached_mib is not None:
        room = int(row.cached_mib * MIB)
        target = replace(target, memory=replace(target.memory, parameter_bytes=room))
    return Profile(target, graph_of(row.model))


@cache
def _study_fit(index: int) -> tuple[tuple[float, ...], Fit | None]:
    """Latencies predicted by a study, and its fit where it has one."""
    study = STUDIES[index]
    rows = rows_of(study)
    target = load_target(rows[0].target)
    profiles = [profile_of(row) for row in rows]
    start = scales_of(target) | study.holds
    if not study.fits:
        return tuple(profile.latency_ms(start) for profile in profiles), None
    names = declared_scales(target) if study.fits == ("declared",) else study.fits
    found = fit_profiles(start, names, profiles, [row.latency_ms for row in rows])
    return found.predicted_ms, found


def fit_of(name: str) -> Fit:
    """The fit of one target to its data set."""
    _, found = _study_fit(FITTED.index(name))
    assert found is not None
    return found


@cache
def simulator_of(name: str) -> Correlation:
    """The simulator on a target's table, each network with the constants of a fit that never saw it.

    The constants are those of the analytical evaluator: nothing is fitted to the simulator.
    """
    target, rows = load_target(name), rows_of(STUDIES[FITTED.index(name)])
    predicted = [
        evaluator_for(with_scales(target, scales), "simulator")
        .report(graph_of(row.model))
        .latency_ms
        for row, scales in zip(rows, fit_of(name).left_out_scales, strict=True)
    ]
    return correlate(predicted, [row.latency_ms for row in rows])


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


def error_rows() -> list[dict[str, Any]]:
    """One row for each network of each study."""
    result = []
    for index, study in enumerate(STUDIES):
        predicted, found = _study_fit(index)
        left_out = found.left_out_ms if found else [None] * len(predicted)
        for row, now, without in zip(rows_of(study), predicted, left_out, strict=True):
            result.append(
                {
                    "table": study.label,
                    "model": row.model,
                    "target": row.target,
                    "published_ms": row.latency_ms,
                    "predicted_ms": round(now, 4),
                    "error_percent": round(100 * (now / row.latency_ms - 1), 2),
                    "left_out_percent": None
                    if without is None
                    else round(100 * (without / row.latency_ms - 1), 2),
                }
            )
    return result


def model_rows() -> list[dict[str, Any]]:
    """One row for each network of the zoo in a table that a shipped target is fitted to."""
    shown = {study.label for study in STUDIES[: len(FITTED)]}
    return [
        {key: value for key, value in row.items() if key != "table"}
        for row in error_rows()
        if row["table"] in shown and row["model"] in entries()
    ]


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)


def set_rows() -> list[dict[str, Any]]:
    """One row for each study."""
    result = []
    for index, study in enumerate(STUDIES):
        rows = rows_of(study)
        if len(rows) < 2:
            continue
        predicted, found = _study_fit(index)
        measured = [row.latency_ms for row in rows]
        now: Correlation = correlate(predicted, measured)
        lines: dict[str, float | None] = dict.fromkeys(
            ("simulator_percent", "macs_percent", "parameters_percent")
        )
        if index < len(FITTED):
            graphs = [graph_of(row.model) for row in rows]
            lines["macs_percent"] = line_left_out([graph.macs for graph in graphs], measured)
            lines["parameters_percent"] = line_left_out([g.param_count for g in graphs], measured)
            lines["simulator_percent"] = simulator_of(FITTED[index]).mape
        result.append(
            {
                "data_set": study.label,
                "n": now.n,
                "fitted": len(found.scales) if found else 0,
                "spearman": round((found.left_out if found else now).spearman, 4),
                "kendall": round((found.left_out if found else now).kendall, 4),
                "mape_percent": _percent(now.mape),
                "left_out_percent": _percent(found.left_out.mape if found else None),
                "max_percent": _percent((found.left_out if found else now).max_error),
                "within_10_percent": _percent((found.left_out if found else now).within_10_percent),
                **{key: _percent(value) for key, value in lines.items()},
            }
        )
    return result


def notes() -> list[str]:
    """What a reader must know to judge the figures."""
    six = next(row for row in set_rows() if row["data_set"].startswith("pixel6"))
    return [
        f"Over the nine networks published for Pixel 6: Spearman {six['spearman']:.2f}, mean error "
        f"{six['mape_percent']:.1f} %, {six['left_out_percent']:.1f} % when each is left out of the fit "
        f"(a line through multiply-adds alone: {six['macs_percent']:.1f} %).",
        "One to four constants are fitted per target (on the rows of its own table, of which the zoo's are "
        "shown); the sizes of the Pixel chips are assumptions, marked in `hw_model/targets`.",
    ]


def set_notes() -> list[str]:
    """How the studies were made."""
    return [
        "Ranks, the largest error and the share within 10 % are of rows left out where something is fitted.",
        "The form of the model (what is hidden behind what, which scales exist) was chosen with the coral_usb "
        "rows in sight, and SqueezeNet's version from the CPU columns of its table; the two rows left out of "
        "the Coral fits were dropped after their errors were seen.",
        "The simulator runs with the constants that were fitted to the analytical evaluator.",
        "Dense chains and 7x7 chains take the cached bytes that their compiler logged.",
    ]


def print_fits() -> None:
    """What the TOML files should say."""
    for name in FITTED:
        found = fit_of(name)
        scales = ", ".join(f"{path} = {value:.4g}" for path, value in found.scales.items())
        print(
            f"{name}: {scales}, analytical_error = {found.left_out.mape:.2g}, "
            f"simulator_error = {simulator_of(name).mape:.2g}"
        )


def print_sets() -> None:
    """The agreement table for a terminal."""
    for row in set_rows():
        left_out = row["left_out_percent"]
        print(
            f"{row['data_set']:<64} n {row['n']:>2}  fitted {row['fitted']}  spearman {row['spearman']:.3f}  "
            f"mean {row['mape_percent']:5.1f} %  left out "
            f"{'    –' if left_out is None else format(left_out, '5.1f')} %  "
            f"largest {row['max_percent']:5.1f} %  within 10 %: {row['within_10_percent']:.0f}"
        )


def main() -> None:
    """Writes the tables, or prints the fits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="print fitted constants, write nothing")
    if parser.parse_args().fit:
        print_fits()
        return
    save("cost", command=COMMAND, columns=MODEL_COLUMNS, rows=model_rows(), notes=notes())
    save("cost_agreement", command=COMMAND, columns=SET_COLUMNS, rows=set_rows(), notes=set_notes())
    save("cost_rows", command=COMMAND, columns=ROW_COLUMNS, rows=error_rows())
    print_sets()


if __name__ == "__main__":
    main()

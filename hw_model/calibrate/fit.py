"""Fits the few nuisance scales of a target to published latencies, and says how well it does on rows left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hw_model.calibrate.correlate import Correlation, correlate
from hw_model.cost import Analytical
from hw_model.errors import UsageError
from hw_model.graph import Graph
from hw_model.targets.target import Target

Values = npt.NDArray[np.float64]
SCALES = ("mapping_efficiency", "op_us", "inference_us")
MAX_SCALES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Fitted scales; `left_out` compares each row with a fit that never saw it."""

    scales: dict[str, float]
    predicted_ms: tuple[float, ...]
    left_out_ms: tuple[float, ...]
    fitted: Correlation
    left_out: Correlation


def latencies_ms(target: Target, graphs: Sequence[Graph]) -> list[float]:
    """Predicted latency of each graph."""
    evaluator = Analytical(target)
    return [evaluator.report(graph).latency_ms for graph in graphs]


def declared_scales(target: Target) -> tuple[str, ...]:
    """The scales that a target's file marks as fitted."""
    return tuple(
        name
        for constant in target.constants
        if constant.fitted and (name := constant.path.removeprefix("overhead.")) in SCALES
    )


def fit(target: Target, graphs: Sequence[Graph], measured_ms: Sequence[float]) -> Fit:
    """Fits the scales that the target declares as fitted, and again without each row in turn.

    Raises:
        UsageError: the target declares none or too many, or there are too few rows for them.
    """
    names = declared_scales(target)
    if not 1 <= len(names) <= MAX_SCALES:
        raise UsageError(
            f"A target fits 1 to {MAX_SCALES} scales; mark them in [overhead]. Received: {names}"
        )
    if len(graphs) < len(names) + 2 or len(graphs) != len(measured_ms):
        raise UsageError(
            f"{len(names)} scales need at least {len(names) + 2} rows. Received: {len(graphs)}"
        )
    best = _solve(target, names, graphs, measured_ms)
    left_out = []
    for index, graph in enumerate(graphs):
        others = [row for row in range(len(graphs)) if row != index]
        partial = _solve(
            best, names, [graphs[row] for row in others], [measured_ms[row] for row in others]
        )
        left_out += latencies_ms(partial, [graph])
    predicted = latencies_ms(best, graphs)
    return Fit(
        scales={name: getattr(best.overhead, name) for name in names},
        predicted_ms=tuple(predicted),
        left_out_ms=tuple(left_out),
        fitted=correlate(predicted, measured_ms),
        left_out=correlate(left_out, measured_ms),
    )


def _solve(
    target: Target, names: tuple[str, ...], graphs: Sequence[Graph], measured_ms: Sequence[float]
) -> Target:
    """Least squares of log ratios over log scales: relative errors count alike for small and large networks."""
    goal = np.log(np.asarray(measured_ms))
    logs = np.log([max(getattr(target.overhead, name), 1e-3) for name in names])
    damping = 1e-3
    residual = _residual(target, names, logs, graphs, goal)
    for _ in range(40):
        slopes = np.stack(
            [
                (_residual(target, names, logs + step, graphs, goal) - residual) / 1e-3
                for step in 1e-3 * np.eye(len(names))
            ],
            axis=1,
        )
        normal = slopes.T @ slopes
        move = -np.linalg.solve(
            normal + damping * np.diag(np.diag(normal) + 1e-9), slopes.T @ residual
        )
        trial = logs + np.clip(move, -1.0, 1.0)
        after = _residual(target, names, trial, graphs, goal)
        gain = float(residual @ residual - after @ after)
        if gain > 0:
            logs, residual, damping = trial, after, damping / 5
            if gain < 1e-9:
                break
        else:
            damping *= 10
            if damping > 1e4:
                break
    return _scaled(target, names, logs)


def _residual(
    target: Target, names: tuple[str, ...], logs: Values, graphs: Sequence[Graph], goal: Values
) -> Values:
    result: Values = np.log(latencies_ms(_scaled(target, names, logs), graphs)) - goal
    return result


def _scaled(target: Target, names: tuple[str, ...], logs: Values) -> Target:
    values = {name: float(value) for name, value in zip(names, np.exp(logs), strict=True)}
    return replace(target, overhead=replace(target.overhead, **values))

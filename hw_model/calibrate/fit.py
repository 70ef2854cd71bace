"""Fits the few nuisance scales of a target to published latencies, and says how well it does on rows left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hw_model.calibrate.correlate import Correlation, correlate
from hw_model.cost.analytical import Analytical, OpCost, calls
from hw_model.errors import UsageError
from hw_model.graph import Graph
from hw_model.targets.target import Overhead, Target

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


class Profile:
    """A graph's latency as a function of the nuisance scales alone: what a fit evaluates thousands of times."""

    def __init__(self, target: Target, graph: Graph) -> None:
        costs = {op_us: _spent(target, graph, op_us) for op_us in (0.0, 1.0)}
        self._chip_us = np.array([cost.chip_us for cost, _ in costs[0.0]])
        self._stream_us = np.array([cost.stream_us * streamed for cost, streamed in costs[0.0]])
        self._fixed_us = sum(cost.overhead_us for cost, _ in costs[0.0])
        self._starts = sum(cost.overhead_us for cost, _ in costs[1.0]) - self._fixed_us
        report = Analytical(target).report(graph)
        self._fixed_us += report.model_terms.total_us - target.overhead.inference_us

    def latency_ms(self, overhead: Overhead) -> float:
        """What the evaluator would say with these scales."""
        busy_us = np.maximum(self._chip_us / overhead.mapping_efficiency, self._stream_us).sum()
        other_us = self._fixed_us + self._starts * overhead.op_us + overhead.inference_us
        return float(busy_us + other_us) / 1e3


def _spent(target: Target, graph: Graph, op_us: float) -> list[tuple[OpCost, bool]]:
    bare = replace(target.overhead, mapping_efficiency=1.0, op_us=op_us, inference_us=0.0)
    unscaled = replace(target, overhead=bare)
    return list(Analytical(unscaled).spent(calls(graph, unscaled)))


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
    profiles = [Profile(target, graph) for graph in graphs]
    best = _solve(target.overhead, names, profiles, measured_ms)
    predicted = [profile.latency_ms(best) for profile in profiles]
    left_out = []
    for index, profile in enumerate(profiles):
        others = [row for row in range(len(graphs)) if row != index]
        without = _solve(
            best, names, [profiles[row] for row in others], [measured_ms[row] for row in others]
        )
        left_out.append(profile.latency_ms(without))
    return Fit(
        scales={name: getattr(best, name) for name in names},
        predicted_ms=tuple(predicted),
        left_out_ms=tuple(left_out),
        fitted=correlate(predicted, measured_ms),
        left_out=correlate(left_out, measured_ms),
    )


def _solve(
    start: Overhead,
    names: tuple[str, ...],
    profiles: Sequence[Profile],
    measured_ms: Sequence[float],
) -> Overhead:
    """Least squares of log ratios over log scales: relative errors count alike for small and large networks."""
    goal = np.log(np.asarray(measured_ms))

    def scaled(logs: Values) -> Overhead:
        values = {name: float(value) for name, value in zip(names, np.exp(logs), strict=True)}
        return replace(start, **values)

    def residual(logs: Values) -> Values:
        overhead = scaled(logs)
        result: Values = np.log([profile.latency_ms(overhead) for profile in profiles]) - goal
        return result

    first = np.log([max(getattr(start, name), 1e-3) for name in names])
    return scaled(_levenberg_marquardt(residual, first))


def _levenberg_marquardt(residual: Callable[[Values], Values], start: Values) -> Values:
    """The parameters with the least sum of squared residuals near `start`."""
    step, damping = 1e-4, 1e-3
    best, errors = start, residual(start)
    for _ in range(200):
        shifted = [residual(best + move) for move in step * np.eye(len(best))]
        slopes = np.stack([(after - errors) / step for after in shifted], axis=1)
        normal = slopes.T @ slopes
        damped = normal + damping * np.diag(np.diag(normal) + 1e-9)
        move = np.clip(-np.linalg.solve(damped, slopes.T @ errors), -1.0, 1.0)
        trial = residual(best + move)
        if trial @ trial < errors @ errors:
            small = bool(np.abs(move).max() < 1e-7)
            best, errors, damping = best + move, trial, damping / 5
            if small:
                break
        else:
            damping *= 10
            if damping > 1e6:
                break
    return best

"""Fits the few nuisance constants of a target to latencies, and says how well it does on rows left out."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_model.calibrate.correlate import Correlation, correlate
from hw_model.calibrate.profile import SCALES, Profile, scales_of
from hw_model.errors import UsageError
from hw_model.graph import Graph
from hw_model.targets.target import Target

Values = npt.NDArray[np.float64]
Progress = Callable[[Sequence[int]], Iterable[int]]
MAX_SCALES = 5
#: Smallest start of a scale: the fit walks along logarithms.
_FLOOR = 1e-3
#: A share of full speed that leaves its start by more than this is one that the rows do not tell.
_MOST_TIMES = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Fitted constants by path; `left_out` compares each row with a fit that never saw it."""

    scales: dict[str, float]
    #: The constants that each row was left out of.
    left_out_scales: tuple[dict[str, float], ...]
    predicted_ms: tuple[float, ...]
    left_out_ms: tuple[float, ...]
    fitted: Correlation
    left_out: Correlation
    #: Those that ended as far from their start as they may.
    untold: tuple[str, ...] = ()


def declared_scales(target: Target) -> tuple[str, ...]:
    """Paths of the constants that a target's file marks as fitted.

    Raises:
        UsageError: it marks none, too many, or one that latencies cannot tell.
    """
    names = tuple(constant.path for constant in target.constants if constant.fitted)
    other = [name for name in names if name not in SCALES]
    if other:
        raise UsageError(
            f"Target {target.name}: latencies cannot tell {other[0]}; `fitted = true` may stand at "
            f"{', '.join(SCALES)}"
        )
    if not 1 <= len(names) <= MAX_SCALES:
        raise UsageError(
            f"Target {target.name}: mark 1 to {MAX_SCALES} constants with `fitted = true`. "
            f"Received: {', '.join(names) or 'none'}"
        )
    return names


def fit(
    target: Target,
    graphs: Sequence[Graph],
    measured_ms: Sequence[float],
    *,
    progress: Progress = iter,
) -> Fit:
    """Fits the constants that the target declares as fitted, and again without each row in turn.

    Constants that fewer than two rows depend on keep their value: a network without ArgMax says nothing of it.
    `progress` sees the rows pass by, as a progress bar does.

    Raises:
        UsageError: the target declares none or too many, or there are too few rows for them.
    """
    profiles = [Profile(target, graph) for graph in graphs]
    start, declared = scales_of(target), declared_scales(target)
    names = told(start, declared, profiles)
    if not names and len(profiles) > 1:
        raise UsageError(
            f"Target {target.name}: no two rows depend on {', '.join(declared)}; measure other networks"
        )
    return fit_profiles(start, names or declared, profiles, measured_ms, progress=progress)


def told(
    start: dict[str, float], names: Sequence[str], profiles: Sequence[Profile]
) -> tuple[str, ...]:
    """Those constants that at least two rows depend on: one that is left out then leaves another."""

    def depends(profile: Profile, name: str) -> bool:
        doubled = start | {name: 2 * max(start[name], _FLOOR)}
        return profile.latency_ms(doubled) != profile.latency_ms(start)

    return tuple(name for name in names if sum(depends(profile, name) for profile in profiles) > 1)


def fit_profiles(
    start: dict[str, float],
    names: Sequence[str],
    profiles: Sequence[Profile],
    measured_ms: Sequence[float],
    *,
    progress: Progress = iter,
) -> Fit:
    """The same for counted work and chosen constants; the others keep the value they start with."""
    rows = range(len(profiles))
    if len(rows) < len(names) + 2 or len(rows) != len(measured_ms):
        raise UsageError(
            f"Fitting {', '.join(names)} takes at least {len(names) + 2} rows. Received: {len(rows)}"
        )

    def solve(chosen: Sequence[int], first: dict[str, float]) -> dict[str, float]:
        some = [profiles[i] for i in chosen]
        return _solve(first, start, names, some, [measured_ms[i] for i in chosen])

    best = solve(rows, start)
    predicted = [profile.latency_ms(best) for profile in profiles]
    without = [solve([other for other in rows if other != row], best) for row in progress(rows)]
    left_out = [profiles[row].latency_ms(scales) for row, scales in zip(rows, without, strict=True)]
    return Fit(
        scales={name: best[name] for name in names},
        left_out_scales=tuple({name: scales[name] for name in names} for scales in without),
        predicted_ms=tuple(predicted),
        left_out_ms=tuple(left_out),
        fitted=correlate(predicted, measured_ms),
        left_out=correlate(left_out, measured_ms),
        untold=tuple(name for name in names if not _within(start[name], best[name], name)),
    )


def _reach(name: str) -> float:
    """How far the logarithm of a scale may go from its start."""
    return math.log(_MOST_TIMES) if name.endswith(("_ratio", "_efficiency")) else math.inf


def _within(start: float, found: float, name: str) -> bool:
    return abs(math.log(found / max(start, _FLOOR))) < _reach(name) - 1e-6


def _solve(
    start: dict[str, float],
    origin: dict[str, float],
    names: Sequence[str],
    profiles: Sequence[Profile],
    measured_ms: Sequence[float],
) -> dict[str, float]:
    """Least squares of log ratios over log scales: relative errors count alike for small and large networks.

    Scales stay within reach of their `origin`.
    """
    goal = np.log(np.asarray(measured_ms))
    middle = np.log([max(origin[name], _FLOOR) for name in names])
    reach = np.array([_reach(name) for name in names])

    def scaled(logs: Values) -> dict[str, float]:
        held = np.clip(logs, middle - reach, middle + reach)
        values = np.maximum(np.exp(held), _FLOOR * _FLOOR)
        return start | {name: float(value) for name, value in zip(names, values, strict=True)}

    def residual(logs: Values) -> Values:
        scales = scaled(logs)
        result: Values = np.log([profile.latency_ms(scales) for profile in profiles]) - goal
        return result

    first = np.log([max(start[name], _FLOOR) for name in names])
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

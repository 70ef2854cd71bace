"""How well predictions agree with measurements: ranks, and relative errors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Agreement over `n` pairs; errors are relative to the measurement. Rank figures are NaN-free: 0 if flat."""

    n: int
    spearman: float
    kendall: float
    mape: float
    max_error: float
    within_10_percent: float


def correlate(predicted: Sequence[float], measured: Sequence[float]) -> Correlation:
    """Compares predictions with measurements pair by pair.

    >>> correlate([1.0, 2.0, 4.0], [1.0, 2.0, 3.2]).spearman
    1.0
    """
    p, m = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    if p.shape != m.shape or p.ndim != 1 or p.size < 2:
        raise ValueError(
            f"need two equally long lists of 2 or more. Received: {p.shape}, {m.shape}"
        )
    errors = np.abs(p / m - 1)
    return Correlation(
        n=int(p.size),
        spearman=_pearson(_ranks(p), _ranks(m)),
        kendall=_kendall(p, m),
        mape=float(errors.mean()),
        max_error=float(errors.max()),
        within_10_percent=float((errors <= 0.1).mean()),
    )


def _ranks(values: Values) -> Values:
    """Ranks from 1, ties sharing their mean."""
    below = (values[None, :] < values[:, None]).sum(axis=1)
    equal = (values[None, :] == values[:, None]).sum(axis=1)
    result: Values = below + (equal + 1) / 2
    return result


def _pearson(a: Values, b: Values) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def _kendall(a: Values, b: Values) -> float:
    """Kendall's tau-b."""
    upper = np.triu_indices(a.size, 1)
    x = np.sign(a[:, None] - a[None, :])[upper]
    y = np.sign(b[:, None] - b[None, :])[upper]
    scale = float(np.sqrt((x != 0).sum() * (y != 0).sum()))
    return float((x * y).sum()) / scale if scale else 0.0

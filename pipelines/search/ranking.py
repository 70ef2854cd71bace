"""Rank correlation of two lists of numbers: how far an estimate may be trusted to order architectures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.search.arrays import FloatArray, JsonObject

_BLOCK_ROWS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCorrelation:
    """Spearman's rho and Kendall's tau-b over `pairs` architectures, and what was compared with what."""

    spearman: float
    kendall: float
    pairs: int
    against: str

    def to_data(self) -> JsonObject:
        """The same as a JSON object."""
        return {
            "spearman": round(self.spearman, 4),
            "kendall": round(self.kendall, 4),
            "pairs": self.pairs,
            "against": self.against,
        }

    def __str__(self) -> str:
        return (
            f"Spearman {self.spearman:.2f}, Kendall {self.kendall:.2f} "
            f"over {self.pairs} architectures against {self.against}"
        )


def rank_correlation(
    estimates: Sequence[float] | FloatArray, truths: Sequence[float] | FloatArray, *, against: str
) -> RankCorrelation | None:
    """Both correlations, or None where fewer than three pairs or a constant list make them meaningless."""
    left = np.asarray(estimates, dtype=np.float64)
    right = np.asarray(truths, dtype=np.float64)
    if len(left) < 3 or np.ptp(left) == 0 or np.ptp(right) == 0:
        return None
    return RankCorrelation(
        spearman=spearman(left, right),
        kendall=kendall(left, right),
        pairs=len(left),
        against=against,
    )


def average_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 0; equal values share the mean of the ranks they span.

    >>> average_ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [1.5, 0.0, 1.5]
    """
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle = last - (counts + 1) / 2
    ranks: FloatArray = middle[inverse]
    return ranks


def spearman(left: FloatArray, right: FloatArray) -> float:
    """Pearson correlation of the average ranks."""
    return float(np.corrcoef(average_ranks(left), average_ranks(right))[0, 1])


def kendall(left: FloatArray, right: FloatArray) -> float:
    """Tau-b (corrected for ties), compared in blocks so that memory stays linear."""
    concordance = left_pairs = right_pairs = 0.0
    for start in range(0, len(left), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        left_signs = np.sign(left[rows, None] - left[None, :])
        right_signs = np.sign(right[rows, None] - right[None, :])
        concordance += float((left_signs * right_signs).sum())
        left_pairs += float(np.abs(left_signs).sum())
        right_pairs += float(np.abs(right_signs).sum())
    return concordance / float(np.sqrt(left_pairs * right_pairs))

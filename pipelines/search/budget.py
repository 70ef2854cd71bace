"""What an architecture may cost, and how a reward trades quality against that cost."""

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hw_model.errors import UsageError
from pipelines.search.arrays import BoolArray, FloatArray

# Unit -> (quantity, factor to the quantity's own unit).
_UNITS: dict[str, tuple[str, float]] = {
    "us": ("latency_ms", 1e-3),
    "µs": ("latency_ms", 1e-3),
    "ms": ("latency_ms", 1.0),
    "s": ("latency_ms", 1e3),
    "uJ": ("energy_mj", 1e-3),
    "µJ": ("energy_mj", 1e-3),
    "mJ": ("energy_mj", 1.0),
    "J": ("energy_mj", 1e3),
}
_TEXT = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([^\s\d.]+)\s*")
_SHOWN_UNIT = {"latency_ms": "ms", "energy_mj": "mJ", "mflops": "MFLOPs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most one quantity of a cost report may be.

    >>> Budget.parse("1.2ms"), str(Budget.parse("900 uJ"))
    (Budget(quantity='latency_ms', limit=1.2), '0.9 mJ')
    """

    quantity: str
    limit: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise UsageError(
                f"A budget must be a number above 0. Received: {self.quantity}={self.limit}"
            )

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """Reads a number with a unit of time (us, ms, s) or energy (uJ, mJ, J).

        Raises:
            UsageError: anything else.
        """
        match = _TEXT.fullmatch(text)
        if match is None or match[2] not in _UNITS:
            raise UsageError(
                f"A budget is a number with a unit, such as 1.2ms or 3mJ. Received: {text!r}"
            )
        quantity, factor = _UNITS[match[2]]
        return cls(quantity=quantity, limit=float(match[1]) * factor)

    def show(self, value: float) -> str:
        """A value of this quantity with its unit."""
        return f"{value:.4g} {_SHOWN_UNIT.get(self.quantity, self.quantity)}"

    def __str__(self) -> str:
        return self.show(self.limit)


RewardForm = Literal["hard", "abs", "mnas", "mnas_hard"]
REWARD_FORMS: tuple[RewardForm, ...] = ("hard", "abs", "mnas", "mnas_hard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What a sampler is told instead of bare quality.

    `hard` tells the quality of candidates within the budget and never pays for others. The soft forms
    pay up to `gate_ratio` times the budget and bend the reward: Q + beta * |T/T0 - 1| (`abs`),
    Q * (T/T0)**beta (`mnas`), Q * min(1, (T/T0)**beta) (`mnas_hard`), with Q a fraction.

    Source: Bender et al., "Can weight sharing outperform random architecture search?", CVPR 2020; Tan et
    al., "MnasNet", CVPR 2019. Whatever the form, the best architecture of a study is within its budget.
    """

    form: RewardForm = "hard"
    beta: float = -0.1
    gate_ratio: float = 1.0

    def __post_init__(self) -> None:
        if self.form not in REWARD_FORMS:
            known = ", ".join(REWARD_FORMS)
            raise UsageError(f"reward.form must be one of {known}. Received: {self.form!r}")
        if not self.beta < 0:
            raise UsageError(f"reward.beta must be below 0. Received: {self.beta}")
        if not self.gate_ratio >= 1.0 or (self.form == "hard" and self.gate_ratio != 1.0):
            raise UsageError(
                "reward.gate_ratio must be 1 for the hard form and at least 1 for the others. "
                f"Received: {self.gate_ratio}"
            )

    def affordable(self, spent: FloatArray, budget: Budget) -> BoolArray:
        """Which costs are worth paying quality for."""
        allowed: BoolArray = spent <= budget.limit * self.gate_ratio
        return allowed

    def value(self, quality: FloatArray, spent: FloatArray, budget: Budget) -> FloatArray:
        """The reward of each result."""
        ratio = spent / budget.limit
        if self.form == "abs":
            return quality + self.beta * np.abs(ratio - 1.0)
        if self.form == "mnas":
            return quality * ratio**self.beta
        if self.form == "mnas_hard":
            return quality * np.minimum(1.0, ratio**self.beta)
        return quality

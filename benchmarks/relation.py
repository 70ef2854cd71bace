"""A relation that a paper states, and what measured values say of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from relation_measures import Costs

ABOVE = float("inf")
Verdict = Literal["holds", "in part", "does not hold", "not checked"]
Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """What a paper says; without `measure` nothing here can check it, and `note` says why."""

    number: int
    claim: str
    paper: str
    note: str
    target: str = ""
    measure: Callable[[Costs], dict[str, float]] | None = None
    #: The measured values in words: a format string over them.
    says: str = ""
    #: Where values lie if the relation holds, and where if only its direction, or a part of it, does.
    bounds: Bounds = field(default_factory=dict)
    weaker: Bounds = field(default_factory=dict)
    #: Whether it says more than is measured here, so that at best a part of it holds.
    incomplete: bool = False
    #: Whether it compares the two evaluators and so is measured once.
    once: bool = False

    def verdict(self, *found: Mapping[str, float]) -> Verdict:
        """What values of one or more evaluators mean together."""
        if self.measure is None:
            return "not checked"
        if not self.incomplete and all(_within(values, self.bounds) for values in found):
            return "holds"
        if self.weaker and all(_within(values, self.weaker) for values in found):
            return "in part"
        return "does not hold"


def _within(values: Mapping[str, float], bounds: Bounds) -> bool:
    return all(low <= values[key] <= high for key, (low, high) in bounds.items())

"""One finished trial as a value: what was tried, what it cost, how good it was, and where it came from."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.search.problem import Cost, Genotype


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A finished trial; `quality` is None and `failure` says why where it failed."""

    number: int = -1
    genotype: Genotype
    key: str
    cost: Cost
    quality: float | None
    failure: str | None = None
    seconds: float = 0.0
    quality_kind: str
    quality_detail: Mapping[str, Any] = field(default_factory=dict)
    seed: int
    phase: int
    generation: int
    position: int
    parents: tuple[str, ...] = ()
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether it has a quality."""
        return self.quality is not None


def trial_seed(study_seed: int, key: str) -> int:
    """The seed an architecture is evaluated with: the same in whatever order trials are run.

    >>> trial_seed(0, "a") == trial_seed(0, "a"), trial_seed(0, "a") == trial_seed(1, "a")
    (True, False)
    """
    digest = hashlib.sha256(f"{study_seed}/{key}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1

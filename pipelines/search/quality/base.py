"""What a quality evaluator answers, and what it must state about itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.search.arrays import JsonObject
from pipelines.search.problem import Candidate
from pipelines.search.ranking import RankCorrelation
from pipelines.search.trial import Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """A number to be made large, the seconds it took, and what else is worth keeping."""

    value: float
    seconds: float = 0.0
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a candidate has no quality; the trial is recorded as failed and the study goes on."""

    reason: str
    seconds: float = 0.0


Outcome = Quality | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityStatement:
    """What a study says about its own quality numbers, always with the measured rank correlation if any."""

    kind: str
    name: str
    measured_on: str
    correlation: RankCorrelation | None = None

    def to_data(self) -> JsonObject:
        """The same as a JSON object."""
        return {
            "kind": self.kind,
            "name": self.name,
            "measured_on": self.measured_on,
            "correlation": None if self.correlation is None else self.correlation.to_data(),
        }

    def __str__(self) -> str:
        known = "rank correlation not measured" if self.correlation is None else self.correlation
        return f"{self.kind} ({self.name}): {known}"


class Evaluator(Protocol):
    """Gives quality to batches of candidates. It must be picklable to run in worker processes."""

    @property
    def kind(self) -> str:
        """`train`, `predictor`, `proxy`, or a word of your own; only `train` counts as ground truth."""

    @property
    def name(self) -> str:
        """What exactly it does, in a few words."""

    @property
    def batch_limit(self) -> int:
        """Most candidates one call should get; 1 where each takes long, so that each is kept at once."""

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        """One outcome per candidate; `seed` is the study's, and order must not matter."""

    def statement(self, trials: Sequence[Trial]) -> QualityStatement:
        """What is known about these numbers, given all trials finished so far."""

"""A small search problem with a known optimum; also a program that a test can kill: `python search_toy.py FOLDER`."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.search import (
    Budget,
    Candidate,
    Cost,
    Refusal,
    SearchConfig,
    Study,
    front,
    resume,
    run_search,
)
from pipelines.search.arrays import IntArray
from pipelines.search.quality import Failure, Outcome, Quality, QualityStatement
from pipelines.search.trial import Trial

GENES, VALUES = 10, 4
_PRICES = np.arange(1, GENES + 1)[:, None] * np.arange(VALUES)[None, :] / 10.0
_WORTH = np.sqrt(np.arange(VALUES))[None, :] * np.linspace(1.0, 2.0, GENES)[:, None]
#: What the cheapest and the dearest genotype cost.
LEAST, MOST = 0.1, 0.1 + float(_PRICES.max(axis=1).sum())


@dataclass
class ToyProblem:
    """Ten genes of four; the last gene means nothing while the first is 0, and gene 1 at 3 with gene 2 at 3
    is no legal network. Counts how often costs were computed."""

    cost_id: str = "toy-1"
    space_id: str = "toy-10x4"
    quantities: tuple[str, ...] = ("latency_ms", "energy_mj")
    costed: list[str] = field(default_factory=list)

    @property
    def cardinalities(self) -> IntArray:
        return np.full(GENES, VALUES, dtype=np.int64)

    def keys(self, genotypes: IntArray) -> list[str]:
        return ["".join(map(str, self._living(row))) for row in genotypes.tolist()]

    def costs(self, genotypes: IntArray) -> list[Cost | Refusal]:
        self.costed += self.keys(genotypes)
        return [self._cost(self._living(row)) for row in genotypes.tolist()]

    def describe(self, genotype: tuple[int, ...]) -> dict[str, Any]:
        return {"genes": list(genotype)}

    def _living(self, row: list[int]) -> list[int]:
        return [*row[:-1], 0] if row[0] == 0 else row

    def _cost(self, row: list[int]) -> Cost | Refusal:
        if row[1] == 3 and row[2] == 3:
            return Refusal(reason="genes[2]: must not be 3 beside genes[1] = 3")
        latency = LEAST + float(_PRICES[np.arange(GENES), row].sum())
        return Cost(values=(latency, 10.0 - latency / 2), summary={"macs": int(1000 * latency)})


def worth(key: str) -> float:
    """True quality of an architecture."""
    return float(_WORTH[np.arange(GENES), [int(digit) for digit in key]].sum())


@dataclass
class ToyQuality:
    """Quality is `worth`; may take time, fail for some keys, raise, or end its process."""

    seconds: float = 0.0
    fail_digit: str = ""
    raise_digit: str = ""
    die_digit: str = ""
    batch_limit: int = 1000
    kind: str = "toy"
    name: str = "worth of the genes"
    paid: list[str] = field(default_factory=list)

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for candidate in candidates:
            self.paid.append(candidate.key)
            if self.seconds:
                time.sleep(self.seconds)
            last = candidate.key[4]
            if last == self.die_digit:
                os._exit(9)
            if last == self.raise_digit:
                raise ValueError("this one\ncannot be trained")
            if last == self.fail_digit:
                outcomes.append(Failure(reason="loss is nan", seconds=0.5))
            else:
                outcomes.append(Quality(value=worth(candidate.key), seconds=self.seconds))
        return outcomes

    def statement(self, trials: Sequence[Trial]) -> QualityStatement:
        return QualityStatement(kind=self.kind, name=self.name, measured_on="nothing")


def toy_config(folder: Path, **changes: Any) -> SearchConfig:
    """A quick search with a budget that rejects most proposals."""
    settings: dict[str, Any] = {
        "folder": str(folder),
        "budget": Budget(quantity="latency_ms", limit=6.0),
        "sampler": "evolution",
        "trials": 48,
        "batch_size": 6,
    }
    return SearchConfig(**{**settings, **changes})


def summary(study: Study) -> list[Any]:
    """What must be equal for two runs to be the same search."""
    trials = sorted(study.trials, key=lambda t: (t.generation, t.position))
    rows = [(t.key, t.genotype, t.quality, t.failure, t.cost.values, t.parents) for t in trials]
    return json.loads(json.dumps([rows, [t.key for t in front(study)]]))  # type: ignore[no-any-return]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sampler", default="evolution")
    parser.add_argument("--storage", default="")
    parser.add_argument("--seconds", type=float, default=0.002)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    problem = ToyProblem()
    evaluator = ToyQuality(seconds=args.seconds, fail_digit="2", batch_limit=2)
    if (args.folder / "study.json").exists():
        study = resume(args.folder, problem=problem, evaluator=evaluator, progress=False)
    else:
        config = toy_config(
            args.folder, sampler=args.sampler, storage=args.storage, workers=args.workers
        )
        study = run_search(config, problem=problem, evaluator=evaluator, progress=False)
    json.dump(summary(study), sys.stdout)


if __name__ == "__main__":
    main()

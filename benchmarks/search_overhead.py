"""Milliseconds a search adds to each trial: sampler, gate, driver and trial store, with cost and quality almost free.

python benchmarks/search_overhead.py --trials 10000
"""

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import Column, save

from pipelines.search import Budget, Candidate, Cost, Refusal, SearchConfig, resume, run_search
from pipelines.search.arrays import IntArray
from pipelines.search.quality import Outcome, Quality, QualityStatement
from pipelines.search.trial import Trial

GENES, VALUES = 60, 5


class ToyProblem:
    """60 choices of 5 with a separable cost; its own seconds are counted, to be taken off."""

    space_id = "toy-60x5"
    cost_id = "toy"
    quantities = ("latency_ms", "energy_mj")
    cardinalities: IntArray = np.full(GENES, VALUES, dtype=np.int64)

    def __init__(self) -> None:
        self._prices = np.random.default_rng(0).random((GENES, VALUES))
        self.seconds = 0.0

    def keys(self, genotypes: IntArray) -> list[str]:
        return [bytes(row).hex() for row in genotypes.astype(np.uint8)]

    def costs(self, genotypes: IntArray) -> list[Cost | Refusal]:
        started = time.process_time()
        sums = self._prices[np.arange(GENES), genotypes].sum(axis=1).tolist()
        costs: list[Cost | Refusal] = [Cost(values=(value, 2 * value)) for value in sums]
        self.seconds += time.process_time() - started
        return costs

    def describe(self, genotype: tuple[int, ...]) -> dict[str, Any]:
        return {"choices": list(genotype)}


class FreeQuality:
    """A number that takes no time."""

    kind, name, batch_limit = "proxy", "sum of genes", 1 << 20

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        return [Quality(value=float(sum(c.genotype))) for c in candidates]

    def statement(self, trials: Sequence[Trial]) -> QualityStatement:
        return QualityStatement(kind=self.kind, name=self.name, measured_on="nothing")


def measure(sampler: str, trials: int, storage: str, folder: Path) -> dict[str, Any]:
    """One whole study from nothing, and reopening it."""
    problem = ToyProblem()
    config = SearchConfig(
        folder=str(folder),
        budget=Budget(quantity="latency_ms", limit=30.0),
        sampler=sampler,
        trials=trials,
        batch_size=32,
        storage=f"sqlite:///{folder / 'trials.db'}" if storage == "sqlite" else "",
    )
    started, worked = time.perf_counter(), time.process_time()
    study = run_search(config, problem=problem, evaluator=FreeQuality(), progress=False)
    seconds = time.perf_counter() - started - problem.seconds
    cpu_seconds = time.process_time() - worked - problem.seconds
    assert len(study.trials) == trials
    started = time.perf_counter()
    resume(folder, problem=problem, evaluator=FreeQuality(), progress=False)
    reopened = time.perf_counter() - started
    size = sum(file.stat().st_size for file in folder.iterdir())
    row = {
        "sampler": sampler,
        "storage": storage,
        "trials": trials,
        "overhead_ms_per_trial": round(1e3 * seconds / trials, 4),
        "cpu_ms_per_trial": round(1e3 * cpu_seconds / trials, 4),
        "reopen_s": round(reopened, 2),
        "bytes_per_trial": size // trials,
    }
    print(row, flush=True)
    return row


def main() -> None:
    """Measures every sampler on the journal, and one on SQLite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument(
        "--samplers", nargs="+", default=["random", "evolution", "screened_evolution", "nsga2"]
    )
    args = parser.parse_args()
    rows = []
    for storage, samplers, trials in (
        ("journal", args.samplers, args.trials),
        ("sqlite", ["evolution"], max(1, args.trials // 10)),
    ):
        for sampler in samplers:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(sampler, trials, storage, Path(folder)))
    save(
        "search_overhead",
        command="python benchmarks/search_overhead.py",
        columns=[
            Column(key="sampler", heading="Sampler"),
            Column(key="storage", heading="Storage"),
            Column(key="trials", heading="Trials", format=","),
            Column(key="overhead_ms_per_trial", heading="Overhead per trial, ms", format=".2f"),
            Column(key="cpu_ms_per_trial", heading="of it CPU", format=".2f"),
            Column(key="reopen_s", heading="Reopen, s", format=".1f"),
            Column(key="bytes_per_trial", heading="Bytes per trial", format=","),
        ],
        rows=rows,
        notes=[f"Cost-only trials over {GENES} choices of {VALUES}; cost and quality not counted."],
    )


if __name__ == "__main__":
    main()

"""Regret of every sampler on NAS-Bench-Macro, where the true best architecture of each budget is known.

All 6,561 networks of 8 layers were trained three times on CIFAR-10. A search sees the accuracy of the first
training and is scored by the mean of the three, in points below the best network within the budget.

    python benchmarks/nas_bench_macro.py --data ../shared/data/nas/nas-bench-macro_cifar10.json

Source: Su et al., "Prioritized Architecture Sampling with Monte-Carlo Tree Search", CVPR 2021 (Apache-2.0).
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import Column, save

from pipelines.search import Budget, Candidate, Cost, Refusal, SearchConfig, best, run_search
from pipelines.search.arrays import IntArray
from pipelines.search.quality import Outcome, Quality, QualityStatement
from pipelines.search.trial import Trial

ROOT = Path(__file__).resolve().parent.parent
LAYERS, CHOICES = 8, 3


class Oracle:
    """The table: accuracies of three trainings and FLOPs by layer string such as `22212220`."""

    def __init__(self, path: Path) -> None:
        table: dict[str, dict[str, Any]] = json.loads(path.read_text())
        if len(table) != CHOICES**LAYERS:
            raise SystemExit(f"{path} has {len(table)} networks, not {CHOICES**LAYERS}")
        self.seen = {key: float(row["test_acc"][0]) for key, row in table.items()}
        self.scored = {key: float(np.mean(row["test_acc"])) for key, row in table.items()}
        self.mflops = {key: row["flops"] / 1e6 for key, row in table.items()}

    def best_within(self, limit: float) -> float:
        """Highest mean accuracy within a FLOPs budget."""
        return max(self.scored[key] for key, spent in self.mflops.items() if spent <= limit)


class MacroProblem:
    """The table's networks as a search problem; `gated` off hides the budget, as plain random search has it."""

    space_id = "nas-bench-macro"
    cost_id = "mflops"
    quantities = ("mflops",)
    cardinalities: IntArray = np.full(LAYERS, CHOICES, dtype=np.int64)

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def keys(self, genotypes: IntArray) -> list[str]:
        return ["".join(map(str, row)) for row in genotypes.tolist()]

    def costs(self, genotypes: IntArray) -> list[Cost | Refusal]:
        return [Cost(values=(self._oracle.mflops[key],)) for key in self.keys(genotypes)]

    def describe(self, genotype: tuple[int, ...]) -> dict[str, Any]:
        return {"layers": "".join(map(str, genotype))}


class FirstTraining:
    """Quality is the accuracy of the first of the three trainings."""

    kind, name, batch_limit = "train", "first of three trainings", 1 << 10

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        return [Quality(value=self._oracle.seen[c.key]) for c in candidates]

    def statement(self, trials: Sequence[Trial]) -> QualityStatement:
        return QualityStatement(kind=self.kind, name=self.name, measured_on="published table")


def regret_of_search(
    oracle: Oracle, sampler: str, trials: int, limit: float, seed: int, batch_size: int
) -> float:
    """Points lost to the best network within the budget by one whole study, store and all."""
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            folder=folder,
            budget=Budget(quantity="mflops", limit=limit),
            sampler=sampler,
            trials=trials,
            seed=seed,
            batch_size=batch_size,
        )
        study = run_search(
            config,
            problem=MacroProblem(oracle),
            evaluator=FirstTraining(oracle),
            progress=False,
        )
    return oracle.best_within(limit) - oracle.scored[best(study).key]


def regret_of_blind_random(oracle: Oracle, trials: int, limit: float, seed: int) -> float:
    """The same for random search that pays before it looks at the cost and may ask twice."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, CHOICES, size=(trials, LAYERS))
    keys = ["".join(map(str, row)) for row in rows.tolist()]
    inside = [key for key in keys if oracle.mflops[key] <= limit]
    if not inside:
        return oracle.best_within(limit) - min(oracle.scored.values())
    return oracle.best_within(limit) - oracle.scored[max(inside, key=lambda key: oracle.seen[key])]


def table(
    oracle: Oracle, limits: Sequence[float], trials: Sequence[int], seeds: int, batch_size: int
) -> list[dict[str, Any]]:
    """One row per sampler, budget and number of trials."""
    rows = []
    for limit in limits:
        for count in trials:
            for sampler in ("blind random", "random", "evolution", "nsga2", "screened_evolution"):
                started = time.perf_counter()
                regrets = [
                    regret_of_blind_random(oracle, count, limit, seed)
                    if sampler == "blind random"
                    else regret_of_search(oracle, sampler, count, limit, seed, batch_size)
                    for seed in range(seeds)
                ]
                row = {
                    "sampler": sampler,
                    "budget_mflops": limit,
                    "trials": count,
                    "seeds": seeds,
                    "mean_regret_points": round(float(np.mean(regrets)), 4),
                    "worst_regret_points": round(float(np.max(regrets)), 4),
                    "seconds_per_search": round((time.perf_counter() - started) / seeds, 3),
                }
                rows.append(row)
                print(
                    f"{limit:5.0f} MFLOPs {count:4d} trials {sampler:20s} mean regret "
                    f"{row['mean_regret_points']:.3f} worst {row['worst_regret_points']:.2f}",
                    flush=True,
                )
    return rows


def default_data() -> Path:
    """The table in the shared folder: $EDGEZOO_SHARED, else beside the checkout."""
    shared = Path(os.environ.get("EDGEZOO_SHARED", ROOT.parent / "shared"))
    return shared / "data" / "nas" / "nas-bench-macro_cifar10.json"


def main() -> None:
    """Measures every sampler at every budget and records one row for each pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--budgets", type=float, nargs="+", default=[40.0, 70.0])
    parser.add_argument("--trials", type=int, nargs="+", default=[30, 100, 300])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=8)
    args = parser.parse_args()
    rows = table(Oracle(args.data), args.budgets, args.trials, args.seeds, args.batch_size)
    columns = [Column(key="sampler", heading="Sampler")]
    columns.append(Column(key="budget_mflops", heading="Budget, MFLOPs", format=".0f"))
    for count in args.trials:
        columns.append(
            Column(key=f"mean_{count}", heading=f"Mean regret, {count} trials", format=".3f")
        )
        columns.append(Column(key=f"worst_{count}", heading="worst", format=".2f"))
    save(
        "search",
        command="python benchmarks/nas_bench_macro.py",
        columns=columns,
        rows=side_by_side(rows),
        notes=[
            "NAS-Bench-Macro: 6,561 networks trained three times on CIFAR-10. A search sees the accuracy of the "
            "first training; regret is in points of the mean of the three, below the best network within the "
            f"budget, over {args.seeds} seeds. Blind random pays for a network before it looks at its cost; finding "
            "none within the budget counts as the worst network. Every other sampler stands behind the cost gate."
        ],
    )


def side_by_side(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The numbers of trials as columns instead of rows."""
    merged: dict[tuple[float, str], dict[str, Any]] = {}
    for row in rows:
        key = (row["budget_mflops"], row["sampler"])
        line = merged.setdefault(key, {"sampler": key[1], "budget_mflops": key[0]})
        line[f"mean_{row['trials']}"] = row["mean_regret_points"]
        line[f"worst_{row['trials']}"] = row["worst_regret_points"]
    return list(merged.values())


if __name__ == "__main__":
    main()

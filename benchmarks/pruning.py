"""How much of a space the block analyzer leaves out on each target, and whether a search is the better for it.

    python benchmarks/pruning.py

Quality in the searches is a proxy, parameters times multiply-adds, which by definition loses nothing when dominated
blocks go: the figures say how much sooner a search gets there, not whether trained accuracy follows.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import Column, save
from tqdm import tqdm

from hw_model.cost import evaluator_for
from hw_model.targets import load_target
from model_zoo.spec import ModelSpec, Space
from pipelines.search import Budget, QualityConfig, SearchConfig, Trial, run_search
from pipelines.search.prune_file import Pruning
from pipelines.search.pruning import find_pruning, pruned_space
from pipelines.search.spaces import space_entry

SPACE = "mobilenet_edgetpu_v2"
#: Budgets about those of the published S size.
BUDGETS = {"pixel6": "1.2ms", "coral_usb": "4ms"}
SAMPLERS = ("random", "evolution", "nsga2")


def networks(
    whole: Space[ModelSpec], pruning: Pruning, target: str, count: int
) -> dict[str, float]:
    """What pruning does to random networks of the whole space, or of what is left of its choices."""
    space, evaluator = pruned_space(whole, pruning), evaluator_for(load_target(target))
    rng = np.random.default_rng(0)
    ratios: list[float] = []
    for row in rng.integers(0, space.cardinalities, size=(count, len(space.choices))).tolist():
        point = {c.path: c.values[gene] for c, gene in zip(space.choices, row, strict=True)}
        before, after = whole.bind(whole.encode(point)), space.bind(row)
        if before != after:
            latencies = [evaluator.report(spec.graph()).latency_ms for spec in (after, before)]
            ratios.append(latencies[0] / latencies[1])
    return {
        "networks_changed": len(ratios) / count,
        "median_latency_ratio": statistics.median(ratios),
        "slower": sum(ratio > 1 + 1e-9 for ratio in ratios) / count,
    }


def study(target: str, sampler: str, trials: int, seed: int, prune: str) -> list[Trial]:
    """The trials of one search, in order."""
    with tempfile.TemporaryDirectory() as folder:
        config = SearchConfig(
            folder=folder,
            budget=Budget.parse(BUDGETS[target]),
            space=SPACE,
            target=target,
            sampler=sampler,
            trials=trials,
            seed=seed,
            quality=QualityConfig(kind="proxy", proxy="log_macs_params"),
            prune=prune,
        )
        return sorted(run_search(config, progress=False).trials, key=lambda trial: trial.number)


def best_so_far(trials: Sequence[Trial]) -> list[float]:
    """The best quality after each trial."""
    found = [trial.quality for trial in trials if trial.quality is not None]
    best: list[float] = np.maximum.accumulate(np.asarray(found)).tolist()
    return best


def front_area(trials: Sequence[Trial], limit_ms: float, floor: float) -> float:
    """Area under the front of latency and quality, within the budget and above a quality floor."""
    area, best = 0.0, floor
    points = sorted((t.cost.values[0], t.quality) for t in trials if t.quality is not None)
    for latency_ms, quality in points:
        if quality > best:
            area += (quality - best) * max(limit_ms - latency_ms, 0.0)
            best = quality
    return area


def compare(
    target: str, sampler: str, trials: int, seeds: int, prune: str, bar: Any
) -> dict[str, Any]:
    """Searches with and without the file, seed by seed."""
    limit = Budget.parse(BUDGETS[target]).limit
    sooner, gains, areas = [], [], []
    for seed in range(seeds):
        runs = []
        for file in ("", prune):
            runs.append(study(target, sampler, trials, seed, file))
            bar.update()
        whole, narrow = (best_so_far(run) for run in runs)
        floor = min(t.quality for run in runs for t in run if t.quality is not None)
        reached = next((n for n, q in enumerate(narrow, start=1) if q >= whole[-1]), None)
        sooner.append(float("inf") if reached is None else reached)
        gains.append(100 * (10 ** ((narrow[-1] - whole[-1]) / 2) - 1))
        areas.append(front_area(runs[1], limit, floor) / front_area(runs[0], limit, floor))
    reached_in = statistics.median(sooner)
    return {
        "target": target,
        "sampler": sampler,
        "budget": BUDGETS[target],
        "trials": trials,
        "trials_to_equal": None if reached_in == float("inf") else reached_in,
        "never_equal": sum(n == float("inf") for n in sooner),
        "capacity_gain_percent": statistics.mean(gains),
        "front_area_ratio": statistics.mean(areas),
    }


def main() -> None:
    """Prunes the space on every target, then searches with and without."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--networks", type=int, default=1000)
    args = parser.parse_args()
    whole = space_entry(SPACE).make(image_size=224, channels=3, num_classes=1001)
    shares, rows = [], []
    bar = tqdm(total=len(BUDGETS) * len(SAMPLERS) * args.seeds * 2, desc="searches", unit="study")
    with bar, tempfile.TemporaryDirectory() as folder:
        for target in BUDGETS:
            started = time.process_time()
            pruning = find_pruning(whole, space_name=SPACE, target=load_target(target))
            seconds = time.process_time() - started
            shares.append(
                {
                    "target": target,
                    "error": pruning.declared_error,
                    "pruned_share": pruning.pruned_share,
                    "values": ", ".join(
                        f"{choice.path.removeprefix('backbone.')}: {', '.join(map(str, choice.pruned))}"
                        for choice in pruning.choices
                    )
                    or "none",
                    **networks(whole, pruning, target, args.networks),
                    "cpu_s": seconds,
                }
            )
            file = str(Path(folder) / f"{target}.json")
            pruning.write(file)
            rows += [
                compare(target, sampler, args.trials, args.seeds, file, bar) for sampler in SAMPLERS
            ]
    _save(args, shares, rows)


def _save(
    args: argparse.Namespace, shares: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    command = "python benchmarks/pruning.py"
    save(
        "pruning",
        command=command,
        columns=[
            Column(key="target", heading="Target"),
            Column(key="error", heading="Declared error", format=".1%"),
            Column(key="pruned_share", heading="Block choices that never pay", format=".1%"),
            Column(key="values", heading="Values that go altogether"),
            Column(
                key="networks_changed", heading="Random networks with such a block", format=".1%"
            ),
            Column(key="median_latency_ratio", heading="Their latency without it", format=".3f"),
            Column(key="slower", heading="slower", format=".1%"),
            Column(key="cpu_s", heading="Analysis, CPU s", format=".1f"),
        ],
        rows=shares,
        notes=[
            f"The space around MobileNetEdgeTPUv2 at 224 px; {args.networks:,} random networks a target."
        ],
    )
    save(
        "pruned_search",
        command=command,
        columns=[
            Column(key="target", heading="Target"),
            Column(key="budget", heading="Budget"),
            Column(key="sampler", heading="Sampler"),
            Column(
                key="trials_to_equal",
                heading=f"Trials to equal {args.trials} of the whole space",
                format=".0f",
            ),
            Column(key="never_equal", heading="seeds that do not", format="d"),
            Column(key="capacity_gain_percent", heading="Capacity gained, %", format="+.1f"),
            Column(key="front_area_ratio", heading="Area under the front, ratio", format=".3f"),
        ],
        rows=rows,
        notes=[
            f"Median over {args.seeds} seeds for trials, mean for the others. Quality is a proxy, the geometric "
            "mean of parameters and multiply-adds, to which a dominated block adds nothing by definition; trained "
            "accuracy was not measured."
        ],
    )


if __name__ == "__main__":
    main()

"""Compares the analytical evaluator with the simulator on random specs of the classification space, at 224 pixels.

Writes results/simulator_agreement.json. The goal is the paper's: 160 us root mean square error over 1,000
models (Gupta and Akin 2020, figure 2), and a rank correlation of at least 0.99.
"""

import argparse
import random
import statistics
import sys
import time
from typing import Any

import numpy as np
from record import Column, save
from tqdm import tqdm

from hw_model import list_targets, load_target
from hw_model.calibrate.correlate import correlate
from hw_model.cost import Evaluator, evaluator_for
from hw_model.errors import SpecError
from hw_model.graph import Graph
from pipelines.search.spaces import space_entry

SPACE = "mobilenet_edgetpu_v2"
COLUMNS = (
    Column(key="target", heading="Target"),
    Column(key="n", heading="Specs", format=",d"),
    Column(key="mean_ms", heading="Mean latency, simulator, ms", format=".2f"),
    Column(key="rmse_us", heading="RMSE us", format=".0f"),
    Column(key="bias_us", heading="Mean difference us", format="+.0f"),
    Column(key="largest_us", heading="Largest difference us", format=".0f"),
    Column(key="mape_percent", heading="Mean difference %", format=".1f"),
    Column(key="spearman", heading="Spearman", format=".4f"),
    Column(key="energy_spearman", heading="Spearman, energy", format=".4f"),
    Column(key="analytical_ms", heading="Analytical, ms a model", format=".2f"),
    Column(key="simulator_ms", heading="Simulator, ms a model", format=".1f"),
)


def sampled(count: int, *, image_size: int = 224, seed: int = 0) -> list[Graph]:
    """Graphs of different random specs, every gene uniform."""
    space = space_entry(SPACE).make(image_size=image_size, channels=3, num_classes=1000)
    rng = random.Random(seed)
    found: dict[Any, None] = {}
    while len(found) < count:
        genes = [rng.randrange(size) for size in space.cardinalities]
        try:
            found[space.bind(genes)] = None
        except SpecError:
            continue
    return [spec.graph() for spec in found]


def compared(name: str, graphs: list[Graph]) -> dict[str, Any]:
    """One row of the table."""
    target = load_target(name)
    taken: dict[str, list[float]] = {}
    reports: dict[str, list[Any]] = {}
    for evaluator in ("analytical", "simulator"):
        taken[evaluator], reports[evaluator] = timed(evaluator_for(target, evaluator), graphs)
    fast, slow = (
        np.array([report.latency_ms for report in reports[evaluator]]) * 1e3
        for evaluator in ("analytical", "simulator")
    )
    energies = [[report.energy_mj for report in reports[name]] for name in reports]
    error_us = fast - slow
    agreement = correlate(fast.tolist(), slow.tolist())
    return {
        "target": name,
        "n": len(graphs),
        "mean_ms": float(slow.mean() / 1e3),
        "rmse_us": float(np.sqrt(np.mean(error_us**2))),
        "bias_us": float(error_us.mean()),
        "largest_us": float(np.abs(error_us).max()),
        "mape_percent": float(100 * np.mean(np.abs(error_us) / slow)),
        "spearman": agreement.spearman,
        "energy_spearman": correlate(*energies).spearman,
        "analytical_ms": statistics.median(taken["analytical"]),
        "simulator_ms": statistics.median(taken["simulator"]),
    }


def timed(evaluator: Evaluator, graphs: list[Graph]) -> tuple[list[float], list[Any]]:
    """Milliseconds of each report, and the reports."""
    taken, reports = [], []
    for graph in tqdm(graphs, desc=evaluator.evaluator_id, file=sys.stderr, leave=False):
        start = time.perf_counter()
        reports.append(evaluator.report(graph))
        taken.append(1e3 * (time.perf_counter() - start))
    return taken, reports


def main() -> None:
    """Compares on every target and records the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=1000, help="random specs (default: 1000)")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    options = parser.parse_args()
    graphs = sampled(options.specs)
    rows = []
    for name in options.target or list_targets():
        rows.append(compared(name, graphs))
        print(
            " ".join(
                f"{key} {value:.4g}" if key != "target" else value
                for key, value in rows[-1].items()
            )
        )
    if options.specs >= 1000 and not options.target:
        save(
            "simulator_agreement",
            command="python benchmarks/simulator_agreement.py",
            columns=COLUMNS,
            rows=rows,
            notes=[
                f"Random specs of the space {SPACE} at 224 pixels, every gene uniform, seed 0; graphs are given; "
                "differences are analytical less simulator; times are medians on one core.",
            ],
        )


if __name__ == "__main__":
    main()

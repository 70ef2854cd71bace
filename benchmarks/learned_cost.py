"""Compares the learned cost models that ship with the simulator they were trained on. Writes results/learned_cost.json.

Four sets, none of which a training saw: random specs as those of the training, published networks of the zoo at
their own sizes, published networks of other families, and micro-benchmarks (chains of equal layers, bare
transfers); the last two are unlike anything in the training.
"""

import argparse
import statistics
import sys
import time
from contextlib import suppress
from typing import Any

from record import Column, save
from tqdm import tqdm

from hw_model import load_target
from hw_model.calibrate.correlate import Correlation, correlate
from hw_model.calibrate.published import measurements
from hw_model.calibrate.reference_nets import reference_net
from hw_model.cost import CostReport, Evaluator, evaluator_for
from hw_model.cost.learned import FOLDER
from hw_model.errors import SpecError, UnknownNameError
from hw_model.graph import Graph
from model_zoo.registry import match, spec_of
from pipelines.cost_model.specs import is_held_out, random_spec

#: Neither the seed of the models that ship nor that of their test.
SEED = 777_001
MICRO = ("conv", "fc", "input_", "output_")
EVALUATORS = ("simulator", "learned", "analytical")
COLUMNS = (
    Column(key="target", heading="Target"),
    Column(key="networks", heading="Networks"),
    Column(key="n", heading="n", format=",d"),
    Column(key="latency_mape_percent", heading="Latency: mean error %", format=".2f"),
    Column(key="latency_worst_percent", heading="worst %", format=".1f"),
    Column(key="latency_spearman", heading="Spearman", format=".4f"),
    Column(
        key="analytical_mape_percent", heading="analytical evaluator, mean error %", format=".2f"
    ),
    Column(key="energy_mape_percent", heading="Energy: mean error %", format=".2f"),
    Column(key="energy_worst_percent", heading="worst %", format=".1f"),
    Column(key="energy_spearman", heading="Spearman", format=".4f"),
    Column(key="learned_ms", heading="Learned, ms a model", format=".2f"),
    Column(key="analytical_ms", heading="Analytical, ms", format=".2f"),
    Column(key="simulator_ms", heading="Simulator, ms", format=".1f"),
)


def random_graphs(count: int) -> list[Graph]:
    """Random specs of the eighth that no training sees."""
    found: list[Graph] = []
    number = 0
    while len(found) < count:
        spec = random_spec(SEED, number)
        number += 1
        if is_held_out(spec.spec_id):
            found.append(spec.graph())
    return found


def zoo_graphs() -> list[Graph]:
    """Published networks as registered."""
    return [spec_of(name).graph() for name in match("*", task="classification")]


def reference_graphs(*, micro: bool) -> list[Graph]:
    """Networks outside the zoo whose latencies were published."""
    found: list[Graph] = []
    for name in dict.fromkeys(row.model for row in measurements()):
        if name.startswith(MICRO) == micro:
            with suppress(UnknownNameError):
                found.append(reference_net(name))
    return found


def costed(evaluator: Evaluator, graphs: list[Graph]) -> tuple[list[CostReport | None], float]:
    """Reports, none where the target cannot run a graph, and the median of their milliseconds."""
    reports: list[CostReport | None] = []
    taken = []
    for graph in tqdm(graphs, desc=evaluator.evaluator_id, file=sys.stderr, leave=False):
        start = time.perf_counter()
        try:
            reports.append(evaluator.report(graph))
        except SpecError:
            reports.append(None)
        taken.append(1e3 * (time.perf_counter() - start))
    return reports, statistics.median(taken)


def row_of(target: str, networks: str, graphs: list[Graph]) -> dict[str, Any]:
    """One row of the table: energy is the active one, so that latency is not counted twice."""
    found = {name: costed(evaluator_for(load_target(target), name), graphs) for name in EVALUATORS}
    runs = [index for index, report in enumerate(found["simulator"][0]) if report is not None]

    def compared(name: str, figure: str) -> Correlation:
        said, true = (
            [float(getattr(found[each][0][index], figure)) for index in runs]
            for each in (name, "simulator")
        )
        return correlate(said, true)

    latency = compared("learned", "latency_ms")
    energy = compared("learned", "active_energy_mj")
    return {
        "target": target,
        "networks": networks,
        "n": len(runs),
        "latency_mape_percent": 100 * latency.mape,
        "latency_worst_percent": 100 * latency.max_error,
        "latency_spearman": latency.spearman,
        "analytical_mape_percent": 100 * compared("analytical", "latency_ms").mape,
        "energy_mape_percent": 100 * energy.mape,
        "energy_worst_percent": 100 * energy.max_error,
        "energy_spearman": energy.spearman,
        **{f"{name}_ms": found[name][1] for name in EVALUATORS},
    }


def main() -> None:
    """Compares on every target whose model ships, and records the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=400, help="random specs (default: 400)")
    options = parser.parse_args()
    sets = {
        "random specs": random_graphs(options.specs),
        "zoo as published": zoo_graphs(),
        "other families": reference_graphs(micro=False),
        "micro-benchmarks": reference_graphs(micro=True),
    }
    rows = []
    for path in sorted(FOLDER.glob("*.npz")):
        for networks, graphs in sets.items():
            rows.append(row_of(path.stem, networks, graphs))
            print({k: round(v, 4) if isinstance(v, float) else v for k, v in rows[-1].items()})
    if options.specs < 400:
        return
    save(
        "learned_cost",
        command="python benchmarks/learned_cost.py",
        columns=COLUMNS,
        rows=rows,
        notes=[
            "Errors are relative to the simulator, not to devices. No training saw any of these networks; the "
            "random ones are drawn as those of the training are. Times are medians on one core, graphs given.",
        ],
    )


if __name__ == "__main__":
    main()

"""Measures how fast specs are costed, one by one and as whole populations of a search. Writes results/cost_speed.json.

`python benchmarks/cost_speed.py --specs 4000` takes two minutes.
"""

import argparse
import hashlib
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
from record import Column, save

from hw_model import estimate, load_target
from hw_model.cost import Analytical
from hw_model.cost.batch import PartCoster
from model_zoo.registry import spec_of
from model_zoo.spec.image import ModelSpec
from pipelines.search.budget import Budget
from pipelines.search.config import SearchConfig
from pipelines.search.samplers.variation import mutate
from pipelines.search.spaces import genotype_of, space_entry
from pipelines.search.wiring import make_problem

COLUMNS = (
    Column(key="what", heading="MobileNetEdgeTPUv2-S and its neighbours on Pixel 6"),
    Column(key="median_ms", heading="Median ms", format=".3f"),
    Column(key="best_ms", heading="Best ms", format=".3f"),
    Column(key="per_second", heading="Per second (median)", format=",.0f"),
    Column(key="best_per_second", heading="Per second (best)", format=",.0f"),
)


#: Specs timed together where one takes less than the clock's own jitter.
BATCH = 100
PARENTS = 64
#: Generations before the population that is timed, as multiples of its size.
BEFORE = 5


def walk(seed: int = 0) -> Iterator[tuple[tuple[int, ...], ModelSpec]]:
    """Different networks of the classification space, by one to several genes away from one met shortly before.

    The first parent is MobileNetEdgeTPUv2-S; there is no selection, so the walk covers more than a search would.
    """
    space = space_entry("mobilenet_edgetpu_v2").make(image_size=224, channels=3, num_classes=1001)
    cardinalities = np.asarray(space.cardinalities)
    rng = np.random.default_rng(seed)
    found = [genotype_of(space, spec_of("mobilenet_edgetpu_v2_s"))]
    seen: set[bytes] = set()
    while True:
        recent = found[-PARENTS:]
        parents = np.asarray([recent[i] for i in rng.integers(0, len(recent), size=PARENTS)])
        found = [tuple(row) for row in mutate(rng, parents, cardinalities, 2.0).tolist()]
        for row in found:
            spec = space.bind(row)
            name = hashlib.sha256(spec.to_json().encode()).digest()
            if name not in seen:
                seen.add(name)
                yield row, spec


def mutated(count: int, seed: int = 0) -> list[tuple[tuple[int, ...], ModelSpec]]:
    """The first networks of a `walk`."""
    return list(islice(walk(seed), count))


def times_ms(jobs: list[Any]) -> list[float]:
    """Processor time of each call: what else the machine does at the same time does not count."""
    result = []
    for job in jobs:
        start = time.process_time()
        job()
        result.append(1e3 * (time.process_time() - start))
    return result


def per_spec_ms(cost: Callable[[Any], Any], items: list[Any]) -> list[float]:
    """Time of one item in each batch of them."""
    batches = [items[first : first + BATCH] for first in range(0, len(items), BATCH)]
    jobs = [lambda batch=batch: [cost(item) for item in batch] for batch in batches]
    return [took / len(batch) for took, batch in zip(times_ms(jobs), batches, strict=True)]


def one_by_one(specs: list[ModelSpec]) -> dict[str, list[float]]:
    """Reports of single specs."""
    spec, target = spec_of("mobilenet_edgetpu_v2_s"), load_target("pixel6")
    return {
        "spec to report, nothing remembered": times_ms(
            [lambda: Analytical(target).report(spec.graph()) for _ in range(50)]
        ),
        "spec to report, again": times_ms(
            [lambda: estimate(spec, target=target) for _ in range(500)]
        ),
        "spec to report, mutated specs": times_ms(
            [lambda each=each: estimate(each, target=target) for each in specs]
        ),
        "all rows with reasons": times_ms(
            [lambda: estimate(spec, target=target).rows for _ in range(50)]
        ),
    }


def populations(
    rows: list[tuple[tuple[int, ...], ModelSpec]], count: int
) -> dict[str, list[float]]:
    """Costs of mutated specs by their parts, and what a search spends on a proposal from genotype to cost."""
    specs = [spec for _, spec in rows]
    early, late = specs[:count], specs[-count:]
    cost = PartCoster(Analytical(load_target("pixel6")))
    result = {f"by parts, the first {count:,} mutated specs": per_spec_ms(cost, early)}
    for spec in specs[count:-count]:
        cost(spec)
    seen = len(specs) - count
    result[f"by parts, new mutated specs after {seen:,} others"] = per_spec_ms(cost, late)
    result["by parts, the same specs again"] = per_spec_ms(cost, late * 5)
    budget = Budget(quantity="latency_ms", limit=1.0)
    problem = make_problem(SearchConfig(folder="unused", budget=budget))
    proposals = [np.asarray([row]) for row, _ in rows[-2 * count :]]

    def proposal(row: Any) -> None:
        problem.keys(row)
        problem.costs(row)

    for row in proposals[:count]:
        proposal(row)
    result["a search's proposal: genotype to key and cost"] = per_spec_ms(
        proposal, proposals[count:]
    )
    return result


def main() -> None:
    """Runs the cases and records medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=4000, help="mutated specs to cost")
    count = parser.parse_args().specs
    found = mutated((BEFORE + 1) * count)
    specs = [spec for _, spec in found[-count:]]
    rows = []
    for what, taken in {**one_by_one(specs), **populations(found, count)}.items():
        median, best = statistics.median(taken), min(taken)
        rows.append(
            {
                "what": what,
                "median_ms": round(median, 4),
                "best_ms": round(best, 4),
                "per_second": round(1e3 / median),
                "best_per_second": round(1e3 / best),
            }
        )
        print(f"{what:<52} median {median:.4f} ms, best {best:.4f} ms, {1e3 / median:,.0f} per s")
    save(
        "cost_speed",
        command="python benchmarks/cost_speed.py",
        columns=COLUMNS,
        rows=rows,
        notes=[
            f"Processor time of one core, graph building included where a report is made. {count:,} different "
            "networks of the classification space around MobileNetEdgeTPUv2-S per row; rows by parts are means "
            f"of {BATCH} specs.",
            "By parts and by report the figures are equal to the last bit.",
        ],
    )


if __name__ == "__main__":
    main()

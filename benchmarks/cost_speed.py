"""Measures how fast specs are costed, cold and in a search over mutated specs. Writes results/cost_speed.json."""

import argparse
import random
import statistics
import time
from dataclasses import replace
from typing import Any

from record import Column, save

from hw_model import estimate, load_target
from hw_model.cost import Analytical
from hw_model.errors import SpecError
from model_zoo.registry import spec_of
from model_zoo.spec.image import ModelSpec

COLUMNS = (
    Column(key="what", heading="MobileNetEdgeTPUv2-S on Pixel 6"),
    Column(key="median_ms", heading="Median ms", format=".3f"),
    Column(key="best_ms", heading="Best ms", format=".3f"),
    Column(key="per_second", heading="Per second (median)", format=",.0f"),
)


def mutated(spec: ModelSpec, count: int, seed: int = 0) -> list[ModelSpec]:
    """Specs with one to three stacks changed in kind, kernel, expansion or width; all different."""
    rng = random.Random(seed)
    found: dict[ModelSpec, None] = {}
    while len(found) < count:
        stacks = list(spec.backbone.stacks)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(1, len(stacks))
            kind = rng.choice(("dw", "fused", "group_fused"))
            size = rng.choice((32, 64)) if kind == "group_fused" else None
            stacks[place] = replace(
                stacks[place],
                kind=kind,
                kernel=rng.choice((3, 5, 7)),
                expansion=rng.choice((2, 3, 4, 6, 8)),
                filters=8 * rng.randint(3, 40),
                group_size=size,
            )
        try:
            found[replace(spec, backbone=replace(spec.backbone, stacks=tuple(stacks)))] = None
        except SpecError:
            continue
    return list(found)


def times_ms(jobs: list[Any]) -> list[float]:
    """Wall time of each call."""
    result = []
    for job in jobs:
        start = time.perf_counter()
        job()
        result.append(1e3 * (time.perf_counter() - start))
    return result


def main() -> None:
    """Runs the cases and records medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--specs", type=int, default=4000, help="mutated specs to cost")
    count = parser.parse_args().specs
    spec, target = spec_of("mobilenet_edgetpu_v2_s"), load_target("pixel6")
    specs = mutated(spec, count)
    cases = {
        "spec to report, nothing remembered": [
            lambda: Analytical(target).report(spec.graph()) for _ in range(50)
        ],
        "spec to report, again": [lambda: estimate(spec, target=target) for _ in range(500)],
        "spec to report, mutated specs": [
            lambda each=each: estimate(each, target=target) for each in specs
        ],
        "all rows with reasons": [lambda: estimate(spec, target=target).rows for _ in range(50)],
    }
    rows = []
    for what, jobs in cases.items():
        taken = times_ms(jobs)
        median = statistics.median(taken)
        rows.append(
            {
                "what": what,
                "median_ms": round(median, 4),
                "best_ms": round(min(taken), 4),
                "per_second": round(1e3 / median),
            }
        )
        print(
            f"{what:<36} median {median:.3f} ms, best {min(taken):.3f} ms, mean {statistics.mean(taken):.3f}"
        )
    save(
        "cost_speed",
        command="python benchmarks/cost_speed.py",
        columns=COLUMNS,
        rows=rows,
        notes=[f"Graph building included; {count:,} different mutated specs; one core."],
    )


if __name__ == "__main__":
    main()

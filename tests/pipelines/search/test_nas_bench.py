"""Searches against a table where the best architecture of a budget is known."""

import importlib.util
import itertools
import json
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


@pytest.fixture(scope="module")
def bench(root: Path) -> ModuleType:
    path = root / "benchmarks" / "nas_bench_macro.py"
    spec = importlib.util.spec_from_file_location("nas_bench_macro", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)  # benchmarks import their neighbours
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def small_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All 6,561 networks with made-up accuracies: a sum over layers, pairs of neighbours, and noise of
    0.2 points between trainings."""
    rng = np.random.default_rng(0)
    layer, pair = rng.normal(size=(8, 3)), 0.3 * rng.normal(size=(7, 3, 3))
    layer[:, 0] -= 1.0
    table = {}
    for row in itertools.product(range(3), repeat=8):
        worth = sum(layer[i, c] for i, c in enumerate(row))
        worth += sum(pair[i, a, b] for i, (a, b) in enumerate(itertools.pairwise(row)))
        runs = 90.0 + worth + 0.2 * rng.normal(size=3)
        table["".join(map(str, row))] = {
            "test_acc": runs.tolist(),
            "flops": 7_700_000 + 6_100_000 * sum(row),
        }
    path = tmp_path_factory.mktemp("table") / "table.json"
    path.write_text(json.dumps(table))
    return path


def shared_table() -> Path:
    folder = os.environ.get("EDGEZOO_SHARED")
    shared = Path(folder) if folder else Path(__file__).resolve().parents[4] / "shared"
    return shared / "data" / "nas" / "nas-bench-macro_cifar10.json"


def mean_regret(bench: ModuleType, table: Path, sampler: str, seeds: int) -> float:
    oracle = bench.Oracle(table)
    return float(
        np.mean(
            [bench.regret_of_search(oracle, sampler, 100, 40.0, seed, 8) for seed in range(seeds)]
        )
    )


def test_search_beats_gated_random_on_a_made_up_table(bench: ModuleType, small_table: Path) -> None:
    found = {s: mean_regret(bench, small_table, s, 5) for s in ("screened_evolution", "random")}
    assert found["screened_evolution"] < 0.1
    assert found["random"] > 2 * found["screened_evolution"] + 0.1


def test_gating_is_what_helps_random_search(bench: ModuleType, small_table: Path) -> None:
    oracle = bench.Oracle(small_table)
    blind = [bench.regret_of_blind_random(oracle, 100, 40.0, seed) for seed in range(20)]
    assert np.mean(blind) > mean_regret(bench, small_table, "random", 5)


@pytest.mark.skipif(not shared_table().is_file(), reason="NAS-Bench-Macro is not on this machine")
def test_regret_on_nas_bench_macro(bench: ModuleType) -> None:
    """The figure of the benchmark, on 5 of its 20 seeds: 100 trials within 40 MFLOPs, at most 0.10 points."""
    oracle = bench.Oracle(shared_table())
    assert oracle.best_within(40.0) == pytest.approx(91.507, abs=1e-3)
    assert mean_regret(bench, shared_table(), "screened_evolution", 5) <= 0.10
    assert mean_regret(bench, shared_table(), "random", 5) > 0.10

"""The contract of every sampler, and what each is good at."""

import json
from typing import Any

import numpy as np
import pytest

from hw_model.errors import UnknownNameError
from pipelines.search.arrays import FloatArray, IntArray
from pipelines.search.samplers import SAMPLERS, Sampler, make_sampler
from pipelines.search.samplers.nsga2 import survivors
from pipelines.search.samplers.variation import mutate, tournament

CARDINALITIES = np.array([2, 3, 1, 5, 4, 4, 4, 4])
WORTH = np.random.default_rng(5).normal(size=(8, 5))


@pytest.fixture(params=sorted(SAMPLERS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def quality_of(genotypes: IntArray) -> FloatArray:
    values: FloatArray = WORTH[np.arange(8), genotypes].sum(axis=1)
    return values


def cost_of(genotypes: IntArray) -> FloatArray:
    return np.column_stack((1.0 + genotypes.sum(axis=1), 2.0 + genotypes[:, 0])).astype(float)


def step(sampler: Sampler, count: int = 8) -> IntArray:
    """One ask and its tell; every fifth trial fails, and only cheap ones meet the budget."""
    genotypes = sampler.ask(count)
    quality, cost = quality_of(genotypes), cost_of(genotypes)
    quality[::5] = np.nan
    sampler.tell(genotypes, quality, cost, cost[:, 0] < 14)
    return genotypes


def make(name: str, **changes: Any) -> Sampler:
    return make_sampler(name, CARDINALITIES, **{"seed": 3, "trials": 100, **changes})


def test_asks_are_rows_within_the_cardinalities(name: str) -> None:
    sampler = make(name)
    for _ in range(12):
        told = sampler.told
        genotypes = step(sampler)
        assert genotypes.shape == (8, 8)
        assert genotypes.dtype == np.int64
        assert (genotypes >= 0).all()
        assert (genotypes < CARDINALITIES).all()
        assert sampler.parents.shape == (8, 2)
        assert (sampler.parents < told).all()
        assert (sampler.parents >= -1).all()
    assert sampler.told == 96


def test_asks_follow_from_the_seed_and_the_history(name: str) -> None:
    runs = []
    for seed in (3, 3, 4):
        sampler = make(name, seed=seed)
        runs.append([step(sampler).tolist() for _ in range(10)])
    assert runs[0] == runs[1] != runs[2]


def test_state_survives_json_and_continues_exactly(name: str) -> None:
    sampler = make(name)
    for _ in range(9):
        step(sampler)
    state = json.loads(json.dumps(sampler.state_dict(), allow_nan=False))
    expected = [step(sampler).tolist() for _ in range(4)]
    restored = make(name, seed=99)
    restored.load_state(state)
    assert [step(restored).tolist() for _ in range(4)] == expected
    assert restored.told == sampler.told


def test_state_of_another_sampler_is_refused(name: str) -> None:
    other = "random" if name != "random" else "evolution"
    with pytest.raises(ValueError, match="given to"):
        make(name).load_state(make(other).state_dict())


def test_all_trials_failing_is_survived(name: str) -> None:
    sampler = make(name)
    for _ in range(6):
        rows = sampler.ask(8)
        sampler.tell(rows, np.full(8, np.nan), cost_of(rows), np.ones(8, dtype=bool))
    assert sampler.ask(8).shape == (8, 8)
    assert (sampler.parents == -1).all()


@pytest.mark.parametrize("learner", ["evolution", "screened_evolution", "nsga2"])
def test_learners_beat_random(learner: str) -> None:
    means = {}
    for kind in (learner, "random"):
        best = []
        for seed in range(5):
            sampler, found = make(kind, seed=seed, trials=240), -np.inf
            for _ in range(30):
                rows = sampler.ask(8)
                quality = quality_of(rows)
                sampler.tell(rows, quality, cost_of(rows), np.ones(8, dtype=bool))
                found = max(found, float(quality.max()))
            best.append(found)
        means[kind] = np.mean(best)
    assert means[learner] > means["random"] + 0.3


def test_screen_chooses_what_it_predicts_best() -> None:
    sampler = make("screened_evolution")
    assert sampler.pool == 1
    for _ in range(8):
        rows = sampler.ask(8)
        sampler.tell(rows, quality_of(rows), cost_of(rows), np.ones(8, dtype=bool))
    assert sampler.pool > 1
    rows = np.random.default_rng(0).integers(0, CARDINALITIES, size=(60, 8))
    chosen = sampler.choose(rows, cost_of(rows), 6)
    assert len(set(chosen.tolist())) == 6
    assert quality_of(rows[chosen]).mean() > np.quantile(quality_of(rows), 0.85)


def test_infeasible_rank_behind_feasible_and_by_cost() -> None:
    objectives = np.array([[-9.0, 8.0], [-1.0, 1.0], [-5.0, 6.0], [-2.0, 2.0]])
    feasible = np.array([False, True, False, True])
    order = survivors(objectives, feasible, 4).tolist()
    assert set(order[:2]) == {1, 3}
    assert order[2:] == [2, 0]


def test_mutation_changes_at_least_one_gene_that_can_change() -> None:
    rng = np.random.default_rng(0)
    parents = rng.integers(0, CARDINALITIES, size=(500, 8))
    changed = mutate(rng, parents, CARDINALITIES, 1.0) != parents
    assert changed.any(axis=1).all()
    assert not changed[:, 2].any()
    assert 1.5 < changed.sum(axis=1).mean() < 2.2
    fixed = np.ones(8, dtype=np.int64)
    assert (mutate(rng, parents * 0, fixed, 1.0) == 0).all()


def test_tournament_prefers_low_places() -> None:
    wins = tournament(np.random.default_rng(0), np.arange(10), 5, 2000)
    counts = np.bincount(wins, minlength=10)
    assert counts[0] > counts[4] > counts[9]


def test_unknown_sampler_suggests() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean evolution"):
        make("evolutoin")

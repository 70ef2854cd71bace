"""Samples are what the simulator says, and an interrupted or damaged sampling goes on where it can."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw_model import load_target
from hw_model.cost import evaluator_for
from hw_model.errors import SpecError, UsageError
from hw_model.graph import Graph
from hw_model.targets import Target
from pipelines.cost_model import samples as module
from pipelines.cost_model.samples import CHUNK, Plan, sample
from pipelines.cost_model.specs import random_spec


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan of two chunks, the second one cut."""
    return Plan(target=load_target("pixel6"), seed=5, count=CHUNK + 3, folder=tmp_path)


@pytest.fixture
def simulations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of graphs as they are simulated, by something faster than the simulator."""
    done: list[str] = []

    def quick(target: Target, graph: Graph) -> tuple[np.ndarray, float]:
        done.append(graph.name)
        return np.full((len(graph.ops), 2), float(graph.macs)), 2.5

    monkeypatch.setattr(module, "simulated", quick)
    return done


def test_rows_add_up_to_the_simulators_report() -> None:
    target, graph = load_target("coral_usb"), random_spec(1, 2).graph()
    rows, fixed_us = module.simulated(target, graph)
    report = evaluator_for(target, "simulator").report(graph)
    assert rows[:, 0].sum() + fixed_us == pytest.approx(1e3 * report.latency_ms, rel=1e-9)
    assert 1e-9 * rows[:, 1].sum() == pytest.approx(report.active_energy_mj, rel=1e-9)


def test_what_is_kept_is_not_simulated_again(plan: Plan, simulations: list[str]) -> None:
    first = sample(plan)
    assert len(first) == plan.count
    assert len(simulations) == 2 * CHUNK
    again = sample(replace(plan, count=2 * CHUNK))
    assert len(simulations) == 2 * CHUNK
    assert [each.spec for each in again[: plan.count]] == [each.spec for each in first]
    for a, b in zip(first, again, strict=False):
        assert np.array_equal(a.rows, b.rows)
        assert a.fixed_us == b.fixed_us == 2.5


def test_an_interrupted_sampling_goes_on(
    plan: Plan, simulations: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make = module._simulate_chunk

    def interrupted(asked: Plan, chunk: int) -> int:
        if chunk == 1:
            raise KeyboardInterrupt
        return make(asked, chunk)

    monkeypatch.setattr(module, "_simulate_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sample(plan)
    assert len(simulations) == CHUNK
    monkeypatch.setattr(module, "_simulate_chunk", make)
    assert len(sample(plan)) == plan.count
    assert len(simulations) == 2 * CHUNK


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more", None])
def test_a_damaged_chunk_is_made_again(
    plan: Plan, simulations: list[str], damage: bytes | None
) -> None:
    sample(plan)
    path = plan.path(0)
    path.write_bytes(path.read_bytes()[:-200] if damage is None else damage)
    assert len(sample(plan)) == plan.count
    assert len(simulations) == 3 * CHUNK


def test_other_targets_and_seeds_have_other_files_and_other_specs_are_refused(
    plan: Plan, simulations: list[str]
) -> None:
    sample(plan)
    other = replace(plan, seed=6)
    assert other.path(0) != plan.path(0)
    assert replace(plan, target=load_target("pixel4")).path(0) != plan.path(0)
    other.path(0).parent.mkdir()
    plan.path(0).rename(other.path(0))
    sample(other)
    assert len(simulations) == 4 * CHUNK


@pytest.mark.usefixtures("simulations")
def test_networks_that_do_not_run_are_left_out(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = module.simulated

    def picky(target: Target, graph: Graph) -> tuple[np.ndarray, float]:
        if graph.macs % 3 == 0:
            raise SpecError("ops[x]", "needs more memory")
        return quick(target, graph)

    monkeypatch.setattr(module, "simulated", picky)
    left = sample(plan)
    assert 0 < len(left) < plan.count
    assert all(each.rows[0, 0] % 3 for each in left)


@pytest.mark.usefixtures("simulations")
def test_a_target_that_runs_next_to_nothing_is_refused(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(target: Target, graph: Graph) -> tuple[np.ndarray, float]:
        raise SpecError("ops[x]", "needs more memory")

    monkeypatch.setattr(module, "simulated", never)
    with pytest.raises(UsageError, match="runs only 0 of 35 random networks"):
        sample(plan)


@pytest.mark.slow
def test_worker_processes_give_the_same_samples(plan: Plan, tmp_path: Path) -> None:
    alone = sample(plan)
    together = sample(replace(plan, folder=tmp_path / "two"), workers=2)
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a.rows, b.rows)

"""Whole studies: cost first, nothing asked twice, failures recorded, budgets changed, settings guarded."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from search_toy import LEAST, ToyProblem, ToyQuality, summary, toy_config, worth

from hw_model.errors import DataError, EnvironmentFault, UsageError
from pipelines.search import (
    Budget,
    Reward,
    Study,
    best,
    front,
    open_study,
    rebudget,
    resume,
    run_search,
)
from pipelines.search.samplers import SAMPLERS


def ms(limit: float) -> Budget:
    return Budget(quantity="latency_ms", limit=limit)


def search(folder: Path, quality: ToyQuality | None = None, **changes: Any) -> Study:
    return run_search(
        toy_config(folder, **changes),
        problem=ToyProblem(),
        evaluator=quality or ToyQuality(),
        progress=False,
    )


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
def test_only_new_affordable_candidates_are_paid(tmp_path: Path, sampler: str) -> None:
    quality = ToyQuality()
    study = search(tmp_path, quality, sampler=sampler)
    assert len(study.trials) == 48
    assert len(set(quality.paid)) == len(quality.paid) == 48
    assert all(study.spent(trial, "latency_ms") <= 6.0 for trial in study.trials)
    assert [trial.number for trial in study.trials] == list(range(48))
    assert summary(open_study(tmp_path)) == summary(study)


def test_costs_are_computed_once(tmp_path: Path) -> None:
    problem = ToyProblem()
    config = toy_config(tmp_path)
    run_search(config, problem=problem, evaluator=ToyQuality(), progress=False)
    assert len(set(problem.costed)) == len(problem.costed) > 60
    again = ToyProblem()
    rebudget(tmp_path, ms(5.0), trials=0, problem=again, evaluator=ToyQuality(), progress=False)
    assert again.costed == []


def test_trials_record_where_they_come_from(tmp_path: Path) -> None:
    study = search(tmp_path, trials=60)
    keys = {trial.key for trial in study.trials}
    children = [trial for trial in study.trials if trial.parents]
    assert len(children) > 20
    for child in children:
        assert set(child.parents) <= keys
        (parent,) = (t for t in study.trials if t.key == child.parents[0])
        assert parent.generation < child.generation
    assert study.trials[0].spec == {"genes": list(study.trials[0].genotype)}
    assert len({trial.seed for trial in study.trials}) == 60


def test_failures_are_recorded_and_the_study_goes_on(tmp_path: Path) -> None:
    study = search(tmp_path, ToyQuality(fail_digit="2", raise_digit="3"))
    assert len(study.trials) == 48
    reasons = {trial.failure for trial in study.trials}
    assert reasons == {None, "loss is nan", "ValueError: this one cannot be trained"}
    for trial in study.trials:
        assert trial.complete == (trial.key[4] not in "23")
    assert best(study).key[4] not in "23"


def test_optuna_sees_the_trials(tmp_path: Path) -> None:
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    study = search(tmp_path, ToyQuality(fail_digit="2"))
    backend = JournalFileBackend(str(tmp_path / "trials.journal"))
    theirs = optuna.load_study(study_name="study", storage=JournalStorage(backend))
    states = [trial.state.name for trial in theirs.trials]
    assert states.count("COMPLETE") == len(study.complete)
    assert states.count("FAIL") == 48 - len(study.complete) > 0
    assert {t.user_attrs["key"] for t in theirs.best_trials} == {t.key for t in front(study)}
    assert theirs.metric_names == ["quality", "latency_ms", "energy_mj"]
    first = theirs.trials[0]
    assert set(first.user_attrs) >= {
        "genotype",
        "key",
        "spec",
        "cost",
        "quality",
        "seed",
        "lineage",
    }


def test_an_impossible_budget_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"within 0\.05 ms; the cheapest .* takes {LEAST:g} ms"):
        search(tmp_path, budget=ms(0.05))
    # Nothing is left behind: the same folder can be used with a better budget.
    assert not (tmp_path / "study.json").exists()
    study = search(tmp_path, budget=ms(2.0))
    assert len(study.trials) == 48


def test_a_tight_budget_is_found_by_walking_down(tmp_path: Path) -> None:
    """One genotype in 4**9 or so is random; the gate finds the corner nevertheless."""
    study = search(tmp_path, budget=ms(LEAST + 0.25), sampler="random", trials=4)
    assert {trial.key for trial in study.trials} <= {
        "0000000000",
        "1000000000",
        "2000000000",
        "0100000000",
    }
    assert len(study.trials) == 4


def test_an_exhausted_space_ends_the_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = search(tmp_path, budget=ms(LEAST + 0.25), trials=30)
    assert len(study.trials) == 4
    assert "the study ends with 4 of 30 trials" in capsys.readouterr().err


def test_quality_is_that_of_an_exhaustive_search(tmp_path: Path) -> None:
    """Over 40 affordable architectures, as many trials as there are: the best is the best there is."""
    study = search(tmp_path, budget=ms(0.8), trials=200)
    problem = ToyProblem()
    every = np.array(np.meshgrid(*[[0, 1, 2, 3]] * 4)).reshape(4, -1).T
    rows = np.hstack((every, np.zeros((len(every), 6), dtype=np.int64)))
    # Genes 4 to 9 at 1 cost 0.5 and more each; take those that fit as well.
    extra = np.zeros((6, 10), dtype=np.int64)
    extra[np.arange(6), np.arange(4, 10)] = 1
    rows = np.vstack([rows, *(rows + one for one in extra)])
    keys = dict(zip(problem.keys(rows), problem.costs(rows), strict=True))
    inside = [key for key, cost in keys.items() if getattr(cost, "values", (9,))[0] <= 0.8]
    assert {trial.key for trial in study.trials} <= set(inside)
    assert best(study).quality == pytest.approx(max(worth(key) for key in inside))


def test_rebudget_reuses_trials_and_continues(tmp_path: Path) -> None:
    first = search(tmp_path)
    quality = ToyQuality()
    second = rebudget(
        tmp_path, ms(4.0), trials=24, problem=ToyProblem(), evaluator=quality, progress=False
    )
    assert len(second.trials) == 72
    assert second.trials[:48] == first.trials
    assert not {t.key for t in first.trials} & set(quality.paid)
    assert all(second.spent(t, "latency_ms") <= 4.0 for t in second.trials[48:])
    assert best(second).cost.values[0] <= 4.0
    assert best(second, ms(6.0)).quality == best(first).quality


def test_what_was_known_helps_under_a_new_budget(tmp_path: Path) -> None:
    """24 more trials after a study under another budget, against 24 from nothing; mean of six seeds."""
    after, alone = [], []
    for seed in range(6):
        search(tmp_path / f"after{seed}", seed=seed)
        study = rebudget(
            tmp_path / f"after{seed}",
            ms(4.0),
            trials=24,
            problem=ToyProblem(),
            evaluator=ToyQuality(),
            progress=False,
        )
        after.append(best(study).quality)
        fresh = search(tmp_path / f"alone{seed}", seed=seed, budget=ms(4.0), trials=24)
        alone.append(best(fresh).quality)
    assert np.mean(after) > np.mean(alone) + 0.05


def test_rebudget_by_energy(tmp_path: Path) -> None:
    search(tmp_path)
    budget = Budget(quantity="energy_mj", limit=7.5)
    study = rebudget(
        tmp_path, budget, trials=12, problem=ToyProblem(), evaluator=ToyQuality(), progress=False
    )
    assert all(study.spent(trial, "energy_mj") <= 7.5 for trial in study.trials[48:])


def test_an_impossible_new_budget_leaves_the_study_as_it_was(tmp_path: Path) -> None:
    before = search(tmp_path)
    with pytest.raises(UsageError, match="nearest|cheapest"):
        rebudget(tmp_path, ms(0.01), problem=ToyProblem(), evaluator=ToyQuality(), progress=False)
    after = open_study(tmp_path)
    assert after.manifest == before.manifest
    assert summary(after) == summary(before)


def test_more_trials_on_request(tmp_path: Path) -> None:
    search(tmp_path)
    study = resume(
        tmp_path, trials=60, problem=ToyProblem(), evaluator=ToyQuality(), progress=False
    )
    assert len(study.trials) == 60
    assert len({trial.key for trial in study.trials}) == 60


def test_soft_reward_pays_a_little_over_the_budget_but_wins_within(tmp_path: Path) -> None:
    reward = Reward(form="abs", beta=-5.0, gate_ratio=1.5)
    study = search(tmp_path, reward=reward, trials=90)
    spent = [study.spent(trial, "latency_ms") for trial in study.trials]
    assert 6.0 < max(spent) <= 9.0
    assert study.spent(best(study), "latency_ms") <= 6.0


def test_front_and_best_of_a_budget(tmp_path: Path) -> None:
    study = search(tmp_path, sampler="nsga2")
    points = front(study, quantities=["latency_ms"])
    latencies = [study.spent(t, "latency_ms") for t in points]
    assert latencies == sorted(latencies)
    qualities = [t.quality or 0.0 for t in points]
    assert qualities == sorted(qualities)
    assert best(study) == points[-1]
    assert front(study, budget=ms(0.01)) == []
    with pytest.raises(UsageError, match="the nearest takes"):
        best(study, ms(0.01))
    with pytest.raises(UsageError, match="has the quantities latency_ms, energy_mj"):
        front(study, quantities=["size"])


def test_best_without_a_complete_trial_says_why(tmp_path: Path) -> None:
    study = search(tmp_path, _AlwaysFails())
    assert len(study.trials) == 48
    with pytest.raises(
        UsageError, match="no complete trial; the first failure: ValueError: no GPU"
    ):
        best(study)


class _AlwaysFails(ToyQuality):
    def evaluate(self, candidates: Any, seed: int) -> Any:
        raise ValueError("no GPU")


def test_a_mistake_of_the_user_stops_the_study(tmp_path: Path) -> None:
    """What would fail every trial alike is no failed trial."""

    class MissingData(ToyQuality):
        def evaluate(self, candidates: Any, seed: int) -> Any:
            raise DataError("no images in /nowhere")

    with pytest.raises(DataError, match="no images"):
        search(tmp_path, MissingData())
    study = resume(tmp_path, problem=ToyProblem(), evaluator=ToyQuality(), progress=False)
    assert len(study.trials) == 48


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trials": 0}, "trials must be an integer from 1"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"workers": 0}, "workers"),
        ({"sampler": "evolve"}, "Did you mean evolution"),
        ({"name": ""}, "name"),
        ({"width": 0.0}, "width"),
        ({"budget": Budget(quantity="size", limit=1.0)}, "must be on latency_ms or energy_mj"),
        ({"storage": "no-such-scheme"}, "Storage must be journal"),
    ],
)
def test_wrong_settings(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        search(tmp_path, **changes)
    assert not (tmp_path / "study.json").exists()


def test_a_folder_holds_one_study(tmp_path: Path) -> None:
    search(tmp_path)
    with pytest.raises(UsageError, match="already holds a study"):
        search(tmp_path)


def test_no_study_to_open(tmp_path: Path) -> None:
    for action in (open_study, resume):
        with pytest.raises(UsageError, match="No study in"):
            action(tmp_path)


def test_damaged_settings(tmp_path: Path) -> None:
    search(tmp_path)
    path = tmp_path / "study.json"
    data = json.loads(path.read_text())
    data["config"]["trials"] = "many"
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match=r"config\.trials"):
        open_study(tmp_path)
    path.write_text("{")
    with pytest.raises(DataError, match="damaged"):
        open_study(tmp_path)


@pytest.mark.parametrize("changed", ["cost_id", "space_id"])
def test_another_cost_model_or_space_is_refused(tmp_path: Path, changed: str) -> None:
    search(tmp_path)
    other = ToyProblem(**{changed: "other"})
    with pytest.raises(UsageError, match="changed since this study began"):
        resume(tmp_path, problem=other, evaluator=ToyQuality(), progress=False)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="Cannot"):
        search(tmp_path / "file" / "study")

"""Outcomes come from anywhere: in order, from workers, and from workers that die."""

from pathlib import Path

import pytest
from search_toy import ToyProblem, ToyQuality, summary, toy_config, worth

from hw_model.errors import DataError, UnknownNameError, UsageError
from pipelines.search import Candidate, Cost, run_search
from pipelines.search.executor import Executor, LocalExecutor, ProcessExecutor
from pipelines.search.quality import Failure, Outcome, Quality

KEYS = [f"11{i}0{j}00000" for i in range(3) for j in range(4)]


def candidates() -> list[Candidate]:
    return [
        Candidate(genotype=tuple(map(int, key)), key=key, cost=Cost(values=(1.0, 1.0)))
        for key in KEYS
    ]


def outcomes(executor: Executor, quality: ToyQuality) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    for some in executor.run(quality, candidates(), 0):
        for index, outcome in some:
            assert KEYS[index] not in found
            found[KEYS[index]] = outcome
    return found


def test_local() -> None:
    found = outcomes(LocalExecutor(), ToyQuality(batch_limit=5))
    assert {key: out.value for key, out in found.items() if isinstance(out, Quality)} == {
        key: worth(key) for key in KEYS
    }


def test_an_exception_is_the_failure_of_the_candidate_that_raised_it() -> None:
    """Also when it was one of a batch: its companions are evaluated again without it."""
    found = outcomes(LocalExecutor(), ToyQuality(batch_limit=100, raise_digit="1"))
    assert set(found) == set(KEYS)
    for key, outcome in found.items():
        assert isinstance(outcome, Failure) == (key[4] == "1")
    reasons = {out.reason for out in found.values() if isinstance(out, Failure)}
    assert reasons == {"ValueError: this one cannot be trained"}


def test_quality_that_is_no_number_is_a_failure() -> None:
    class NotANumber(ToyQuality):
        def evaluate(self, candidates: object, seed: int) -> list[Outcome]:
            return [Quality(value=float("nan"))] * len(KEYS)

    found = outcomes(LocalExecutor(), NotANumber())
    assert all(isinstance(outcome, Failure) for outcome in found.values())


def test_workers() -> None:
    """One pool: all outcomes, exceptions as failures, and a worker that ends its process takes only its own
    candidate with it."""
    executor = ProcessExecutor(2)
    try:
        found = outcomes(executor, ToyQuality(batch_limit=2, raise_digit="1", die_digit="2"))
    finally:
        executor.close()
    assert set(found) == set(KEYS)
    for key, outcome in found.items():
        if key[4] == "1":
            assert outcome == Failure(
                reason="ValueError: this one cannot be trained", seconds=outcome.seconds
            )
        elif key[4] == "2":
            assert isinstance(outcome, Failure)
            assert "worker process died" in outcome.reason
        else:
            assert isinstance(outcome, Quality)
            assert outcome.value == worth(key)


class Unknown(ToyQuality):
    """Raises an error with more than a message, which pickle alone could not bring back."""

    def evaluate(self, candidates: object, seed: int) -> list[Outcome]:
        raise UnknownNameError("data set", "fashon", ["fashion"])


def test_a_mistake_of_the_user_comes_back_from_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    import pipelines.search.executor as module

    monkeypatch.setattr(module, "_worker", [Unknown()])
    with pytest.raises(UsageError, match="Did you mean fashion") as caught:
        module._work(candidates(), 0)
    assert type(caught.value) is UsageError


def test_evaluator_that_answers_too_little_is_a_bug() -> None:
    class Short(ToyQuality):
        def evaluate(self, candidates: object, seed: int) -> list[Outcome]:
            return []

    with pytest.raises(RuntimeError, match="12 asked, 0 answered"):
        outcomes(LocalExecutor(), Short(batch_limit=100))


def test_environment_and_data_errors_pass() -> None:
    class NoData(ToyQuality):
        def evaluate(self, candidates: object, seed: int) -> list[Outcome]:
            raise DataError("empty")

    with pytest.raises(DataError):
        outcomes(LocalExecutor(), NoData())


def test_at_least_one_worker() -> None:
    with pytest.raises(UsageError, match="workers"):
        ProcessExecutor(0)


def test_a_study_does_not_depend_on_where_it_runs(tmp_path: Path) -> None:
    studies = [
        run_search(
            toy_config(tmp_path / str(workers), workers=workers, trials=18),
            problem=ToyProblem(),
            evaluator=ToyQuality(fail_digit="2", batch_limit=1),
            progress=False,
        )
        for workers in (1, 2)
    ]
    assert summary(studies[0]) == summary(studies[1])

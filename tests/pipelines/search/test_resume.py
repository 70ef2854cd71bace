"""A search killed at any moment loses no finished trial and ends where an undisturbed one does."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from search_toy import ToyProblem, ToyQuality, summary, toy_config

import pipelines.search.driver as driver_module
from hw_model.errors import UsageError
from pipelines.search import SearchConfig, Study, open_study, resume, run_search
from pipelines.search.folder import StudyFolder
from pipelines.search.samplers import SAMPLERS

PROGRAM = Path(__file__).with_name("search_toy.py")


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The toy search in a process of its own; it resumes where a study lies in `folder`."""
    root = str(PROGRAM.parents[3])
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )


def finish(folder: Path, *arguments: str) -> Any:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out)


def kill_when(process: "subprocess.Popen[str]", journal: Path, size: int, delay: float) -> None:
    """SIGKILL a moment after the trial file has grown to `size` bytes."""
    while process.poll() is None and (not journal.exists() or journal.stat().st_size < size):
        time.sleep(0.001)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize(
    ("sampler", "kills"),
    [
        ("evolution", 3),
        pytest.param("screened_evolution", 10, marks=pytest.mark.slow),
        pytest.param("nsga2", 10, marks=pytest.mark.slow),
    ],
)
def test_killed_again_and_again(tmp_path: Path, sampler: str, kills: int) -> None:
    """SIGKILL at random moments; after each, every trial that was stored is still there and whole."""
    arguments = ("--sampler", sampler, "--seconds", "0.004")
    expected = summary(toy_run(tmp_path / "calm", sampler=sampler))
    folder, dice = tmp_path / "killed", random.Random(sampler)
    journal = folder / "trials.journal"
    kept: list[str] = []
    for _ in range(kills):
        size = journal.stat().st_size if journal.exists() else 0
        process = start(folder, *arguments)
        kill_when(process, journal, size + dice.randrange(1, 4000), dice.random() * 0.05)
        if (folder / "study.json").exists() and is_trial_stored(journal):
            trials = open_study(folder).trials
            assert [t.key for t in trials[: len(kept)]] == kept
            kept = [t.key for t in trials]
    assert kept, "no kill came after a trial was stored"
    assert finish(folder, *arguments) == expected


def is_trial_stored(journal: Path) -> bool:
    return journal.exists() and b'"op_code":4,' in journal.read_bytes()


def toy_run(folder: Path, **changes: Any) -> Study:
    """What the program does, in this process."""
    return run(toy_config(folder, **changes), ToyQuality(fail_digit="2", batch_limit=2))


@pytest.mark.slow
def test_killed_with_workers_and_sqlite(tmp_path: Path) -> None:
    """Workers finish in any order and die with their driver; the resumed study is the same nevertheless."""
    expected = summary(toy_run(tmp_path / "calm"))
    folder, database = tmp_path / "killed", tmp_path / "trials.db"
    arguments = ("--workers", "2", "--seconds", "0.02", "--storage", f"sqlite:///{database}")
    for delay in (0.1, 0.4, 0.8):
        process = start(folder, *arguments)
        while process.poll() is None and stored_rows(database) == 0:
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    rows = stored_rows(database)
    assert 0 < rows < 48, "killed between the first and the last trial"
    assert finish(folder, *arguments) == expected


def stored_rows(database: Path) -> int:
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return int(connection.execute("select count(*) from trials").fetchone()[0])
    except sqlite3.Error:
        return 0


class _Crashing(ToyQuality):
    """Crashes the driver when asked for its n-th candidate."""

    def __init__(self, after: int) -> None:
        super().__init__(fail_digit="2", batch_limit=1)
        self.after = after

    def evaluate(self, candidates: Any, seed: int) -> Any:
        if len(self.paid) >= self.after:
            raise KeyboardInterrupt
        return super().evaluate(candidates, seed)


def run(config: SearchConfig, quality: ToyQuality | None = None) -> Study:
    quality = quality or ToyQuality(fail_digit="2", batch_limit=1)
    return run_search(config, problem=ToyProblem(), evaluator=quality, progress=False)


def go_on(folder: Path, quality: ToyQuality | None = None) -> Study:
    quality = quality or ToyQuality(fail_digit="2", batch_limit=1)
    return resume(folder, problem=ToyProblem(), evaluator=quality, progress=False)


@pytest.mark.parametrize("sampler", sorted(SAMPLERS))
@pytest.mark.parametrize("after", [0, 1, 17, 36, 47])
def test_interrupted_anywhere_resumes_to_the_same_study(
    tmp_path: Path, sampler: str, after: int
) -> None:
    expected = summary(run(toy_config(tmp_path / "calm", sampler=sampler)))
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run(toy_config(folder, sampler=sampler), _Crashing(after))
    if after:
        assert len(open_study(folder).trials) == after, "a finished trial was lost"
    quality = ToyQuality(fail_digit="2", batch_limit=1)
    assert summary(go_on(folder, quality)) == expected
    assert len(quality.paid) == 48 - after, "a finished trial was paid for again"


@pytest.mark.parametrize("damage", ["missing", "empty", "not JSON", "older", "foreign"])
def test_sampler_state_is_a_shortcut_not_a_need(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However it is lost, replaying the trials gives the same state."""
    monkeypatch.setattr(driver_module, "_SAVE_SAMPLER_EVERY_S", 0.0)
    expected = summary(run(toy_config(tmp_path / "calm")))
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run(toy_config(folder), _Crashing(20))
    path = StudyFolder(folder).sampler_path
    state = json.loads(path.read_text())
    assert state["generation"] == 3, "generations of 6: three were told before the crash at 20"
    older = json.loads((tmp_path / "calm" / "sampler.json").read_text())
    if damage == "missing":
        path.unlink()
    else:
        text = {
            "empty": "",
            "not JSON": "{",
            "older": json.dumps({**state, "generation": 2}),
            "foreign": json.dumps(older),
        }[damage]
        path.write_text(text)
    assert summary(go_on(folder)) == expected


def test_saved_state_spares_the_replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "_SAVE_SAMPLER_EVERY_S", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(toy_config(tmp_path), _Crashing(20))
    generations = []
    real = driver_module.Driver._generation_of
    monkeypatch.setattr(
        driver_module.Driver,
        "_generation_of",
        lambda self, *a: (generations.append(self._generation), real(self, *a))[1],
    )
    go_on(tmp_path)
    assert generations == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("cut", [1, 7, 200])
def test_a_torn_last_line_is_repaired(tmp_path: Path, cut: int) -> None:
    expected = summary(run(toy_config(tmp_path / "calm")))
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run(toy_config(folder), _Crashing(20))
    journal = folder / "trials.journal"
    os.truncate(journal, journal.stat().st_size - cut)
    assert len(open_study(folder).trials) == 19, "readers skip the torn line"
    assert summary(go_on(folder)) == expected


def test_a_torn_cost_line_costs_one_report(tmp_path: Path) -> None:
    expected = summary(run(toy_config(tmp_path / "calm")))
    folder = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        run(toy_config(folder), _Crashing(20))
    costs = folder / "costs.jsonl"
    os.truncate(costs, costs.stat().st_size - 5)
    assert summary(go_on(folder)) == expected
    for line in costs.read_text().splitlines():
        json.loads(line)


def test_trials_that_replay_does_not_reproduce_are_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after an update that changes random streams: the study goes on from the trials as they are."""
    with pytest.raises(KeyboardInterrupt):
        run(toy_config(tmp_path), _Crashing(20))
    manifest = json.loads((tmp_path / "study.json").read_text())
    manifest["config"]["seed"] = 5
    (tmp_path / "study.json").write_text(json.dumps(manifest))
    (tmp_path / "sampler.json").unlink(missing_ok=True)
    before = open_study(tmp_path).trials
    study = go_on(tmp_path)
    assert "Replay differs" in capsys.readouterr().err
    assert study.trials[:20] == before
    assert len({trial.key for trial in study.trials}) == 48


def test_resuming_a_finished_study_changes_nothing(tmp_path: Path) -> None:
    expected = summary(run(toy_config(tmp_path)))
    quality = ToyQuality()
    assert summary(go_on(tmp_path, quality)) == expected
    assert quality.paid == []


def test_two_drivers_are_refused(tmp_path: Path) -> None:
    process = start(tmp_path, "--seconds", "0.2")
    try:
        journal = tmp_path / "trials.journal"
        # Its first line creates the study; the file alone says nothing yet.
        while not journal.exists() or b"\n" not in journal.read_bytes():
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(UsageError, match=f"already running .*process {process.pid} on"):
            go_on(tmp_path)
        # Nor may another folder's study write to the same file.
        storage = f"journal:///{journal}"
        with pytest.raises(UsageError, match="already running"):
            run(toy_config(tmp_path / "other", storage=storage))
        # Looking is allowed.
        assert len(open_study(tmp_path).trials) >= 0
    finally:
        process.kill()
        process.communicate()
    # The lock went with its holder.
    assert len(go_on(tmp_path).trials) == 48

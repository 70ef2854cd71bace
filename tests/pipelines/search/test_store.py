"""Trials in an Optuna study: journal, SQLite and PostgreSQL, damage, and studies that are not ours."""

import json
import os
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from hw_model.errors import DataError, EnvironmentFault, UsageError
from pipelines.search import Cost, Trial
from pipelines.search.journal import Journal, repair_journal
from pipelines.search.locate import storage_file, without_password
from pipelines.search.store import TrialStore
from pipelines.search.trial import trial_seed

QUANTITIES = ("latency_ms", "energy_mj")


def trial(number: int, **changes: Any) -> Trial:
    settings: dict[str, Any] = {
        "number": number,
        "genotype": (number, 2, 3),
        "key": f"key{number}",
        "cost": Cost(values=(1.5 + number, 0.25), summary={"macs": 10**12, "why": "a ceiling"}),
        "quality": 0.1 * number,
        "seconds": 2.5,
        "quality_kind": "train",
        "quality_detail": {"epochs": 4},
        "seed": trial_seed(0, f"key{number}"),
        "phase": 0,
        "generation": number // 2,
        "position": number % 2,
        "parents": ("key0",) if number else (),
        "spec": {"stacks": [{"kernel": 3}], "drop": 0.05, "head": None},
    }
    return Trial(**{**settings, **changes})


TRIALS = [trial(0), trial(1, quality=None, failure="loss is nan"), trial(2)]


def open_store(
    url: str, *, owner: str = "us", writable: bool = True
) -> AbstractContextManager[TrialStore]:
    return TrialStore.open(url, "study", QUANTITIES, owner=owner, writable=writable)


def journal_url(folder: Path) -> str:
    return f"journal:///{folder / 'trials.journal'}"


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "journal":
        return journal_url(tmp_path)
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'trials.db'}"
    pytest.importorskip("psycopg")
    server: Path = request.getfixturevalue("postgres")
    name = tmp_path.name.lower()
    subprocess.run(["createdb", "-h", server, "-U", "edgezoo", name], check=True)
    return f"postgresql+psycopg://edgezoo@/{name}?host={server}"


@pytest.fixture(scope="module")
def postgres() -> Iterator[Path]:
    """A throwaway PostgreSQL server on a socket, where the machine has one."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    needed = ("createdb", "runuser") if os.geteuid() == 0 else ("createdb",)
    if not programs or not all(map(shutil.which, needed)):
        pytest.skip("no PostgreSQL server on this machine")
    # Not below pytest's own folder, which other pytest runs close to other users.
    folder = Path(tempfile.mkdtemp())
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(folder, "postgres")
    data = folder / "data"
    subprocess.run(
        [*as_user, programs[-1] / "initdb", "-D", data, "-A", "trust", "-U", "edgezoo"],
        check=True,
        capture_output=True,
    )
    control = [*as_user, programs[-1] / "pg_ctl", "-D", data, "-w"]
    options = f"-c listen_addresses='' -k {folder}"
    subprocess.run(
        [*control, "-l", folder / "log", "-o", options, "start"], check=True, capture_output=True
    )
    yield folder
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True)
    shutil.rmtree(folder)


def test_trials_come_back_equal(url: str) -> None:
    with open_store(url) as store:
        store.add(TRIALS[:2])
        store.add(TRIALS[2:])
        assert store.trials() == TRIALS
    with open_store(url, writable=False) as store:
        assert store.trials() == TRIALS
    with open_store(url) as store:
        store.add([trial(3)])
        assert store.trials() == [*TRIALS, trial(3)]


def test_an_empty_study_can_be_begun_again(url: str) -> None:
    with open_store(url, owner="first") as store:
        store.delete()
    with open_store(url, owner="second") as store:
        store.add(TRIALS)


def test_a_study_of_another_folder_is_refused(url: str) -> None:
    with open_store(url, owner="them"):
        pass
    for writable in (True, False):
        with (
            pytest.raises(UsageError, match="belongs to another study folder"),
            open_store(url, owner="me", writable=writable),
        ):
            pass


def test_a_foreign_optuna_study_is_refused(tmp_path: Path) -> None:
    import optuna

    url = f"sqlite:///{tmp_path / 'trials.db'}"
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    theirs = optuna.create_study(storage=url, study_name="study", directions=["maximize"] * 3)
    theirs.add_trial(optuna.trial.create_trial(values=[1, 2, 3]))
    with pytest.raises(UsageError, match="belongs to another"), open_store(url):
        pass
    theirs._storage._backend.engine.dispose()


def test_opening_warns_of_nothing(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(journal_url(tmp_path), TRIALS)


def write(url: str, trials: list[Trial]) -> None:
    with open_store(url) as store:
        store.add(trials)


def read(url: str) -> list[Trial]:
    with open_store(url, writable=False) as store:
        return store.trials()


def test_a_batch_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes: list[int] = []
    real = os.fsync
    with open_store(journal_url(tmp_path)) as store:
        monkeypatch.setattr(os, "fsync", lambda file: (flushes.append(file), real(file))[1])
        store.add(TRIALS)
    assert len(flushes) == 1


@pytest.mark.parametrize(
    ("tail", "removed"), [(b"", 0), (b'{"op_code": 4, "user', 20), (b"x" * 200_000, 200_000)]
)
def test_repair_cuts_only_a_torn_tail(tmp_path: Path, tail: bytes, removed: int) -> None:
    url = journal_url(tmp_path)
    write(url, TRIALS)
    path = tmp_path / "trials.journal"
    with path.open("ab") as file:
        file.write(tail)
    assert read(url) == TRIALS
    assert repair_journal(path) == removed
    write(url, [trial(3)])
    assert read(url) == [*TRIALS, trial(3)]


def test_repair_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trials.journal"
    assert repair_journal(path) == 0
    path.write_bytes(b"no newline at all")
    assert repair_journal(path) == 17
    assert path.read_bytes() == b""


def test_damage_in_the_middle_is_named(tmp_path: Path) -> None:
    url = journal_url(tmp_path)
    write(url, TRIALS)
    path = tmp_path / "trials.journal"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-2] = lines[-2][:40] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError, match=f"line {len(lines) - 1} is not JSON"):
        read(url)


def test_a_full_disk_keeps_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write stops in the middle of the second of three trials."""
    url = journal_url(tmp_path)
    write(url, [])
    path = tmp_path / "trials.journal"
    before = path.stat().st_size

    real = Path.open

    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 1200

        def write(self, data: memoryview) -> int:
            if self.room == 0:
                raise OSError(28, "No space left on device")
            written = self.file.write(data[: self.room])
            self.room -= written
            return int(written)

        def fileno(self) -> int:
            return int(self.file.fileno())

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

    def opened(self: Path, mode: str = "r", **kwargs: Any) -> Any:
        file = real(self, mode, **kwargs)
        return Full(file) if mode == "ab" else file

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(EnvironmentFault, match="No space left"):
        write(url, TRIALS)
    monkeypatch.undo()
    assert path.stat().st_size > before
    assert path.read_bytes().endswith(b"\n")
    kept = read(url)
    assert kept == TRIALS[: len(kept)]
    assert 0 < len(kept) < 3


def test_journal_is_what_optuna_writes(tmp_path: Path) -> None:
    from optuna.storages.journal import JournalFileBackend

    ours, theirs = Journal(tmp_path / "ours"), JournalFileBackend(str(tmp_path / "theirs"))
    logs = [{"op_code": 4, "text": "é\n"}, {"op_code": 5}]
    for backend in (ours, theirs):
        backend.append_logs(logs)
        assert list(backend.read_logs(0)) == logs
        assert list(backend.read_logs(2)) == []
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert json.loads((tmp_path / "ours").read_text().splitlines()[0]) == logs[0]


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("nonsense", UsageError, "Storage must be journal"),
        ("sqlite:////proc/none/x.db", EnvironmentFault, "Cannot open storage"),
        ("mysql://u:secret@h/db", EnvironmentFault, r"mysql://\*\*\*@h/db"),
        ("journal:////proc/none/x", EnvironmentFault, "Cannot open storage"),
    ],
)
def test_wrong_storage(url: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        write(url, TRIALS)


def test_reading_a_study_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such study"):
        read(journal_url(tmp_path))


def test_urls() -> None:
    assert storage_file("sqlite:////tmp/x.db") == Path("/tmp/x.db")
    assert storage_file("journal:////tmp/x") == Path("/tmp/x")
    assert storage_file("postgresql://h/db") is None
    assert without_password("postgresql://me:p@ss@h/db") == "postgresql://***@h/db"

"""The study folder: settings, phases, sampler state and known costs beside the trials, and the lock on them."""

import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hw_model import codec
from hw_model.errors import DataError, EnvironmentFault, SpecError, UsageError
from hw_model.files import write_json, write_text
from pipelines.search.arrays import JsonObject
from pipelines.search.budget import Budget, Reward
from pipelines.search.config import SearchConfig
from pipelines.search.locate import JOURNAL_SCHEME, storage_file
from pipelines.search.problem import Problem

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of a study under one budget. It starts from all trials of earlier generations."""

    budget: Budget
    reward: Reward
    sampler: str
    trials: int
    first_generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What `study.json` holds."""

    format: int
    folder_id: str
    config: SearchConfig
    space_id: str
    cost_id: str
    quantities: tuple[str, ...]
    phases: tuple[Phase, ...]


class StudyFolder:
    """Paths and files of one study; holds no state but its path."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def manifest_path(self) -> Path:
        """Settings and phases."""
        return self.path / "study.json"

    @property
    def sampler_path(self) -> Path:
        """The sampler's state and the trials it covers."""
        return self.path / "sampler.json"

    @property
    def costs_path(self) -> Path:
        """Costs of candidates that did not become trials."""
        return self.path / "costs.jsonl"

    @property
    def artifacts(self) -> Path:
        """Weights of trained trials, one folder per architecture."""
        return self.path / "artifacts"

    def storage_url(self, config: SearchConfig) -> str:
        """Where the trials are: the configured URL, or a journal in this folder."""
        return config.storage or f"{JOURNAL_SCHEME}{self.path.absolute() / 'trials.journal'}"

    def create(self, config: SearchConfig, problem: Problem) -> Manifest:
        """Writes the settings of a new study.

        Raises:
            UsageError: there already is one, or the budget is of a quantity the problem does not have.
        """
        if self.manifest_path.exists():
            raise UsageError(
                f"{self.path} already holds a study. Continue it (--resume), give it a new budget "
                "(search rebudget), or choose another folder."
            )
        _check_quantity(config.budget, problem.quantities)
        phase = Phase(
            budget=config.budget,
            reward=config.reward,
            sampler=config.chosen_sampler,
            trials=config.trials,
        )
        manifest = Manifest(
            format=FORMAT,
            folder_id=uuid.uuid4().hex,
            config=config,
            space_id=problem.space_id,
            cost_id=problem.cost_id,
            quantities=problem.quantities,
            phases=(phase,),
        )
        self.write_manifest(manifest)
        return manifest

    def manifest(self) -> Manifest:
        """The settings of an existing study.

        Raises:
            UsageError: no study here.
            DataError: its settings are damaged.
        """
        try:
            text = self.manifest_path.read_text(encoding="utf-8")
            manifest = codec.loads(Manifest, text)
        except FileNotFoundError as error:
            raise UsageError(
                f"No study in {self.path}: it has no {self.manifest_path.name}"
            ) from error
        except (SpecError, UnicodeDecodeError) as error:
            raise DataError(f"{self.manifest_path} is damaged: {error}") from error
        if manifest.format != FORMAT:
            raise DataError(
                f"{self.manifest_path} has format {manifest.format}; this version reads {FORMAT}."
            )
        return manifest

    def add_phase(self, manifest: Manifest, phase: Phase) -> Manifest:
        """Appends a phase to the settings."""
        _check_quantity(phase.budget, manifest.quantities)
        grown = replace(manifest, phases=(*manifest.phases, phase))
        self.write_manifest(grown)
        return grown

    def write_manifest(self, manifest: Manifest) -> None:
        """Replaces the settings."""
        write_json(self.manifest_path, codec.to_data(manifest))

    def forget(self) -> None:
        """Removes the settings of a study that has no trials; trial files are never removed."""
        for path in (self.manifest_path, self.costs_path):
            path.unlink(missing_ok=True)

    def write_quality(self, statement: JsonObject) -> None:
        """Replaces what is known about the quality numbers of this study."""
        write_json(self.path / "quality.json", statement)

    def read_quality(self) -> JsonObject | None:
        """What is known about the quality numbers; None before the first run ended."""
        try:
            statement: JsonObject = json.loads((self.path / "quality.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return statement

    def write_sampler(self, state: JsonObject) -> None:
        """Replaces the sampler's state."""
        write_text(self.sampler_path, json.dumps(state))

    def read_sampler(self) -> JsonObject | None:
        """The sampler's state, or None where there is none to use; trials are replayed then."""
        try:
            state = json.loads(self.sampler_path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return state if isinstance(state, dict) else None

    @contextmanager
    def locked(self, config: SearchConfig) -> Iterator[None]:
        """Keeps every other driver out of this folder, and out of its storage where that is a file.

        Raises:
            UsageError: another driver is at work.
        """
        with ExitStack() as stack:
            stack.enter_context(_exclusive(self.path / ".driver.lock", self.path))
            file = storage_file(self.storage_url(config))
            if file is not None:
                file.parent.mkdir(parents=True, exist_ok=True)
                beside = file.with_name(file.name + ".driver.lock")
                stack.enter_context(_exclusive(beside, file))
            yield


def _check_quantity(budget: Budget, quantities: tuple[str, ...]) -> None:
    if budget.quantity not in quantities:
        raise UsageError(
            f"The budget must be on {' or '.join(quantities)}. Received: {budget.quantity}"
        )


@contextmanager
def _exclusive(path: Path, what: Path) -> Iterator[None]:
    """An advisory lock the kernel drops when this process ends, however it ends."""
    import fcntl

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(f"Cannot lock {what}: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise UsageError(
                f"A search is already running on {what} ({holder}); wait for it or end it."
            ) from error
        except OSError as error:
            raise EnvironmentFault(
                f"The file system of {what} has no locks; use a local folder. ({error.strerror})"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield

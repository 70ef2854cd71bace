"""One command's work on a study: its tools, its phases in order, and what is recorded at the end."""

import shutil
import sys
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property

from hw_model.errors import UsageError
from pipelines.search.config import SearchConfig
from pipelines.search.costs import CostBook
from pipelines.search.driver import DivergedError, Driver, Parts
from pipelines.search.executor import Executor, LocalExecutor, ProcessExecutor
from pipelines.search.folder import Manifest, Phase, StudyFolder
from pipelines.search.locate import journal_path
from pipelines.search.problem import Problem
from pipelines.search.quality.base import Evaluator
from pipelines.search.store import TrialStore
from pipelines.search.study import Study, front


class Tools(AbstractContextManager["Tools"]):
    """Problem, evaluator and executor: as given, or as the config says when first needed."""

    def __init__(
        self,
        config: SearchConfig,
        place: StudyFolder,
        problem: Problem | None,
        evaluator: Evaluator | None,
        executor: Executor | None,
        progress: bool,
    ) -> None:
        self._config, self._place = config, place
        self._given_problem, self._given_evaluator = problem, evaluator
        self._own_executor = executor is None
        self.executor = executor or _executor_of(config)
        self.progress = progress

    def __exit__(self, *_: object) -> None:
        """Ends the workers of an executor that was not given."""
        if self._own_executor:
            self.executor.close()

    @cached_property
    def problem(self) -> Problem:
        """Space and cost."""
        if self._given_problem is not None:
            return self._given_problem
        from pipelines.search.wiring import make_problem

        return make_problem(self._config)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Quality."""
        if self._given_evaluator is not None:
            return self._given_evaluator
        from pipelines.search.wiring import make_evaluator

        return make_evaluator(self._config, self._place)


class Session:
    """Work on an open, locked study."""

    def __init__(
        self, place: StudyFolder, manifest: Manifest, store: TrialStore, tools: Tools
    ) -> None:
        _check_same(manifest, tools.problem)
        self._place = place
        self._manifest = manifest
        self._store = store
        self._tools = tools

    def begin_phase(self, phase: Phase) -> None:
        """A phase that starts after every generation that has trials."""
        stored = self._store.trials()
        first = 1 + max((trial.generation for trial in stored), default=-1)
        phase = replace(phase, first_generation=first)
        self._manifest = self._place.add_phase(self._manifest, phase)

    def run(self) -> Study:
        """Runs the last phase to its end and records what is known about its quality numbers."""
        tools = self._tools
        book = CostBook(self._place.costs_path, tools.problem)
        book.load()
        parts = Parts(
            folder=self._place,
            problem=tools.problem,
            evaluator=tools.evaluator,
            executor=tools.executor,
            store=self._store,
            book=book,
            seed=self._manifest.config.seed,
            batch_size=self._manifest.config.batch_size,
            progress=tools.progress,
            after_generation=self._prune_artifacts,
        )
        self._run_phase(parts)
        study = self._study()
        statement = tools.evaluator.statement(study.trials).to_data()
        self._store.set_note("quality", statement)
        self._place.write_quality(statement)
        return study

    def _run_phase(self, parts: Parts) -> None:
        phase = self._manifest.phases[-1]
        driver = Driver(parts, phase, len(self._manifest.phases) - 1, self._store.trials())
        try:
            complete = driver.run()
        except DivergedError as error:
            print(
                f"Replay differs from the stored trials at {error} (another version of the code or of "
                "NumPy?); continuing from the trials as they are.",
                file=sys.stderr,
            )
            self.begin_phase(phase)
            self._run_phase(parts)
            return
        if not complete:
            print(
                f"No more architectures within {phase.budget} found; the study ends with "
                f"{driver.finished} of {phase.trials} trials.",
                file=sys.stderr,
            )

    def _study(self) -> Study:
        return Study(self._place, self._manifest, tuple(self._store.trials()))

    def _prune_artifacts(self) -> None:
        """Keeps trained weights only of trials that are the best for some budget."""
        artifacts = self._place.artifacts
        if not artifacts.is_dir():
            return
        study = self._study()
        beaten = {t.key for t in study.trials} - {t.key for t in front(study)}
        for folder in artifacts.iterdir():
            if folder.name in beaten:
                shutil.rmtree(folder, ignore_errors=True)


def open_store(place: StudyFolder, manifest: Manifest) -> "AbstractContextManager[TrialStore]":
    """The trials, for writing; the caller holds the lock."""
    url = place.storage_url(manifest.config)
    path = journal_path(url)
    if path is not None:
        from pipelines.search.journal import repair_journal

        repair_journal(path)
    return TrialStore.open(
        url,
        manifest.config.name,
        manifest.quantities,
        owner=manifest.folder_id,
        writable=True,
    )


def _check_same(manifest: Manifest, problem: Problem) -> None:
    for what, was, now in (
        ("space", manifest.space_id, problem.space_id),
        ("cost model", manifest.cost_id, problem.cost_id),
        ("quantities", str(manifest.quantities), str(problem.quantities)),
    ):
        if was != now:
            raise UsageError(
                f"The {what} changed since this study began, so its trials do not compare with new "
                f"ones; start a new study. Was: {was}. Received: {now}"
            )


def _executor_of(config: SearchConfig) -> Executor:
    return LocalExecutor() if config.workers == 1 else ProcessExecutor(config.workers)

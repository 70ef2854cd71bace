"""Starting, resuming and re-budgeting a search."""

import os
import shutil
import sys
from dataclasses import replace

from hw_model.errors import EdgeZooError, UsageError
from pipelines.search.budget import Budget, Reward
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


def run_search(
    config: SearchConfig,
    *,
    problem: Problem | None = None,
    evaluator: Evaluator | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Study:
    """Starts a study in `config.folder` and runs it to its number of trials.

    Problem and evaluator are made from the config unless given; what is given must be given again to
    `resume` and `rebudget`.

    Raises:
        UsageError: the folder holds a study already, or nothing meets the budget (names the nearest).
    """
    problem = problem or _problem_of(config)
    folder = StudyFolder(config.folder)
    with folder.locked(config):
        manifest = folder.create(config, problem)
        try:
            return _drive(folder, manifest, problem, evaluator, executor, progress)
        except UsageError:
            _forget_empty_study(folder, manifest)
            raise


def resume(
    folder: str | os.PathLike[str],
    *,
    trials: int | None = None,
    problem: Problem | None = None,
    evaluator: Evaluator | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Study:
    """Continues a study where it ended, to the trials an uninterrupted run would have; `trials` asks for more.

    Raises:
        UsageError: no study there, another driver is at work, or space or cost have changed since.
    """
    place = StudyFolder(folder)
    config = place.manifest().config
    with place.locked(config):
        manifest = place.manifest()
        problem = problem or _problem_of(config)
        last = manifest.phases[-1]
        if trials is not None and trials > last.trials:
            longer = replace(last, trials=trials)
            manifest = _begin_phase(place, manifest, longer)
        return _drive(place, manifest, problem, evaluator, executor, progress)


def rebudget(
    folder: str | os.PathLike[str],
    budget: Budget,
    *,
    trials: int | None = None,
    reward: Reward | None = None,
    sampler: str | None = None,
    problem: Problem | None = None,
    evaluator: Evaluator | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> Study:
    """Goes on with all finished trials and known costs under another budget, for `trials` more (default:
    as many as the study began with).

    Raises:
        UsageError: as `resume`, and when nothing meets the new budget; the study is left as it was.
    """
    place = StudyFolder(folder)
    config = place.manifest().config
    with place.locked(config):
        manifest = place.manifest()
        problem = problem or _problem_of(config)
        last = manifest.phases[-1]
        done = len(_store(place, manifest).trials())
        phase = Phase(
            budget=budget,
            reward=reward or last.reward,
            sampler=sampler or last.sampler,
            trials=done + (config.trials if trials is None else trials),
        )
        grown = _begin_phase(place, manifest, phase)
        try:
            return _drive(place, grown, problem, evaluator, executor, progress)
        except UsageError:
            _forget_empty_phase(place, manifest, grown)
            raise


def _begin_phase(place: StudyFolder, manifest: Manifest, phase: Phase) -> Manifest:
    """A phase that starts after every generation that has trials."""
    stored = _store(place, manifest).trials()
    first = 1 + max((trial.generation for trial in stored), default=-1)
    return place.add_phase(manifest, replace(phase, first_generation=first))


def _forget_empty_study(folder: StudyFolder, manifest: Manifest) -> None:
    """Leaves no study behind that could not even begin, so that the command can be given again."""
    try:
        store = _store(folder, manifest)
    except EdgeZooError:
        folder.manifest_path.unlink(missing_ok=True)
        return
    if not store.trials():
        store.delete()
        folder.delete()


def _forget_empty_phase(place: StudyFolder, before: Manifest, after: Manifest) -> None:
    first = after.phases[-1].first_generation
    if all(trial.generation < first for trial in _store(place, after).trials()):
        place.write_manifest(before)


def _drive(
    folder: StudyFolder,
    manifest: Manifest,
    problem: Problem,
    evaluator: Evaluator | None,
    executor: Executor | None,
    progress: bool,
) -> Study:
    config = manifest.config
    _check_same(manifest, problem)
    evaluator = evaluator or _evaluator_of(config, folder)
    store = _store(folder, manifest)
    book = CostBook(folder.costs_path, problem)
    book.load()
    own_executor = executor is None
    executor = executor or _executor_of(config)
    parts = Parts(
        folder=folder,
        problem=problem,
        evaluator=evaluator,
        executor=executor,
        store=store,
        book=book,
        seed=config.seed,
        batch_size=config.batch_size,
        progress=progress,
        after_generation=lambda: _prune_artifacts(Study(folder, manifest, tuple(store.trials()))),
    )
    try:
        manifest = _run_phases(parts, manifest)
    finally:
        if own_executor:
            executor.close()
    trials = store.trials()
    statement = evaluator.statement(trials)
    store.set_note("quality", statement.to_data())
    folder.write_quality(statement.to_data())
    return Study(folder, manifest, tuple(trials))


def _run_phases(parts: Parts, manifest: Manifest) -> Manifest:
    """Runs the last phase; starts a new one where its replay differs from what is stored."""
    index = len(manifest.phases) - 1
    phase = manifest.phases[index]
    driver = Driver(parts, phase, index, parts.store.trials())
    try:
        complete = driver.run()
    except DivergedError as error:
        print(
            f"Replay differs from the stored trials at {error} (another version of the code or of NumPy?); "
            "continuing from the trials as they are.",
            file=sys.stderr,
        )
        manifest = _begin_phase(parts.folder, manifest, phase)
        return _run_phases(parts, manifest)
    if not complete:
        print(
            f"No more architectures within {phase.budget} found; the study ends with "
            f"{driver.finished} of {phase.trials} trials.",
            file=sys.stderr,
        )
    return manifest


def _prune_artifacts(study: Study) -> None:
    """Keeps trained weights only of trials that are the best for some budget."""
    if not study.folder.artifacts.is_dir():
        return
    kept = {trial.key for trial in front(study)}
    finished = {trial.key for trial in study.trials}
    for folder in study.folder.artifacts.iterdir():
        if folder.name in finished - kept:
            shutil.rmtree(folder, ignore_errors=True)


def _store(folder: StudyFolder, manifest: Manifest) -> TrialStore:
    """The trials, for writing; the caller holds the lock."""
    url = folder.storage_url(manifest.config)
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
                f"The {what} changed since this study began, so its trials do not compare with new ones; "
                f"start a new study. Was: {was}. Received: {now}"
            )


def _executor_of(config: SearchConfig) -> Executor:
    return LocalExecutor() if config.workers == 1 else ProcessExecutor(config.workers)


def _problem_of(config: SearchConfig) -> Problem:
    from pipelines.search.wiring import make_problem

    return make_problem(config)


def _evaluator_of(config: SearchConfig, folder: StudyFolder) -> Evaluator:
    from pipelines.search.wiring import make_evaluator

    return make_evaluator(config, folder)

"""Starting, resuming and re-budgeting a search."""

import os
from dataclasses import replace

from hw_model.errors import UsageError
from pipelines.search.budget import Budget, Reward
from pipelines.search.config import SearchConfig
from pipelines.search.executor import Executor
from pipelines.search.folder import Manifest, Phase, StudyFolder
from pipelines.search.problem import Problem
from pipelines.search.prune_file import read_pruning
from pipelines.search.quality.base import Evaluator
from pipelines.search.session import Session, Tools, open_store
from pipelines.search.study import Study


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
    config = _with_hashes(config)
    place = StudyFolder(config.folder)
    tools = Tools(config, place, problem, evaluator, executor, progress)
    with place.locked(config), tools:
        manifest = place.create(config, tools.problem)
        begun = False
        try:
            with open_store(place, manifest) as store:
                try:
                    return Session(place, manifest, store, tools).run()
                except UsageError:
                    begun = bool(store.trials())
                    if not begun:
                        store.delete()
                    raise
        except UsageError:
            # What could not even begin leaves no study, so that the command can be given again.
            if not begun:
                place.forget()
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
    tools = Tools(config, place, problem, evaluator, executor, progress)
    with place.locked(config), tools:
        manifest = place.manifest()
        with open_store(place, manifest) as store:
            session = Session(place, manifest, store, tools)
            last = manifest.phases[-1]
            if trials is not None and trials > last.trials:
                session.begin_phase(replace(last, trials=trials))
            return session.run()


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
    replace(config, budget=budget)  # refuses a budget this config cannot have
    tools = Tools(config, place, problem, evaluator, executor, progress)
    with place.locked(config), tools:
        before = place.manifest()
        with open_store(place, before) as store:
            session = Session(place, before, store, tools)
            last = before.phases[-1]
            known = len(store.trials())
            session.begin_phase(
                Phase(
                    budget=budget,
                    reward=reward or last.reward,
                    sampler=sampler or last.sampler,
                    trials=known + (config.trials if trials is None else trials),
                )
            )
            try:
                return session.run()
            except UsageError:
                _undo_phase(place, before, grew=len(store.trials()) > known)
                raise


def _with_hashes(config: SearchConfig) -> SearchConfig:
    """The config with what its files hold now, wherever the study is resumed from."""
    quality = config.quality
    if quality.vocabulary or quality.teacher:
        from pipelines.search.quality.files import with_hashes

        config = replace(config, quality=with_hashes(quality))
    if not config.prune or config.prune_sha256:
        return config
    from pipelines.search.spaces import space_entry

    space_entry(config.space).check_prunable()
    path = os.path.abspath(config.prune)
    return replace(config, prune=path, prune_sha256=read_pruning(path)[1])


def _undo_phase(place: StudyFolder, before: Manifest, *, grew: bool) -> None:
    """Takes a phase back that paid for nothing."""
    if not grew:
        place.write_manifest(before)

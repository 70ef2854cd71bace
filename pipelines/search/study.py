"""A study as its users see it: its trials, its Pareto front, and the best architecture for a budget."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hw_model.errors import UsageError
from pipelines.search.budget import Budget
from pipelines.search.folder import Manifest, StudyFolder
from pipelines.search.pareto import dominated
from pipelines.search.store import TrialStore
from pipelines.search.trial import Trial


@dataclass(frozen=True)
class Study:
    """The finished trials of a study folder at one moment."""

    folder: StudyFolder
    manifest: Manifest
    trials: tuple[Trial, ...]

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the cost values."""
        return self.manifest.quantities

    @property
    def budget(self) -> Budget:
        """The latest one."""
        return self.manifest.phases[-1].budget

    @cached_property
    def complete(self) -> tuple[Trial, ...]:
        """Trials that have a quality."""
        return tuple(trial for trial in self.trials if trial.complete)

    def spent(self, trial: Trial, quantity: str) -> float:
        """What a trial costs in one quantity.

        Raises:
            UsageError: the study has no such quantity.
        """
        if quantity not in self.quantities:
            known = ", ".join(self.quantities)
            raise UsageError(f"This study has the quantities {known}. Received: {quantity!r}")
        return trial.cost.values[self.quantities.index(quantity)]


def open_study(folder: str | os.PathLike[str]) -> Study:
    """Reads a study, also while its search is running."""
    place = StudyFolder(folder)
    manifest = place.manifest()
    with TrialStore.open(
        place.storage_url(manifest.config),
        manifest.config.name,
        manifest.quantities,
        owner=manifest.folder_id,
        writable=False,
    ) as store:
        return Study(place, manifest, tuple(store.trials()))


def front(
    study: Study, *, quantities: Sequence[str] | None = None, budget: Budget | None = None
) -> list[Trial]:
    """Trials no other beats in quality and in all of `quantities` (default: every one), by rising cost."""
    names = study.quantities if quantities is None else tuple(quantities)
    trials = [
        trial
        for trial in study.complete
        if budget is None or study.spent(trial, budget.quantity) <= budget.limit
    ]
    if not trials:
        return []
    objectives = np.asarray(
        [[-(t.quality or 0.0), *(study.spent(t, name) for name in names)] for t in trials]
    )
    kept = [trials[i] for i in np.flatnonzero(~dominated(objectives)).tolist()]
    return sorted(kept, key=lambda t: (study.spent(t, names[0]), -(t.quality or 0.0), t.key))


def best(study: Study, budget: Budget | None = None) -> Trial:
    """The trial with the highest quality within a budget (default: the study's); the cheaper of equals.

    Raises:
        UsageError: no trial meets it; names the nearest.
    """
    budget = study.budget if budget is None else budget
    if not study.complete:
        failed = next((trial.failure for trial in study.trials if trial.failure), None)
        hint = f"; the first failure: {failed}" if failed else ""
        raise UsageError(f"The study in {study.folder.path} has no complete trial{hint}")
    inside = [t for t in study.complete if study.spent(t, budget.quantity) <= budget.limit]
    if not inside:
        nearest = min(study.spent(t, budget.quantity) for t in study.complete)
        raise UsageError(
            f"No trial of this study is within {budget}; the nearest takes {budget.show(nearest)}. "
            "Raise the budget, or search for it (search rebudget)."
        )
    return min(inside, key=lambda t: (-(t.quality or 0.0), study.spent(t, budget.quantity), t.key))

"""The search loop: ask, drop duplicates, cost first, pay for quality, store whole, tell, remember where it was."""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from pipelines.search.arrays import IntArray, JsonObject
from pipelines.search.costs import CostBook
from pipelines.search.executor import Executor
from pipelines.search.folder import Phase, StudyFolder
from pipelines.search.gate import Gate, budget_first
from pipelines.search.problem import Candidate, Problem
from pipelines.search.quality.base import Evaluator, Failure, Outcome, Quality
from pipelines.search.samplers import Sampler, make_sampler
from pipelines.search.store import TrialStore
from pipelines.search.trial import Trial, trial_seed

#: Trials that took longer are stored at once; quicker ones wait for company, since they cost little to repeat.
_STORE_AT_ONCE_S = 0.1
_STORE_EVERY_S = 0.5
_SAVE_SAMPLER_EVERY_S = 2.0


class DivergedError(Exception):
    """The stored trials of a generation are not the ones this code proposes for it."""


def _nothing() -> None:
    pass


@dataclass(slots=True, kw_only=True)
class Parts:
    """What a driver works with; all of it made by the caller."""

    folder: StudyFolder
    problem: Problem
    evaluator: Evaluator
    executor: Executor
    store: TrialStore
    book: CostBook
    seed: int
    batch_size: int
    progress: bool
    after_generation: Callable[[], None] = _nothing


class Driver:
    """Runs one phase of a study to its number of trials. Everything it does follows from the seed, the
    phase and the trials stored before, so a killed run goes on as if nothing had happened."""

    def __init__(
        self, parts: Parts, phase: Phase, phase_index: int, trials: Sequence[Trial]
    ) -> None:
        """`trials` are all stored ones, of this phase and of earlier ones."""
        self._parts = parts
        self._phase = phase
        self._phase_index = phase_index
        self._column = parts.problem.quantities.index(phase.budget.quantity)
        earlier = [trial for trial in trials if trial.generation < phase.first_generation]
        # By generation, then by architecture; replayed generations leave.
        self._stored: dict[int, dict[str, Trial]] = {}
        for trial in trials:
            parts.book.put(trial.key, trial.cost)
            if trial.generation >= phase.first_generation:
                self._stored.setdefault(trial.generation, {})[trial.key] = trial
        self._generation = phase.first_generation
        self._told_keys: list[str] = []
        self._best: float | None = None
        self._digest = hashlib.sha256()
        self._paid: dict[str, IntArray] = {}
        self.gate = Gate(parts.problem, parts.book, phase.budget, phase.reward, self._paid)
        self._sampler = self._new_sampler()
        self._begin(earlier)
        self._restore()
        self._last_stored = self._last_saved = time.monotonic()

    @property
    def finished(self) -> int:
        """Trials of the study that were told, failed ones included."""
        return len(self._told_keys)

    def run(self) -> bool:
        """Goes on until the phase has its trials; False if no more affordable architectures are left.

        Raises:
            UsageError: nothing within the budget can be found.
            DivergedError: replay does not reproduce the stored trials.
        """
        target = self._phase.trials
        bar = tqdm(
            total=target,
            initial=min(self.finished, target),
            desc="search",
            unit="trial",
            disable=None if self._parts.progress else True,
        )
        exhausted = False
        with bar:
            while self.finished < target and not exhausted:
                told = self._generation_of(min(self._parts.batch_size, target - self.finished), bar)
                exhausted = told == 0
        self._save_sampler()
        return not exhausted

    def _new_sampler(self) -> Sampler:
        return make_sampler(
            self._phase.sampler,
            self._parts.problem.cardinalities,
            seed=(self._parts.seed, self._phase_index),
            trials=self._phase.trials,
        )

    def _begin(self, earlier: list[Trial]) -> None:
        """Tells the sampler what earlier phases found: the best within the new budget last, as the youngest."""

        def place(trial: Trial) -> tuple[bool, bool, float, float]:
            spent = trial.cost.values[self._column]
            inside = spent <= self._phase.budget.limit
            quality = trial.quality if trial.quality is not None else 0.0
            return (trial.complete, inside, quality if inside else -spent, -spent)

        self._tell(sorted(earlier, key=place))

    def _restore(self) -> None:
        """Jumps to the saved sampler state, if it belongs to a prefix of the stored trials."""
        saved = self._parts.folder.read_sampler()
        if saved is None or saved.get("phase") != self._phase_index:
            return
        replayed: list[Trial] = []
        for generation in range(self._phase.first_generation, int(saved["generation"])):
            rows = self._stored.get(generation, {}).values()
            replayed += sorted(rows, key=_position)
        digest = self._digest.copy()
        for trial in replayed:
            digest.update(trial.key.encode())
        if saved.get("digest") != digest.hexdigest():
            return
        try:
            sampler = self._new_sampler()
            sampler.load_state(saved["sampler"])
        except (KeyError, ValueError, TypeError):
            return
        self._note(replayed)
        self._sampler = sampler
        self._generation = int(saved["generation"])

    def _generation_of(self, wanted: int, bar: Any) -> int:
        """One generation, replayed from the store as far as it is there; returns how many trials it has."""
        parts = self._parts
        stored = self._stored.pop(self._generation, {})
        rng = np.random.default_rng([parts.seed, self._phase_index, self._generation, 1])
        candidates = self.gate.fill(self._sampler, wanted, rng, self._keys_of)
        if not stored.keys() <= {candidate.key for candidate in candidates}:
            raise DivergedError(f"generation {self._generation}")
        parts.book.write({candidate.key for candidate in candidates})
        positions = {candidate.key: index for index, candidate in enumerate(candidates)}
        bar.update(len(stored))
        missing = [candidate for candidate in candidates if candidate.key not in stored]
        trials = list(stored.values()) + self._pay(missing, positions, bar)
        self._tell(sorted(trials, key=_position))
        self._generation += 1
        self._show(bar)
        if missing:
            parts.after_generation()
        if time.monotonic() - self._last_saved > _SAVE_SAMPLER_EVERY_S:
            self._save_sampler()
        return len(candidates)

    def _show(self, bar: Any) -> None:
        count = self.gate.count
        best = "-" if self._best is None else f"{self._best:.4g}"
        bar.set_postfix_str(
            f"best {best}; of {count.asked} proposals {count.over_budget} over budget, "
            f"{count.duplicates} known, {count.illegal} illegal",
            refresh=False,
        )

    def _pay(self, candidates: list[Candidate], positions: dict[str, int], bar: Any) -> list[Trial]:
        """Quality of each candidate; stored as it comes, also when this is interrupted."""
        parts = self._parts
        trials: list[Trial] = []
        waiting: list[Trial] = []
        try:
            for outcomes in parts.executor.run(parts.evaluator, candidates, parts.seed):
                for index, outcome in outcomes:
                    candidate = candidates[index]
                    waiting.append(self._trial(candidate, outcome, positions[candidate.key]))
                slow = any(trial.seconds > _STORE_AT_ONCE_S for trial in waiting)
                if slow or time.monotonic() - self._last_stored > _STORE_EVERY_S:
                    trials += self._store(waiting, bar)
        finally:
            trials += self._store(waiting, bar)
        return trials

    def _store(self, waiting: list[Trial], bar: Any) -> list[Trial]:
        stored = list(waiting)
        waiting.clear()
        if stored:
            self._parts.store.add(stored)
            self._last_stored = time.monotonic()
            bar.update(len(stored))
        return stored

    def _trial(self, candidate: Candidate, outcome: Outcome, position: int) -> Trial:
        quality = outcome if isinstance(outcome, Quality) else None
        return Trial(
            genotype=candidate.genotype,
            key=candidate.key,
            cost=candidate.cost,
            quality=None if quality is None else quality.value,
            failure=outcome.reason if isinstance(outcome, Failure) else None,
            seconds=outcome.seconds,
            quality_kind=self._parts.evaluator.kind,
            quality_detail={} if quality is None else quality.detail,
            seed=trial_seed(self._parts.seed, candidate.key),
            phase=self._phase_index,
            generation=self._generation,
            position=position,
            parents=candidate.parents,
            spec=self._parts.problem.describe(candidate.genotype),
        )

    def _tell(self, trials: list[Trial]) -> None:
        """Hands finished trials to the sampler and remembers them as paid."""
        if not trials:
            return
        self._note(trials)
        genotypes = np.asarray([trial.genotype for trial in trials], dtype=np.int64)
        cost = np.asarray([trial.cost.values for trial in trials], dtype=np.float64)
        quality = np.asarray(
            [np.nan if trial.quality is None else trial.quality for trial in trials]
        )
        spent = cost[:, self._column]
        reward = self._phase.reward.value(quality, spent, self._phase.budget)
        feasible = self._phase.reward.affordable(spent, self._phase.budget)
        self._sampler.tell(genotypes, reward, budget_first(cost, self._column), feasible)

    def _note(self, trials: list[Trial]) -> None:
        for trial in trials:
            genotype = np.asarray(trial.genotype, dtype=np.int64)
            self._told_keys.append(trial.key)
            self._paid[trial.key] = genotype
            self._digest.update(trial.key.encode())
            if trial.cost.values[self._column] <= self._phase.budget.limit:
                self.gate.affordable_paid.append(genotype)
                if trial.quality is not None:
                    self._best = max(trial.quality, self._best or trial.quality)

    def _keys_of(self, parents: IntArray) -> tuple[str, ...]:
        return tuple(self._told_keys[index] for index in parents.tolist() if index >= 0)

    def _save_sampler(self) -> None:
        """Written after the trials it covers; if it is lost or older, the rest is replayed."""
        self._parts.folder.write_sampler(self._state())
        self._last_saved = time.monotonic()

    def _state(self) -> JsonObject:
        return {
            "phase": self._phase_index,
            "generation": self._generation,
            "trials": self.finished,
            "digest": self._digest.hexdigest(),
            "sampler": self._sampler.state_dict(),
        }


def _position(trial: Trial) -> int:
    return trial.position

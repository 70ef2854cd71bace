"""Candidates worth paying for: never seen before, legal, and within the budget by the cost report."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from hw_model.errors import UsageError
from pipelines.search.arrays import FloatArray, IntArray
from pipelines.search.budget import Budget, Reward
from pipelines.search.costs import CostBook
from pipelines.search.problem import Candidate, Cost, Problem, Refusal
from pipelines.search.samplers import Sampler
from pipelines.search.samplers.variation import mutate

#: Proposals one wanted candidate may take before the gate looks for affordable ones itself.
ASKS_PER_CANDIDATE = 200
#: Proposals one more candidate to choose from may take.
ASKS_PER_SPARE = 10
#: Proposals without a single affordable one after which it walks down the cost first.
ASKS_BEFORE_DESCENT = 256
_LARGEST_ASK = 256


@dataclass(slots=True, kw_only=True)
class GateCount:
    """What became of the proposals of one run."""

    asked: int = 0
    duplicates: int = 0
    over_budget: int = 0
    illegal: int = 0


@dataclass(slots=True)
class _Fill:
    """One call of `Gate.fill`: what it has so far. Order is that of the proposals, so it can be replayed."""

    wanted: int
    found: dict[str, Candidate] = field(default_factory=dict)
    cheapest: tuple[float, tuple[int, ...]] | None = None
    refusal: str = ""
    asked: int = 0


class Gate:
    """Stands between sampler and quality; everything it lets through meets the budget and is new."""

    def __init__(
        self,
        problem: Problem,
        book: CostBook,
        budget: Budget,
        reward: Reward,
        paid: dict[str, IntArray],
    ) -> None:
        """`paid` are the architectures that have, or are getting, a trial: key to genotype; shared with the driver."""
        self._problem = problem
        self._book = book
        self._budget = budget
        self._reward = reward
        self._column = problem.quantities.index(budget.quantity)
        self._paid = paid
        self.affordable_paid: list[IntArray] = []
        self.count = GateCount()

    def fill(
        self,
        sampler: Sampler,
        wanted: int,
        rng: np.random.Generator,
        parent_keys: Callable[[IntArray], tuple[str, ...]],
    ) -> list[Candidate]:
        """Up to `wanted` candidates; fewer only when no more can be found.

        `rng` serves the gate's own search for affordable candidates, not the sampler.

        Raises:
            UsageError: nothing within the budget exists or can be found; names the nearest cost.
        """
        pool = wanted * sampler.pool
        fill = _Fill(wanted=pool)
        self._ask(sampler, fill, wanted, parent_keys)
        if len(fill.found) < wanted:
            if not fill.found and not self.affordable_paid:
                self._descend(fill, rng)
            self._wander(fill, wanted, rng)
        if not fill.found and not self.affordable_paid:
            raise self._unreachable(fill)
        candidates = list(fill.found.values())
        if len(candidates) <= wanted:
            return candidates
        genotypes = np.asarray([c.genotype for c in candidates], dtype=np.int64)
        costs = np.asarray([c.cost.values for c in candidates], dtype=np.float64)
        chosen = sampler.choose(genotypes, budget_first(costs, self._column), wanted)
        return [candidates[i] for i in chosen.tolist()]

    def _ask(
        self,
        sampler: Sampler,
        fill: _Fill,
        needed: int,
        parent_keys: Callable[[IntArray], tuple[str, ...]],
    ) -> None:
        ask = fill.wanted
        while len(fill.found) < fill.wanted and fill.asked < self._patience(fill, needed):
            before = len(fill.found)
            genotypes = sampler.ask(ask)
            self._sift(fill, genotypes, partial(_parents, parent_keys, sampler.parents))
            hopeless = not fill.found and not self.affordable_paid
            if hopeless and fill.asked >= ASKS_BEFORE_DESCENT:
                return
            # Ask for what is missing at the rate just seen, so that rare hits take few rounds.
            hits = max(len(fill.found) - before, 1)
            missing = fill.wanted - len(fill.found)
            ask = min(_LARGEST_ASK, max(missing, missing * len(genotypes) // hits))

    @staticmethod
    def _patience(fill: _Fill, needed: int) -> int:
        """How many proposals to make: many for the candidates needed, few more for a wider choice."""
        return (ASKS_PER_CANDIDATE if len(fill.found) < needed else ASKS_PER_SPARE) * fill.wanted

    def _sift(
        self,
        fill: _Fill,
        genotypes: IntArray,
        parents_of: Callable[[int], tuple[str, ...]] | None = None,
    ) -> FloatArray:
        """Takes the good ones of some proposals; returns what each spends (infinite if illegal)."""
        keys = self._problem.keys(genotypes)
        rows = [tuple(row) for row in genotypes.tolist()]
        costs = self._book.of(keys, rows)
        spent = np.full(len(rows), np.inf)
        for index, cost in enumerate(costs):
            if isinstance(cost, Cost):
                spent[index] = cost.values[self._column]
        affordable = self._reward.affordable(spent, self._budget).tolist()
        fill.asked += len(rows)
        self.count.asked += len(rows)
        for index, (key, row, cost) in enumerate(zip(keys, rows, costs, strict=True)):
            if isinstance(cost, Refusal):
                self.count.illegal += 1
                fill.refusal = fill.refusal or cost.reason
                continue
            if fill.cheapest is None or spent[index] < fill.cheapest[0]:
                fill.cheapest = (float(spent[index]), row)
            if key in self._paid or key in fill.found:
                self.count.duplicates += 1
            elif not affordable[index]:
                self.count.over_budget += 1
            elif len(fill.found) < fill.wanted:
                fill.found[key] = Candidate(
                    genotype=row,
                    key=key,
                    cost=cost,
                    parents=parents_of(index) if parents_of else (),
                )
        return spent

    def _descend(self, fill: _Fill, rng: np.random.Generator) -> None:
        """Walks from the cheapest proposal to cheaper neighbours, one gene at a time, until enough meet
        the budget or no single change saves anything."""
        if fill.cheapest is None:
            return
        spent, row = fill.cheapest
        current = np.asarray(row, dtype=np.int64)
        improved = True
        while improved and len(fill.found) < fill.wanted:
            improved = False
            for gene in rng.permutation(len(current)).tolist():
                values = np.arange(self._problem.cardinalities[gene])
                values = values[values != current[gene]]
                if len(values) == 0:
                    continue
                neighbours = np.repeat(current[None, :], len(values), axis=0)
                neighbours[:, gene] = values
                neighbours_spend = self._sift(fill, neighbours)
                best = int(neighbours_spend.argmin())
                if neighbours_spend[best] < spent:
                    spent, current, improved = float(neighbours_spend[best]), neighbours[best], True
                if len(fill.found) >= fill.wanted:
                    return

    def _wander(self, fill: _Fill, needed: int, rng: np.random.Generator) -> None:
        """Looks around known affordable architectures for what the sampler did not find."""
        start, limit = fill.asked, ASKS_PER_CANDIDATE * needed
        while len(fill.found) < needed and fill.asked - start < limit:
            known = [np.asarray(c.genotype, dtype=np.int64) for c in fill.found.values()]
            known += self.affordable_paid
            if not known:
                return
            parents = np.stack([known[i] for i in rng.integers(0, len(known), size=64)])
            # From one changed gene to several as the near ones run out.
            extra_genes = 4.0 * (fill.asked - start) / limit
            children = mutate(rng, parents, self._problem.cardinalities, extra_genes)
            self._sift(fill, children)

    def _unreachable(self, fill: _Fill) -> UsageError:
        if fill.cheapest is None:
            return UsageError(f"No proposal is a legal network; the first one: {fill.refusal}")
        nearest = self._budget.show(fill.cheapest[0])
        return UsageError(
            f"No architecture of this space was found within {self._budget}; the cheapest of "
            f"{fill.asked} takes {nearest}. Raise the budget to at least that."
        )


def _parents(
    keys_of: Callable[[IntArray], tuple[str, ...]], parents: IntArray, row: int
) -> tuple[str, ...]:
    return keys_of(parents[row])


def budget_first(costs: FloatArray, column: int) -> FloatArray:
    """Costs as samplers take them, (N, quantities) with the budgeted one in front."""
    others = [i for i in range(costs.shape[1]) if i != column]
    return costs[:, [column, *others]]

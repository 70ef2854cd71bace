"""A multi-objective sampler: keeps a spread of trade-offs between quality and every cost quantity."""

from collections.abc import Sequence

import numpy as np

from pipelines.search.arrays import BoolArray, FloatArray, IntArray, JsonObject
from pipelines.search.pareto import crowding, ranks_of
from pipelines.search.samplers.base import Sampler, int_array
from pipelines.search.samplers.variation import crossover, mutate, tournament


class Nsga2(Sampler):
    """Survivors by front, then by crowding; children by tournament, uniform crossover and mutation.

    Source: Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", 2002.
    """

    name = "nsga2"
    extra_genes = 0.3
    crossover_chance = 0.9

    def __init__(self, cardinalities: IntArray, seed: int | Sequence[int], trials: int) -> None:
        super().__init__(cardinalities, seed, trials)
        self.population = min(64, max(16, trials // 6))
        self._genotypes: IntArray = int_array([], len(self.cardinalities))
        self._objectives: FloatArray | None = None
        self._feasible: BoolArray = np.empty(0, dtype=np.bool_)
        self._ids: IntArray = np.empty(0, dtype=np.int64)

    def ask(self, count: int) -> IntArray:
        """Random rows until the population is full, then children of tournament winners."""
        if self._objectives is None or len(self._ids) < self.population:
            return self._random(count)
        places = np.arange(len(self._ids))  # survivors are kept best first
        left = tournament(self._rng, places, 2, count)
        right = tournament(self._rng, places, 2, count)
        crossed = self._rng.random(count) < self.crossover_chance
        right = np.where(crossed, right, left)
        children = crossover(self._rng, self._genotypes[left], self._genotypes[right])
        ids = np.stack((self._ids[left], self._ids[right]), axis=1)
        ids[ids[:, 0] == ids[:, 1], 1] = -1
        self.parents = ids
        return mutate(self._rng, children, self.cardinalities, self.extra_genes)

    def tell(
        self, genotypes: IntArray, quality: FloatArray, cost: FloatArray, feasible: BoolArray
    ) -> None:
        """Merges the results and lets the best `population` of old and new survive."""
        ids = self.told + np.arange(len(genotypes))
        self.told += len(genotypes)
        usable = np.isfinite(quality) & np.isfinite(cost).all(axis=1)
        objectives = np.column_stack((-quality, cost))[usable]
        if self._objectives is not None:
            objectives = np.vstack((self._objectives, objectives))
        genotypes = np.vstack((self._genotypes, genotypes[usable]))
        feasible = np.concatenate((self._feasible, feasible[usable]))
        ids = np.concatenate((self._ids, ids[usable]))
        kept = survivors(objectives, feasible, self.population)
        self._genotypes, self._objectives = genotypes[kept], objectives[kept]
        self._feasible, self._ids = feasible[kept], ids[kept]

    def _state(self) -> JsonObject:
        return {
            "genotypes": self._genotypes.tolist(),
            "objectives": None if self._objectives is None else self._objectives.tolist(),
            "feasible": self._feasible.tolist(),
            "ids": self._ids.tolist(),
        }

    def _load(self, state: JsonObject) -> None:
        saved = state["objectives"]
        self._genotypes = int_array(state["genotypes"], len(self.cardinalities))
        self._objectives = None if saved is None else np.asarray(saved, dtype=np.float64)
        self._feasible = np.asarray(state["feasible"], dtype=np.bool_)
        self._ids = np.asarray(state["ids"], dtype=np.int64)


def survivors(objectives: FloatArray, feasible: BoolArray, count: int) -> IntArray:
    """Rows to keep, best first: whoever met the budget before whoever did not (those by their first cost),
    then by front, then the loneliest of a front."""
    ranks = np.zeros(len(objectives), dtype=np.int64)
    alone = np.zeros(len(objectives))
    inside = np.flatnonzero(feasible)
    ranks[inside] = ranks_of(objectives[inside])
    alone[inside] = crowding(objectives[inside], ranks[inside])
    excess = np.where(feasible, 0.0, objectives[:, 1])
    order: IntArray = np.lexsort((-alone, ranks, excess, ~feasible))[:count]
    return order

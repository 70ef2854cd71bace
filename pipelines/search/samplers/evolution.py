"""Regularized (aging) evolution, plain and with a learned screen in front of the paid evaluation."""

from collections.abc import Sequence

import numpy as np

from pipelines.search.arrays import BoolArray, FloatArray, IntArray, JsonObject
from pipelines.search.ridge import GenotypeModel
from pipelines.search.samplers.base import Sampler, int_array
from pipelines.search.samplers.variation import mutate, tournament


class RegularizedEvolution(Sampler):
    """Mutates the winner of a tournament among the latest results; the oldest leave, good or bad.

    Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.
    """

    name = "evolution"
    tournament_rounds = 5
    extra_genes = 0.3

    def __init__(self, cardinalities: IntArray, seed: int | Sequence[int], trials: int) -> None:
        super().__init__(cardinalities, seed, trials)
        self.population = min(64, max(16, trials // 6))
        self._genotypes: IntArray = int_array([], len(self.cardinalities))
        self._quality: FloatArray = np.empty(0)
        self._excess: FloatArray = np.empty(0)
        self._ids: IntArray = np.empty(0, dtype=np.int64)

    def ask(self, count: int) -> IntArray:
        """Random rows until the population is full, then mutated tournament winners."""
        if len(self._ids) < self.population:
            return self._random(count)
        # Those that met the budget first and by quality; the others by how little they cost.
        order = np.lexsort((-self._quality, self._excess))
        places = np.empty(len(order), dtype=np.int64)
        places[order] = np.arange(len(order))
        winners = tournament(self._rng, places, self.tournament_rounds, count)
        self.parents = np.stack((self._ids[winners], np.full(count, -1)), axis=1)
        return mutate(self._rng, self._genotypes[winners], self.cardinalities, self.extra_genes)

    def tell(
        self, genotypes: IntArray, quality: FloatArray, cost: FloatArray, feasible: BoolArray
    ) -> None:
        """The newest results enter, the oldest leave; failed trials never enter."""
        ids = self.told + np.arange(len(genotypes))
        self.told += len(genotypes)
        usable = np.isfinite(quality)
        excess = np.where(feasible, 0.0, cost[:, 0])
        self._genotypes = np.vstack((self._genotypes, genotypes[usable]))[-self.population :]
        self._quality = np.concatenate((self._quality, quality[usable]))[-self.population :]
        self._excess = np.concatenate((self._excess, excess[usable]))[-self.population :]
        self._ids = np.concatenate((self._ids, ids[usable]))[-self.population :]

    def _state(self) -> JsonObject:
        return {
            "genotypes": self._genotypes.tolist(),
            "quality": self._quality.tolist(),
            "excess": self._excess.tolist(),
            "ids": self._ids.tolist(),
        }

    def _load(self, state: JsonObject) -> None:
        self._genotypes = int_array(state["genotypes"], len(self.cardinalities))
        self._quality = np.asarray(state["quality"], dtype=np.float64)
        self._excess = np.asarray(state["excess"], dtype=np.float64)
        self._ids = np.asarray(state["ids"], dtype=np.int64)


class ScreenedEvolution(RegularizedEvolution):
    """Aging evolution that makes more affordable children than it pays for and keeps those a ridge
    regression over the finished trials ranks best. Worth it when quality costs far more than a report."""

    name = "screened_evolution"
    children_per_trial = 8
    first_fit = 16
    window = 256

    def __init__(self, cardinalities: IntArray, seed: int | Sequence[int], trials: int) -> None:
        super().__init__(cardinalities, seed, trials)
        self._seen_genotypes: IntArray = int_array([], len(self.cardinalities))
        self._seen_cost: FloatArray | None = None
        self._seen_quality: FloatArray = np.empty(0)
        self._screen: GenotypeModel | None = None
        self._fitted_at = 0

    @property
    def pool(self) -> int:
        """One until there is a screen."""
        return self.children_per_trial if self._screen is not None else 1

    def choose(self, genotypes: IntArray, cost: FloatArray, count: int) -> IntArray:
        """The candidates with the highest predicted quality, in the order they came."""
        if self._screen is None or len(genotypes) <= count:
            return super().choose(genotypes, cost, count)
        predicted = self._screen.predict(genotypes, cost)
        best = np.argsort(-predicted, kind="stable")[:count]
        return np.sort(best).astype(np.int64)

    def tell(
        self, genotypes: IntArray, quality: FloatArray, cost: FloatArray, feasible: BoolArray
    ) -> None:
        """Also refits the screen, each time a tenth more results are known."""
        super().tell(genotypes, quality, cost, feasible)
        usable = np.isfinite(quality) & np.isfinite(cost).all(axis=1)
        known = cost[:0] if self._seen_cost is None else self._seen_cost
        self._seen_cost = np.vstack((known, cost[usable]))[-self.window :]
        self._seen_genotypes = np.vstack((self._seen_genotypes, genotypes[usable]))[-self.window :]
        self._seen_quality = np.concatenate((self._seen_quality, quality[usable]))[-self.window :]
        enough = len(self._seen_quality) >= self.first_fit
        if enough and self.told >= self._fitted_at * 1.1:
            self._screen = GenotypeModel.fit(
                self._seen_genotypes, self._seen_cost, self._seen_quality, self.cardinalities
            )
            self._fitted_at = self.told

    def _state(self) -> JsonObject:
        return {
            **super()._state(),
            "seen_genotypes": self._seen_genotypes.tolist(),
            "seen_cost": None if self._seen_cost is None else self._seen_cost.tolist(),
            "seen_quality": self._seen_quality.tolist(),
            "screen": None if self._screen is None else self._screen.to_data(),
            "fitted_at": self._fitted_at,
        }

    def _load(self, state: JsonObject) -> None:
        super()._load(state)
        seen, screen = state["seen_cost"], state["screen"]
        self._seen_genotypes = int_array(state["seen_genotypes"], len(self.cardinalities))
        self._seen_cost = None if seen is None else np.asarray(seen, dtype=np.float64)
        self._seen_quality = np.asarray(state["seen_quality"], dtype=np.float64)
        self._screen = (
            None if screen is None else GenotypeModel.from_data(screen, self.cardinalities)
        )
        self._fitted_at = int(state["fitted_at"])

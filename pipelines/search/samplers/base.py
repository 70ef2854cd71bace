"""What every sampler offers: ask for genotypes, tell their results, and a state that can be put away."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from pipelines.search.arrays import BoolArray, FloatArray, IntArray, JsonObject


class Sampler(ABC):
    """Proposes integer vectors; gene g takes a value in 0 .. cardinalities[g]-1.

    What `ask` returns depends only on the seed and on what was asked and told before, so a study that
    replays its trials gets the same proposals again.
    """

    name: ClassVar[str]

    def __init__(self, cardinalities: IntArray, seed: int | Sequence[int], trials: int) -> None:
        """`trials` is the number of results the search will pay for; it sizes populations."""
        self.cardinalities = np.asarray(cardinalities, dtype=np.int64)
        self.trials = trials
        self.told = 0
        self.parents: IntArray = np.empty((0, 2), dtype=np.int64)
        self._rng = np.random.default_rng(np.random.SeedSequence(seed))

    @abstractmethod
    def ask(self, count: int) -> IntArray:
        """(count, genes) proposals; `parents` then holds (count, 2) indices of told results, -1 for none."""

    @abstractmethod
    def tell(
        self, genotypes: IntArray, quality: FloatArray, cost: FloatArray, feasible: BoolArray
    ) -> None:
        """Takes (N, genes), (N,) with NaN where the trial failed, (N, quantities), and who met the budget."""

    @property
    def pool(self) -> int:
        """How many affordable candidates `choose` wants to see for each one it returns."""
        return 1

    def choose(self, genotypes: IntArray, cost: FloatArray, count: int) -> IntArray:
        """Indices of the `count` candidates worth paying for; all of them met the budget."""
        return np.arange(min(count, len(genotypes)), dtype=np.int64)

    def state_dict(self) -> JsonObject:
        """Everything needed to go on exactly here, JSON-ready, the generator included."""
        return {
            "name": self.name,
            "told": self.told,
            "generator": self._rng.bit_generator.state,
            **self._state(),
        }

    def load_state(self, state: JsonObject) -> None:
        """Returns to the moment `state_dict` was called."""
        if state.get("name") != self.name:
            raise ValueError(f"state of sampler {state.get('name')!r} given to {self.name!r}")
        self.told = int(state["told"])
        self._rng.bit_generator.state = state["generator"]
        self._load(state)

    def _state(self) -> JsonObject:
        return {}

    def _load(self, state: JsonObject) -> None:  # noqa: B027  a sampler may have nothing to read
        """Reads what `_state` wrote."""

    def _random(self, count: int) -> IntArray:
        genes = len(self.cardinalities)
        self.parents = np.full((count, 2), -1, dtype=np.int64)
        return self._rng.integers(0, self.cardinalities, size=(count, genes), dtype=np.int64)


def int_array(values: Any, columns: int) -> IntArray:
    """A list of rows as (N, columns), also when it is empty."""
    return np.asarray(values, dtype=np.int64).reshape(-1, columns)

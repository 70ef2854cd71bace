"""Uniform random proposals: the baseline every other sampler is shown beside."""

from pipelines.search.arrays import BoolArray, FloatArray, IntArray
from pipelines.search.samplers.base import Sampler


class RandomSampler(Sampler):
    """Every gene uniform and independent; learns nothing."""

    name = "random"

    def ask(self, count: int) -> IntArray:
        """Uniform rows."""
        return self._random(count)

    def tell(
        self, genotypes: IntArray, quality: FloatArray, cost: FloatArray, feasible: BoolArray
    ) -> None:
        """Counts the results."""
        self.told += len(genotypes)

"""Samplers by name. They see integer vectors, quality and cost, and nothing of models or hardware."""

from collections.abc import Sequence

from hw_model.errors import UnknownNameError
from pipelines.search.arrays import IntArray
from pipelines.search.samplers.base import Sampler
from pipelines.search.samplers.evolution import RegularizedEvolution, ScreenedEvolution
from pipelines.search.samplers.nsga2 import Nsga2
from pipelines.search.samplers.random import RandomSampler

SAMPLERS: dict[str, type[Sampler]] = {
    kind.name: kind for kind in (RandomSampler, RegularizedEvolution, ScreenedEvolution, Nsga2)
}

__all__ = ["SAMPLERS", "Sampler", "make_sampler"]


def make_sampler(
    name: str, cardinalities: IntArray, *, seed: int | Sequence[int], trials: int
) -> Sampler:
    """The sampler called `name`.

    Raises:
        UnknownNameError: no such sampler.
    """
    if name not in SAMPLERS:
        raise UnknownNameError("sampler", name, SAMPLERS)
    return SAMPLERS[name](cardinalities, seed, trials)

"""How children differ from parents: vectorised mutation, crossover and tournaments."""

import numpy as np

from pipelines.search.arrays import IntArray


def mutate(
    rng: np.random.Generator, parents: IntArray, cardinalities: IntArray, extra_genes: float
) -> IntArray:
    """Changes one gene of every row to another value, and each other gene with a chance that adds up to
    `extra_genes`; a gene with a single value is left alone."""
    free = np.flatnonzero(cardinalities > 1)
    if len(free) == 0:
        return parents.copy()
    count = len(parents)
    change = rng.random((count, len(free))) < extra_genes / len(free)
    change[np.arange(count), rng.integers(0, len(free), size=count)] = True
    steps = rng.integers(1, cardinalities[free], size=change.shape)
    children = parents.copy()
    children[:, free] = (parents[:, free] + np.where(change, steps, 0)) % cardinalities[free]
    return children


def crossover(rng: np.random.Generator, left: IntArray, right: IntArray) -> IntArray:
    """Each gene from either parent with equal chance."""
    return np.where(rng.random(left.shape) < 0.5, left, right)


def tournament(rng: np.random.Generator, places: IntArray, rounds: int, count: int) -> IntArray:
    """`count` winners: of `rounds` random members each, the one with the lowest place."""
    entrants = rng.integers(0, len(places), size=(count, rounds))
    winners: IntArray = entrants[np.arange(count), places[entrants].argmin(axis=1)]
    return winners

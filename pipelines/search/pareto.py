"""Non-dominated sorting, vectorised; every column is an objective to be made small."""

import numpy as np

from pipelines.search.arrays import BoolArray, FloatArray, IntArray


def dominated(objectives: FloatArray) -> BoolArray:
    """Which of the (N, M) rows another row beats: no worse anywhere and better somewhere."""
    order = np.lexsort(objectives.T[::-1])
    beaten = np.zeros(len(objectives), dtype=np.bool_)
    kept = np.empty((0, objectives.shape[1]))
    # In lexicographic order a row can only be beaten by an earlier one, and then by one that was kept.
    for row in order:
        point = objectives[row]
        no_worse = (kept <= point).all(axis=1)
        if bool((no_worse & (kept < point).any(axis=1)).any()):
            beaten[row] = True
        else:
            kept = np.vstack((kept, point))
    return beaten


def ranks_of(objectives: FloatArray) -> IntArray:
    """Front number of every row: 0 is the Pareto front, 1 the front once those are gone, and so on."""
    left, right = objectives[:, None, :], objectives[None, :, :]
    beats: BoolArray = np.all(left <= right, axis=2) & np.any(left < right, axis=2)
    beaten_by = beats.sum(axis=0)
    ranks = np.full(len(objectives), -1, dtype=np.int64)
    front = 0
    current = np.flatnonzero(beaten_by == 0)
    while len(current):
        ranks[current] = front
        beaten_by = beaten_by - beats[current].sum(axis=0)
        front += 1
        current = np.flatnonzero((beaten_by == 0) & (ranks < 0))
    return ranks


def crowding(objectives: FloatArray, ranks: IntArray) -> FloatArray:
    """How alone each row stands within its front (infinite at the ends), so that selection keeps the spread."""
    distances = np.zeros(len(objectives))
    for front in range(int(ranks.max(initial=-1)) + 1):
        members = np.flatnonzero(ranks == front)
        for column in objectives[members].T:
            order = members[np.argsort(column, kind="stable")]
            values = np.sort(column, kind="stable")
            span = float(values[-1] - values[0])
            distances[order[0]] = distances[order[-1]] = np.inf
            if len(members) > 2 and span > 0:
                distances[order[1:-1]] += (values[2:] - values[:-2]) / span
    return distances

"""What a recipe says about pruning and clustering."""

from dataclasses import dataclass

from hw_model.errors import SpecError


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruning:
    """Which share of each kernel becomes zero, and when; depthwise kernels stay whole.

    The share grows with the progress p of training between `begin` and `end` as 1 - (1 - p)**power does.
    Source: Zhu and Gupta 2017.
    """

    sparsity: float = 0.5
    initial_sparsity: float = 0.0
    begin: float = 0.0
    """Share of the training after which the first weights are cut."""
    end: float = 0.6
    """Share of the training after which no more are; what is left recovers."""
    power: float = 3.0
    cuts: int = 50
    """How often, at most, more weights are cut between `begin` and `end`."""
    skip: tuple[str, ...] = ()
    """Layers that stay whole, by how their names begin."""

    def __post_init__(self) -> None:
        _require(0 < self.sparsity < 1, "sparsity", "above 0 and below 1", self.sparsity)
        first = self.initial_sparsity
        _require(0 <= first <= self.sparsity, "initial_sparsity", "from 0 to `sparsity`", first)
        _require(0 <= self.begin < 1, "begin", "from 0 to below 1", self.begin)
        _require(self.begin <= self.end <= 1, "end", "from `begin` to 1", self.end)
        _require(self.power > 0, "power", "above 0", self.power)
        _require(self.cuts >= 1, "cuts", "at least 1", self.cuts)

    def steps(self, total: int) -> tuple[int, int, int]:
        """First step, last step and steps from cut to cut in a training of `total` steps.

        The last is a step in which weights are cut, so the sparsity asked for is reached.

        >>> Pruning(end=0.5, cuts=4).steps(90)
        (0, 44, 11)
        """
        begin = round(self.begin * total)
        reach = max(0, min(round(self.end * total), total - 1) - begin)
        every = max(1, reach // self.cuts)
        return begin, begin + reach // every * every, every


@dataclass(frozen=True, kw_only=True, slots=True)
class Clustering:
    """How many different weights a kernel has, and which it starts from; depthwise kernels stay as they are."""

    clusters: int = 16
    start: str = "kmeans_plus_plus"
    """`kmeans_plus_plus`, `density_based`, `linear` or `random`."""
    keep_zeros: bool = False
    """Zeros of a pruned network stay zeros; zero is one of the clusters."""
    skip: tuple[str, ...] = ()
    """Layers that stay as they are, by how their names begin."""

    def __post_init__(self) -> None:
        least = 3 if self.keep_zeros else 2
        _require(self.clusters >= least, "clusters", f"at least {least}", self.clusters)
        starts = ("kmeans_plus_plus", "density_based", "linear", "random")
        _require(self.start in starts, "start", " or ".join(starts), self.start)


def _require(holds: bool, name: str, wanted: str, received: object) -> None:
    if not holds:
        raise SpecError(name, f"must be {wanted}. Received: {received!r}")

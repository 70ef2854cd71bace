"""What a search has to know of a space and a target: identity, cost and description of a genotype."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from hw_model.errors import SpecError
from pipelines.search.arrays import IntArray, JsonObject

Genotype = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A cost report in short: one value per quantity of the problem, and what else is worth keeping."""

    values: tuple[float, ...]
    summary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A genotype that is not a legal network, with the rule it breaks."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An architecture about to be paid for; `key` is the same for every genotype that means it."""

    genotype: Genotype
    key: str
    cost: Cost
    parents: tuple[str, ...] = ()


class Problem(Protocol):
    """A space, a target and the cost evaluator between them."""

    @property
    def space_id(self) -> str:
        """Changes whenever a genotype may mean something else."""

    @property
    def cost_id(self) -> str:
        """Changes whenever the cost of an architecture may."""

    @property
    def cardinalities(self) -> IntArray:
        """Values of each gene."""

    @property
    def quantities(self) -> tuple[str, ...]:
        """Names of the cost values, such as latency_ms."""

    def keys(self, genotypes: IntArray) -> list[str]:
        """Canonical identity of each row: equal architectures share it."""

    def costs(self, genotypes: IntArray) -> list[Cost | Refusal]:
        """Cost of each row, a pure function of (key, cost_id)."""

    def describe(self, genotype: Genotype) -> JsonObject:
        """The spec as JSON, or whatever stands for it."""


class BoundSpace(Protocol):
    """A space of specs, as `model_zoo.spec.Space` is."""

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Values of each choice."""

    def bind(self, genotype: Sequence[int]) -> Any:
        """The spec; raises `SpecError` for an illegal combination."""


class SpecProblem:
    """The problem of finding a spec of a space; cost and identity are plain functions of the spec."""

    def __init__(
        self,
        space: BoundSpace,
        *,
        space_id: str,
        cost_id: str,
        quantities: tuple[str, ...],
        costs: Callable[[Sequence[Any]], list[Cost | Refusal]],
        key: Callable[[Any], str],
        describe: Callable[[Any], JsonObject],
    ) -> None:
        """`costs` refuses a network that cannot be lowered."""
        self._space = space
        self.space_id = space_id
        self.cost_id = cost_id
        self.quantities = quantities
        self.cardinalities: IntArray = np.asarray(space.cardinalities, dtype=np.int64)
        self._costs, self._key, self._describe = costs, key, describe
        self._bound: OrderedDict[Genotype, Any] = OrderedDict()

    def spec(self, genotype: Genotype) -> Any:
        """The spec of a legal genotype.

        Raises:
            SpecError: the genotype is not a legal network.
        """
        bound = self._bind(genotype)
        if isinstance(bound, SpecError):
            raise bound
        return bound

    def keys(self, genotypes: IntArray) -> list[str]:
        """Canonical identities; an illegal row is only equal to itself."""
        return [self._key_of(tuple(row)) for row in genotypes.tolist()]

    def costs(self, genotypes: IntArray) -> list[Cost | Refusal]:
        """One report per row; legal ones are asked for together, since a service answers many at a time."""
        bound = [self._bind(tuple(row)) for row in genotypes.tolist()]
        found = iter(self._costs([spec for spec in bound if not isinstance(spec, SpecError)]))
        return [
            Refusal(reason=str(spec)) if isinstance(spec, SpecError) else next(found)
            for spec in bound
        ]

    def describe(self, genotype: Genotype) -> JsonObject:
        """The spec as JSON."""
        return self._describe(self.spec(genotype))

    def _key_of(self, genotype: Genotype) -> str:
        spec = self._bind(genotype)
        if isinstance(spec, SpecError):
            text = ",".join(map(str, genotype))
            return "illegal-" + hashlib.sha256(text.encode()).hexdigest()[:12]
        return self._key(spec)

    def _bind(self, genotype: Genotype) -> Any:
        """The spec or the `SpecError`, remembered since key, cost and description follow each other."""
        if genotype not in self._bound:
            try:
                self._bound[genotype] = self._space.bind(genotype)
            except SpecError as error:
                self._bound[genotype] = error
            if len(self._bound) > 4096:
                self._bound.popitem(last=False)
        return self._bound[genotype]

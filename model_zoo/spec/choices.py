"""Search spaces: a spec with `one_of` leaves, and the integer vectors that pick one value for each choice."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from hw_model.errors import SpecError, UsageError
from model_zoo.spec.base import Node, OneOf, field_names, is_open

T = TypeVar("T")
S = TypeVar("S", bound=Node)


def one_of(*values: T, name: str | None = None) -> T:
    """A leaf to search over, written where the value would stand; leaves sharing a name share the choice.

    >>> one_of(3, 5)
    OneOf(values=(3, 5), name=None)
    """
    return cast(T, OneOf(values, name))


@dataclass(frozen=True, slots=True)
class Choice:
    """One decision: where it stands (its path, or its shared name) and the values to choose from."""

    path: str
    values: tuple[Any, ...]


class Space(Generic[S]):
    """A spec with open leaves, seen as a vector of choices.

    A genotype is a sequence of indices, one per choice, in the order of `choices`.
    """

    def __init__(self, template: S) -> None:
        self.template = template
        found: dict[str, Choice] = {}
        for path, leaf in _leaves(template, ""):
            key = leaf.name or path
            if key in found and found[key].values != leaf.values:
                raise SpecError(path, f"choice {key!r} has other values elsewhere")
            found[key] = Choice(key, leaf.values)
        self.choices: tuple[Choice, ...] = tuple(found.values())
        self._position = {choice.path: index for index, choice in enumerate(self.choices)}
        # The template lives as long as the space, so the identity of its parts is theirs alone.
        self._open = {id(part) for part in _parts(template) if is_open(part)}

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """Number of values of each choice."""
        return tuple(len(choice.values) for choice in self.choices)

    def size(self) -> int:
        """Number of genotypes; equal networks may have several."""
        total = 1
        for cardinality in self.cardinalities:
            total *= cardinality
        return total

    def bind(self, genotype: Sequence[int] | Mapping[str, Any]) -> S:
        """The spec a genotype, or a mapping of choice path to value, stands for.

        Raises:
            UsageError: wrong length, or an unknown choice or value.
            SpecError: the combination is not a legal network.
        """
        values = {
            choice.path: choice.values[gene]
            for choice, gene in zip(self.choices, self.genes(genotype), strict=True)
        }
        return cast(S, self._bind(self.template, "", values))

    def genes(self, genotype: Sequence[int] | Mapping[str, Any]) -> tuple[int, ...]:
        """The genotype as indices.

        Raises:
            UsageError: wrong length, or an unknown choice or value.
        """
        if isinstance(genotype, Mapping):
            return self.encode(genotype)
        if len(genotype) != len(self.choices):
            raise UsageError(
                f"A genotype here has {len(self.choices)} entries. Received: {len(genotype)}"
            )
        genes = tuple(map(int, genotype))
        for gene, choice in zip(genes, self.choices, strict=True):
            if not 0 <= gene < len(choice.values):
                last = len(choice.values) - 1
                raise UsageError(f"The gene of {choice.path} is from 0 to {last}. Received: {gene}")
        return genes

    def encode(self, point: Mapping[str, Any]) -> tuple[int, ...]:
        """The genotype of a mapping of choice path to value."""
        unknown = set(point) - set(self._position)
        if unknown:
            raise UsageError(f"The space has no choice {sorted(unknown)[0]!r}")
        indices = []
        for choice in self.choices:
            if choice.path not in point or point[choice.path] not in choice.values:
                received = point.get(choice.path, "nothing")
                raise UsageError(
                    f"{choice.path} must be one of {choice.values}. Received: {received!r}"
                )
            indices.append(choice.values.index(point[choice.path]))
        return tuple(indices)

    def _bind(self, value: Any, path: str, values: Mapping[str, Any]) -> Any:
        """The value with its choices made; None for a node that settles to nothing."""
        if isinstance(value, OneOf):
            return values[value.name or path]
        if id(value) not in self._open:
            return value
        if isinstance(value, tuple):
            bound = (
                self._bind(item, f"{path}[{index}]", values) for index, item in enumerate(value)
            )
            return tuple(item for item in bound if item is not None)
        prefix = f"{path}." if path else ""
        settled = type(value).settle(
            {
                name: self._bind(getattr(value, name), prefix + name, values)
                for name in field_names(type(value))
            }
        )
        if settled is None:
            return None
        try:
            return type(value)(**settled)
        except SpecError as error:
            raise (error.under(path) if path else error) from None


def _leaves(value: Any, path: str) -> Iterator[tuple[str, OneOf]]:
    if isinstance(value, OneOf):
        yield path, value
    elif isinstance(value, Node):
        for name in field_names(type(value)):
            yield from _leaves(getattr(value, name), f"{path}.{name}" if path else name)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")


def _parts(value: Any) -> Iterator[Any]:
    """A value and everything inside it."""
    yield value
    if isinstance(value, Node):
        for name in field_names(type(value)):
            yield from _parts(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from _parts(item)

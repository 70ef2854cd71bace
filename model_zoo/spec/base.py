"""What every part of a spec shares: it is frozen, checked when complete, and may hold choices at its leaves."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar

from hw_model.errors import SpecError


@dataclass(frozen=True, slots=True)
class OneOf:
    """A leaf of a search space: one of `values`; leaves with the same `name` are chosen together."""

    values: tuple[Any, ...]
    name: str | None = None

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) != len(self.values):
            raise SpecError(
                self.name or "one_of", f"needs distinct values. Received: {self.values}"
            )


class _Seen:
    """Room for what a look through a node found: it is frozen, so one look is enough."""

    __slots__ = ("_closed",)
    _closed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(_Seen):
    """Base of all spec parts; `check` runs once no leaf is open."""

    TAGGED: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not is_open(self):
            object.__setattr__(self, "_closed", True)
            self.check()

    def check(self) -> None:
        """Raises `SpecError` with the field that breaks a rule."""

    @classmethod
    def settle(cls, values: dict[str, Any]) -> dict[str, Any] | None:
        """Gives fields that have no effect their neutral value, so that equal networks are equal specs.

        None drops the node from the tuple it stands in.
        """
        return values


#: Types that hold nothing: most fields have one, and every spec that is built or lowered is looked through.
_PLAIN = frozenset({int, float, bool, str, type(None)})


def is_open(value: Any) -> bool:
    """Whether a spec still has a choice anywhere inside: then it is a space."""
    if isinstance(value, OneOf):
        return True
    if isinstance(value, Node):
        # A node that was copied or unpickled has no mark, and is looked through.
        if getattr(value, "_closed", False):
            return False
        value = _fields(value)
    elif not isinstance(value, tuple):
        return False
    return not _PLAIN.issuperset(map(type, value)) and any(map(is_open, value))


_READERS: dict[type, Callable[[Any], Any]] = {}


def _fields(value: Node) -> Any:
    """The values of all fields, read at once."""
    cls = type(value)
    if cls not in _READERS:
        # A getter of one name would return a bare value; a name twice does not.
        names = field_names(cls)
        _READERS[cls] = attrgetter(*names, names[0]) if names else lambda _: ()
    return _READERS[cls](value)


_FIELD_NAMES: dict[type, tuple[str, ...]] = {}


def field_names(cls: type) -> tuple[str, ...]:
    """Field names of a dataclass, remembered because specs are built by the thousand."""
    names = _FIELD_NAMES.get(cls)
    if names is None:
        names = _FIELD_NAMES[cls] = tuple(field.name for field in dataclasses.fields(cls))
    return names


def require_int(path: str, value: object, minimum: int, maximum: int = 1 << 20) -> None:
    """Refuses anything but an integer within the bounds."""
    if type(value) is not int or not minimum <= value <= maximum:
        raise SpecError(
            path, f"must be an integer from {minimum} to {maximum}. Received: {value!r}"
        )


def require_rate(path: str, value: object) -> None:
    """Refuses anything but a number in [0, 1)."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < 1:
        raise SpecError(
            path, f"must be a number from 0 up to, not including, 1. Received: {value!r}"
        )


def require_in(path: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuses anything but one of the allowed values."""
    if value not in allowed:
        choices = ", ".join(map(repr, allowed))
        raise SpecError(path, f"must be one of {choices}. Received: {value!r}")

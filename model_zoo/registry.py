"""Names of architectures and the specs they stand for."""

import fnmatch
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from hw_model.errors import UnknownNameError, UsageError
from model_zoo.spec.reading import Spec


@dataclass(frozen=True, slots=True)
class Entry:
    """A registered architecture."""

    name: str
    make: Callable[[], Spec]
    task: str


_ENTRIES: dict[str, Entry] = {}


def register(name: str, make: Callable[[], Spec], *, task: str) -> None:
    """Makes a variant known by name; a name is taken once."""
    if name in _ENTRIES:
        raise UsageError(
            f"An architecture is already registered under this name. Received: {name!r}"
        )
    _ENTRIES[name] = Entry(name, make, task)


@cache
def entries() -> dict[str, Entry]:
    """Every registered architecture by name, family by family, in whatever order their modules were imported."""
    import model_zoo.variants

    families = [module.name for module in pkgutil.iter_modules(model_zoo.variants.__path__)]
    for family in families:
        importlib.import_module(f"model_zoo.variants.{family}")
    ordered = sorted(
        _ENTRIES.items(),
        key=lambda item: next(
            (i for i, f in enumerate(families) if item[0].startswith(f)), len(families)
        ),
    )
    _ENTRIES.clear()
    _ENTRIES.update(ordered)
    return _ENTRIES


@cache
def spec_of(name: str) -> Spec:
    """The spec of a registered architecture, as published.

    Raises:
        UnknownNameError: nobody registered the name; suggests near ones.
    """
    if name not in entries():
        raise UnknownNameError("model", name, entries())
    return entries()[name].make()


def match(pattern: str, *, task: str | None = None) -> list[str]:
    """Registered names that match a shell-style pattern, sorted by family and size as registered."""
    return [
        name
        for name, entry in entries().items()
        if fnmatch.fnmatchcase(name, pattern) and task in (None, entry.task)
    ]

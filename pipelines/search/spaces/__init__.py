"""Search spaces by name: what each is made of, and which specs of it are the same network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hw_model.errors import UnknownNameError
from model_zoo.spec import ModelSpec, Space
from pipelines.search.spaces import mobilenet_edgetpu_v2
from pipelines.search.spaces.encode import genotype_of

__all__ = ["SPACES", "SpaceEntry", "genotype_of", "space_entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceEntry:
    """A space that can be asked for by name."""

    name: str
    version: int
    make: Callable[..., Space[ModelSpec]]
    canonical_key: Callable[[Any], str]


SPACES: dict[str, SpaceEntry] = {
    "mobilenet_edgetpu_v2": SpaceEntry(
        name="mobilenet_edgetpu_v2",
        version=mobilenet_edgetpu_v2.VERSION,
        make=mobilenet_edgetpu_v2.make_space,
        canonical_key=mobilenet_edgetpu_v2.canonical_key,
    )
}


def space_entry(name: str) -> SpaceEntry:
    """The space called `name`.

    Raises:
        UnknownNameError: no such space.
    """
    if name not in SPACES:
        raise UnknownNameError("space", name, SPACES)
    return SPACES[name]

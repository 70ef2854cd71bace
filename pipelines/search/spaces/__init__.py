"""Search spaces by name: what each is made of, and what a search in it takes unless told otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hw_model.errors import UnknownNameError, UsageError
from model_zoo.spec import Space
from pipelines.search.spaces import (
    autoseg_edgetpu,
    mobilebert_edgetpu,
    mobilenet_edgetpu_v2,
    spaghettinet_edgetpu,
)
from pipelines.search.spaces.encode import canonical_key, genotype_of

if TYPE_CHECKING:
    from pipelines.search.config import SearchConfig

__all__ = ["SPACES", "SpaceEntry", "canonical_key", "genotype_of", "space_entry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceEntry:
    """A space that can be asked for by name."""

    name: str
    version: int
    make: Callable[..., Space[Any]]
    task: str
    #: The image size and classes its family was published for; none where it reads text.
    image_size: int = 0
    num_classes: int = 0
    #: Recipe of a trial's training.
    recipe: str
    #: Whether the block analyzer can tell which of its blocks are never useful.
    prunable: bool = False

    @property
    def reads_text(self) -> bool:
        """Whether its networks read word pieces, not images."""
        return self.task == "answering"

    def of(self, config: "SearchConfig") -> Space[Any]:
        """The space for the inputs of a search."""
        if self.reads_text:
            return self.make(
                sequence_length=config.sequence_length,
                vocabulary_size=config.vocabulary_size,
                width=config.width,
            )
        return self.make(
            image_size=config.image_size,
            channels=config.channels,
            num_classes=config.num_classes,
            width=config.width,
        )

    def check_data(self, name: str, task: str) -> None:
        """Raises `UsageError` when the space is for another task than data set `name`."""
        if task != self.task:
            others = [entry.name for entry in SPACES.values() if entry.task == task]
            hint = f"take --space {' or '.join(others)}, or other data" if others else "take other"
            raise UsageError(
                f"Space {self.name} is for {self.task} and data set {name} for {task}; {hint}"
            )

    def check_prunable(self) -> None:
        """Raises `UsageError` when blocks cannot be left out of the space."""
        if not self.prunable:
            raise UsageError(
                f"Blocks cannot be pruned from space {self.name}; search it whole, without --prune"
            )


_ENTRIES = (
    SpaceEntry(
        name="mobilenet_edgetpu_v2",
        version=mobilenet_edgetpu_v2.VERSION,
        make=mobilenet_edgetpu_v2.make_space,
        task="classification",
        image_size=224,
        num_classes=1001,
        recipe="search_short",
        prunable=True,
    ),
    SpaceEntry(
        name="autoseg",
        version=autoseg_edgetpu.VERSION,
        make=autoseg_edgetpu.make_space,
        task="segmentation",
        image_size=512,
        num_classes=32,
        recipe="search_segment_short",
    ),
    *(
        SpaceEntry(
            name=name,
            version=spaghettinet_edgetpu.VERSION,
            make=partial(spaghettinet_edgetpu.make_space, kinds=kinds),
            task="detection",
            image_size=320,
            num_classes=90,
            recipe="search_detect_short",
        )
        for name, kinds in (
            ("spaghettinet", spaghettinet_edgetpu.KINDS),
            ("spaghettinet_no_gc", spaghettinet_edgetpu.NO_GC),
        )
    ),
    SpaceEntry(
        name="mobilebert",
        version=mobilebert_edgetpu.VERSION,
        make=mobilebert_edgetpu.make_space,
        task="answering",
        recipe="search_text_short",
    ),
)
SPACES: dict[str, SpaceEntry] = {entry.name: entry for entry in _ENTRIES}


def space_entry(name: str) -> SpaceEntry:
    """The space called `name`.

    Raises:
        UnknownNameError: no such space.
    """
    if name not in SPACES:
        raise UnknownNameError("space", name, SPACES)
    return SPACES[name]

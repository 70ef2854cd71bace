"""The file `edgezoo blocks --prune-space` writes and `edgezoo search run --prune` reads."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_model import codec
from hw_model.errors import DataError, SpecError, UsageError
from hw_model.files import write_text
from hw_model.targets import Target
from model_zoo.spec import BlockKind, ModelSpec
from pipelines.search.domination import RULE

FORMAT = 1
Value = int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunedChoice:
    """A choice of the space with fewer values."""

    path: str
    kept: tuple[Value, ...]
    pruned: tuple[Value, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dominated:
    """A block that becomes another one while the group size is one of `group_sizes`."""

    kind: BlockKind
    kernel: int
    expansion: int
    group_sizes: tuple[int | None, ...]
    by_kind: BlockKind
    by_kernel: int
    by_expansion: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Stacks of the space, by index, where `channels` enter and `filters` leave; `pruned` of `choices` go."""

    stacks: tuple[int, ...]
    height: int
    width: int
    stride: int
    channels: int
    filters: int
    repeats: int
    choices: int
    pruned: int
    dominated: tuple[Dominated, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruning:
    """What the file holds."""

    format: int
    rule: str
    target: str
    target_id: str
    evaluator_id: str
    declared_error: float
    space: str
    blocks_id: str
    choices: tuple[PrunedChoice, ...]
    contexts: tuple[Context, ...]

    @property
    def pruned_share(self) -> float:
        """Share of the choices of a block that go, over all stacks and the widths around them."""
        pruned = sum(len(context.stacks) * context.pruned for context in self.contexts)
        return pruned / sum(len(context.stacks) * context.choices for context in self.contexts)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Replaces the file."""
        write_text(path, codec.dumps(self) + "\n")

    def check(self, path: str, *, template: ModelSpec, target: Target) -> None:
        """Refuses a file made for something else.

        Raises:
            UsageError: it is of another target or of other blocks.
        """
        again = "make one with: edgezoo blocks --prune-space"
        if self.target_id != target.target_id:
            raise UsageError(
                f"{path} is for target {self.target} ({self.target_id}), the search for {target.name} "
                f"({target.target_id}); {again} --target {target.name}"
            )
        if self.blocks_id != blocks_id(template):
            raise UsageError(
                f"{path} is for {self.space} with other blocks, another image size or width "
                f"({self.blocks_id}); {again} for this space. Received: {blocks_id(template)}"
            )


def new_pruning(*, target: Target, **values: Any) -> Pruning:
    """A file's content for a target."""
    return Pruning(
        format=FORMAT, rule=RULE, target=target.name, target_id=target.target_id, **values
    )


def blocks_id(template: ModelSpec) -> str:
    """Changes whenever a block of the space may mean something else; head and classes do not count."""
    size = (template.input.height, template.input.width, template.stacked.stem.stride)
    text = repr((size, template.stacked.stacks))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_pruning(path: str | os.PathLike[str]) -> tuple[Pruning, str]:
    """The content of a file and its SHA-256.

    Raises:
        DataError: it cannot be read, or is no such file.
    """
    try:
        content = Path(path).read_bytes()
        pruning = codec.loads(Pruning, content)
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error
    except (SpecError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} is no file of edgezoo blocks --prune-space, or damaged: {error}"
        ) from error
    if pruning.format != FORMAT:
        raise DataError(f"{path} has format {pruning.format}; this version reads {FORMAT}.")
    return pruning, hashlib.sha256(content).hexdigest()

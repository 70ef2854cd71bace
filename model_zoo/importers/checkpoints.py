"""Published checkpoints as models of this zoo: which layout a file has, of which architecture, and its weights."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw_model.errors import DataError, SpecError
from model_zoo import registry
from model_zoo.archives import unpacked
from model_zoo.importers import garden, slim, timm
from model_zoo.importers.published import Layout, Piece, assign, problem, read_pieces
from model_zoo.importers.sources import Source, open_source
from model_zoo.spec.heads import change_head, replace_head
from model_zoo.spec.reading import Spec
from model_zoo.spec.text import TextSpec

if TYPE_CHECKING:
    from model_zoo.nn.model import ZooModel

#: The more particular ones first: a classifier of the Model Garden is told by hardly anything.
LAYOUTS: tuple[Layout, ...] = (*slim.LAYOUTS, *timm.LAYOUTS, *garden.LAYOUTS)
#: How far outputs may be from those expected, as a share of the largest of them.
TOLERANCE = 1e-3
#: Beside a state dict's weights; it counts training steps.
_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a checkpoint looks like: its layout, the architectures whose weights it has, whether it keeps averages."""

    layout: str
    models: tuple[str, ...]
    averages: bool

    def __str__(self) -> str:
        models = " or ".join(self.models) or "no network of this zoo"
        return f"{models} ({self.layout})"


def identify(path: str | os.PathLike[str], *, sha256: str | None = None) -> Identity:
    """What a checkpoint looks like.

    Raises:
        DataError: unreadable, or of a layout nobody here knows.
    """
    with unpacked(path, sha256=sha256) as place:
        source = open_source(place)
        layout, root = _layout(source)
        return _identity(source, layout, root)


def import_checkpoint(
    path: str | os.PathLike[str],
    model: Spec | str | None = None,
    *,
    averages: bool = False,
    sha256: str | None = None,
    check: tuple[Any, Any] | None = None,
) -> "ZooModel":
    """The network of a published checkpoint with its weights.

    `path` is a `.safetensors` file with timm's config.json beside it, a TensorFlow checkpoint by its prefix, one of
    its files or its folder, a tar archive of either, or a URL, which needs its `sha256`. `model` is the name of the
    architecture, which then has the classes of the file and computes what its publisher's network does, or a spec,
    which is kept as it is; None where the file has the weights of one architecture alone. `averages` takes the
    moving averages of the weights. `check` is inputs and what the network must answer to them.

    Raises:
        UnknownNameError: no architecture has this name; suggests near ones.
        DataError: unreadable, of another architecture, without averages, or with other answers; says which
            architecture a file looks like and names the first variable that does not fit.
        EnvironmentFault: the package that reads the format is not installed, or there is no way to a URL.
    """
    from model_zoo.nn.model import ZooModel

    with unpacked(path, sha256=sha256) as place:
        source = open_source(place)
        layout, root = _layout(source)
        spec, title = _spec(source, layout, root, model)
        pieces = list(layout.pieces(spec, source, root))
        wrong = _wrong(source, layout, pieces, averages=averages)
        looks = _identity(source, layout, root) if wrong or isinstance(model, str) else None
        if looks is not None and (wrong or model not in looks.models):
            wrong = wrong or "that would be a part of it"
            raise DataError(f"{source.path} looks like {looks}, which is not {title}: {wrong}")
        weights = read_pieces(source, pieces, averages=averages)
        preprocessing = layout.preprocessing(spec, source)
    network = ZooModel(
        spec,
        preprocessing=preprocessing,
        weights_origin=f"checkpoint:{Path(os.fspath(path)).name}",
        free_length=isinstance(spec, TextSpec) and isinstance(model, str),
        # A single number is the end of a range.
        group_fake_quant=any(() in piece.shapes for piece in pieces),
        name=title,
    )
    for layer, arrays in weights.items():
        assign(network.get_layer(layer), arrays)
    if check is not None:
        compare(network, *check)
    return network


def compare(network: "ZooModel", inputs: Any, expected: Any) -> None:
    """Refuses a network that does not answer `expected`, or nearly, to `inputs`, which are preprocessed.

    Raises:
        DataError: another number of outputs, other shapes or other values.
    """
    import keras

    answers = [np.asarray(each) for each in keras.tree.flatten(network(inputs, training=False))]
    wanted = [np.asarray(each) for each in keras.tree.flatten(expected)]
    shapes = [each.shape for each in answers], [each.shape for each in wanted]
    if shapes[0] != shapes[1]:
        raise DataError(f"{network.name} answers {shapes[0]}. Expected: {shapes[1]}")
    for answer, want in zip(answers, wanted, strict=True):
        largest, off = float(np.abs(want).max()), float(np.abs(answer - want).max())
        if not off <= TOLERANCE * largest:
            raise DataError(
                f"{network.name} from {network.weights_origin} answers what differs by {off:.3g} from what was "
                f"expected, which is up to {largest:.3g}: the weights are of another network or another form of it"
            )


def _layout(source: Source) -> tuple[Layout, str]:
    for layout in LAYOUTS:
        root = layout.root_in(source)
        if root is not None:
            return layout, root
    some = ", ".join(sorted(source.names)[:3])
    known = ", ".join(layout.title for layout in LAYOUTS)
    raise DataError(f"{source.path} has a layout that is not known: {some}. Known are {known}")


def _identity(source: Source, layout: Layout, root: str) -> Identity:
    kept = source.average(root + layout.mark) is not None
    alone = kept and source.shape(root + layout.mark) is None
    used: dict[str, set[str]] = {}
    for name in registry.entries():
        if found := _used(source, layout, root, registry.spec_of(name), averages=alone):
            used[name] = found
    # A deeper network holds all variables of a shallower one.
    whole = [name for name, own in used.items() if not any(own < more for more in used.values())]
    return Identity(layout=layout.title, models=tuple(whole), averages=kept)


def _used(
    source: Source, layout: Layout, root: str, spec: Spec, *, averages: bool
) -> set[str] | None:
    """The variables a network would take; None where it does not fit."""
    if spec.family not in layout.families:
        return None
    try:
        pieces = list(layout.pieces(_settled(source, layout, root, spec), source, root))
    except (SpecError, DataError):
        return (
            None  # Not even with the widths of the file, or with what its publisher does otherwise.
        )
    if _wrong(source, layout, pieces, averages=averages) is not None:
        return None
    return {name for piece in pieces for name in piece.names}


def _spec(source: Source, layout: Layout, root: str, model: Spec | str | None) -> tuple[Spec, str]:
    """The architecture to load into, and what it is called."""
    if model is None:
        found = _identity(source, layout, root)
        if len(found.models) != 1:
            raise DataError(f"{source.path} looks like {found}; name its architecture")
        model = found.models[0]
    spec = registry.spec_of(model) if isinstance(model, str) else model
    title = model if isinstance(model, str) else spec.family
    reason = ""
    if spec.family in layout.families:
        try:
            return _settled(source, layout, root, spec) if spec is not model else spec, title
        except SpecError as error:
            reason = f": {error}"
    looks = _identity(source, layout, root)
    raise DataError(f"{source.path} looks like {looks}, which is not {title}{reason}")


def _settled(source: Source, layout: Layout, root: str, spec: Spec) -> Spec:
    """The architecture as the file has it: with its number of classes, and in its publisher's form."""
    spec = layout.settle(spec, source, root)
    count = spec.num_classes
    if spec.head is None or count is None:
        return spec
    wider = replace_head(spec, change_head(spec.head, num_classes=count + 1))
    one, other = (layout.pieces(each, source, root) for each in (spec, wider))
    for name, ours, theirs in _different(one, other):
        have = source.shape(name) or source.shape(source.average(name) or name)
        axis = next(axis for axis, size in enumerate(ours) if size != theirs[axis])
        if have is not None and len(have) == len(ours):
            more, rest = divmod(have[axis] - ours[axis], theirs[axis] - ours[axis])
            if not rest and count + more > 0:
                head = change_head(spec.head, num_classes=count + more)
                return replace_head(spec, head)
        break
    return spec


def _different(
    one: Iterator[Piece], other: Iterator[Piece]
) -> Iterator[tuple[str, tuple[int, ...], tuple[int, ...]]]:
    """Variables whose shape the number of classes sets, with their shapes in two networks."""
    for left, right in zip(one, other, strict=True):
        for name, *shapes in zip(left.names, left.shapes, right.shapes, strict=True):
            if shapes[0] != shapes[1]:
                yield name, shapes[0], shapes[1]


def _wrong(source: Source, layout: Layout, pieces: list[Piece], *, averages: bool) -> str | None:
    wrong = problem(source, pieces, averages=averages)
    if wrong is not None or not layout.whole:
        return wrong
    used = {name for piece in pieces for name in piece.names}
    left = [n for n in source.names if n not in used and not n.endswith(_COUNTER)]
    return f"it also holds {min(left)}" if left else None

"""What a layout of published weights is, and how the arrays of a file become the weights of a network.

A layout says for every operation of `spec.graph()` which variables hold its weights; everything is compared with the
file before anything is read, and read before anything is assigned.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw_model.errors import DataError
from hw_model.graph import Graph, Op
from hw_model.graph.types import Param
from model_zoo.importers.sources import AVERAGE, Array, Shape, Source
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec.reading import Spec


def _alone(array: Array) -> Array:
    return array


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One weight of a layer of ours: the variables it is made of, with the shapes they have in the file."""

    layer: str
    names: tuple[str, ...]
    shapes: tuple[Shape, ...]
    trainable: bool = True
    make: Callable[..., Array] = _alone


Pieces = Iterator[Piece]


def _unchanged(spec: Spec, source: Source, root: str) -> Spec:
    return spec


def _usual(spec: Spec, source: Source) -> Preprocessing | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How somebody keeps the weights of networks of these families.

    Names of `pieces` start with a root, which the `mark`, a variable every such file has, gives away: it is behind
    one of `roots`, or with `anywhere` behind any. `settle` makes of a published architecture the one a file has,
    as far as that may vary; `preprocessing` is told where it is not the usual one. A `whole` file holds nothing else.
    """

    title: str
    families: tuple[str, ...]
    mark: str
    pieces: Callable[[Any, Source, str], Pieces]
    roots: tuple[str, ...] = ("",)
    anywhere: bool = False
    settle: Callable[[Any, Source, str], Spec] = _unchanged
    preprocessing: Callable[[Any, Source], Preprocessing | None] = _usual
    whole: bool = False

    def root_in(self, source: Source) -> str | None:
        """The root in a file of this layout; None in any other."""
        for root in self.roots:
            if source.shape(root + self.mark) or source.average(root + self.mark):
                return root
        if self.anywhere:
            for name in source.names:
                plain = name.removesuffix(AVERAGE)
                if plain.endswith(f"/{self.mark}"):
                    return plain.removesuffix(self.mark)
        return None


def weights_of(graph: Graph) -> Iterator[tuple[Op, Param]]:
    """Every weight of a network in the order `assign` takes them."""
    for op in graph.ops:
        for param in graph.params(op):
            yield op, param


def piece(op: Op, param: Param, name: str, shape: Shape | None = None) -> Piece:
    """A weight that is one variable; one of another `shape` holds the same numbers in the same order."""
    ours = param.shape
    same = shape is None or shape == ours
    return Piece(
        layer=op.name,
        names=(name,),
        shapes=(shape or ours,),
        trainable=param.trainable,
        make=_alone if same else lambda array: array.reshape(ours),
    )


def turned(op: Op, param: Param, name: str) -> Piece:
    """A weight whose axes are the other way round in the file."""
    shape = param.shape[::-1]
    return Piece(
        layer=op.name, names=(name,), shapes=(shape,), trainable=param.trainable, make=np.transpose
    )


def problem(source: Source, pieces: Iterable[Piece], *, averages: bool) -> str | None:
    """What is wrong with the first variable that is not as it should be; None for a file that fits."""
    for each in pieces:
        for name, shape in zip(each.names, each.shapes, strict=True):
            found = _name(source, name, each, averages=averages)
            if found is None:
                return f"it keeps no moving average of {name}; import the weights themselves"
            received = source.shape(found)
            if received is None and source.average(name):
                return f"it keeps the moving average of {name} alone; import the averages"
            if received != shape:
                return f"{name} must have shape {shape}. Received: {'nothing' if received is None else received}"
    return None


def read_pieces(
    source: Source, pieces: Iterable[Piece], *, averages: bool = False
) -> dict[str, list[Array]]:
    """Layer -> its weights in the order of `Graph.params`.

    Raises:
        DataError: the file is damaged.
    """
    found: dict[str, list[Array]] = {}
    for each in pieces:
        names = [_name(source, name, each, averages=averages) or name for name in each.names]
        array = each.make(*(source.read(name) for name in names))
        if not np.isfinite(array).all():
            raise DataError(f"{source.path} is damaged: {names[0]} holds what is no number")
        found.setdefault(each.layer, []).append(array)
    return found


def _name(source: Source, name: str, of: Piece, *, averages: bool) -> str | None:
    """Where to read: statistics may have no averages beside them, as they are averages."""
    if not averages:
        return name
    return source.average(name) or (None if of.trainable else name)


def assign(layer: object, arrays: list[Array]) -> None:
    """Sets a layer's weights from the order of `Graph.params`; the range of groups that round may follow."""
    variables = getattr(layer, "kernels", [])
    if variables:
        norms = [part for norm in layer.batch_norms for part in _norm_parts(norm)]  # type: ignore[attr-defined]
        variables = [*variables, *norms]
        rounding = getattr(layer, "fake_quant", None)
        if rounding is not None and len(arrays) > len(variables):
            variables += [rounding.low, rounding.high]
    elif hasattr(layer, "moving_variance"):
        variables = _norm_parts(layer)
    else:
        variables = layer.weights  # type: ignore[attr-defined]
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _norm_parts(norm: object) -> list[Any]:
    return [getattr(norm, part) for part in ("gamma", "beta", "moving_mean", "moving_variance")]

"""Operations that move, cut, join or pool data: concat, slice, split, pad, pool, reduce, resize, reshape, transpose."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from hw_model.errors import SpecError
from hw_model.graph.ops.base import (
    OpType,
    Padding,
    Pair,
    elements,
    require_positive,
    require_rank,
    window_shape,
)
from hw_model.graph.types import DType, Shape

ResizeMode = Literal["bilinear", "nearest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Concat(OpType):
    """Joins tensors along `axis` (negative counts from the end)."""

    ARITY: ClassVar[int | None] = None
    axis: int = -1

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        first = inputs[0]
        axis = normal_axis(self.axis, len(first))
        rest = first[:axis] + first[axis + 1 :]
        if any(shape[:axis] + shape[axis + 1 :] != rest for shape in inputs):
            raise SpecError("input", f"shapes differ outside axis {axis}. Received: {inputs}")
        joined = sum(shape[axis] for shape in inputs)
        return ((*first[:axis], joined, *first[axis + 1 :]),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice(OpType):
    """Takes `sizes` elements from `begin` on, each axis by `strides`."""

    begin: tuple[int, ...]
    sizes: tuple[int, ...]
    strides: tuple[int, ...] = ()

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = inputs[0]
        steps = self.strides or (1,) * len(shape)
        if not len(self.begin) == len(self.sizes) == len(steps) == len(shape):
            raise SpecError(
                "begin", f"needs {len(shape)} entries. Received: {self.begin}, {self.sizes}"
            )
        for start, size, step, extent in zip(self.begin, self.sizes, steps, shape, strict=True):
            if start < 0 or size < 1 or step < 1 or start + (size - 1) * step >= extent:
                raise SpecError(
                    "sizes", f"leaves the input {shape}. Received: {self.begin}, {self.sizes}"
                )
        return (self.sizes,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split(OpType):
    """Cuts a tensor into `parts` equal pieces along `axis`."""

    parts: int
    axis: int = -1

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = inputs[0]
        axis = normal_axis(self.axis, len(shape))
        require_positive("parts", self.parts)
        if shape[axis] % self.parts:
            raise SpecError("parts", f"must divide {shape[axis]}. Received: {self.parts}")
        piece = (*shape[:axis], shape[axis] // self.parts, *shape[axis + 1 :])
        return (piece,) * self.parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(OpType):
    """Adds constant rows: (before, after) for each axis."""

    padding: tuple[Pair, ...]

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if len(self.padding) != len(inputs[0]) or any(min(pair) < 0 for pair in self.padding):
            raise SpecError(
                "padding", f"needs {len(inputs[0])} pairs >= 0. Received: {self.padding}"
            )
        return (tuple(n + sum(pair) for n, pair in zip(inputs[0], self.padding, strict=True)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool(OpType):
    """Average or maximum over a sliding window of (N, H, W, C)."""

    mode: Literal["average", "max"]
    kernel: Pair
    stride: Pair
    padding: Padding = "valid"

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = require_rank(inputs, 4)
        height, width = window_shape(shape, self.kernel, self.stride, (1, 1), self.padding)
        return ((shape[0], height, width, shape[3]),)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalPool(OpType):
    """Mean over height and width of (N, H, W, C), to (N, C) or with `keep_dims` to (N, 1, 1, C)."""

    keep_dims: bool = False

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, _, _, channels = require_rank(inputs, 4)
        return ((batch, 1, 1, channels) if self.keep_dims else (batch, channels),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reduce(OpType):
    """Sum, mean, maximum or minimum over `axes`, which stay with size 1 when `keep_dims` says so."""

    function: Literal["sum", "mean", "max", "min"]
    axes: tuple[int, ...]
    keep_dims: bool = False

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = inputs[0]
        gone = {normal_axis(axis, len(shape)) for axis in self.axes}
        kept = enumerate(shape)
        if self.keep_dims:
            return (tuple(1 if axis in gone else size for axis, size in kept),)
        return (tuple(size for axis, size in kept if axis not in gone),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resize(OpType):
    """Resamples (N, H, W, C) to a fixed height and width (half-pixel centres)."""

    mode: ResizeMode
    size: Pair

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, _, _, channels = require_rank(inputs, 4)
        require_positive("size", *self.size)
        return ((batch, *self.size, channels),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reshape(OpType):
    """Same elements, other shape."""

    shape: Shape

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if elements(self.shape) != elements(inputs[0]):
            raise SpecError(
                "shape", f"must hold the elements of {inputs[0]}. Received: {self.shape}"
            )
        return (self.shape,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transpose(OpType):
    """Axes in another order."""

    permutation: tuple[int, ...]

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if sorted(self.permutation) != list(range(len(inputs[0]))):
            raise SpecError(
                "permutation", f"must order {len(inputs[0])} axes. Received: {self.permutation}"
            )
        return (tuple(inputs[0][axis] for axis in self.permutation),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgMax(OpType):
    """Index of the largest element of the last axis."""

    dtype: DType = "int32"

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return (inputs[0][:-1],)

    def output_dtype(self, dtype: DType) -> DType:
        return self.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedArgMax(OpType):
    """Index of the largest element of the last axis, which stays with size 1, by operations of 8-bit integers.

    The distance of each element to the maximum is counted in steps so small that 255 of them are less than
    one step of the input's own scale; index added, the least is that of the maximum, the first one of equals.
    Source: the idea is that of the published segmentation exports, which take six operations.
    """

    #: More indices than 8 bits can tell apart.
    LIMIT: ClassVar[int] = 256

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if not 1 <= inputs[0][-1] <= self.LIMIT:
            raise SpecError(
                "input", f"must have at most {self.LIMIT} classes. Received: {inputs[0][-1]}"
            )
        return ((*inputs[0][:-1], 1),)


def normal_axis(axis: int, rank: int) -> int:
    """A possibly negative axis as an index into `rank` dimensions."""
    if not -rank <= axis < rank:
        raise SpecError("axis", f"must be within {rank} dimensions. Received: {axis}")
    return axis % rank

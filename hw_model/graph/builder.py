"""Builders: one vocabulary of operations that a family's lowering speaks, read into a graph or a Keras model."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, TypeVar

from hw_model.errors import SpecError
from hw_model.graph.ops import (
    Activation,
    ActivationName,
    Add,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    GlobalPool,
    GroupConv2D,
    OpType,
    Pool,
    Reshape,
    Softmax,
)
from hw_model.graph.types import DType, Graph, Op, Shape, Tensor

H = TypeVar("H")
R = TypeVar("R", covariant=True)


class Builder(ABC, Generic[H, R]):
    """What a lowering talks to; `H` is a handle to a tensor, `R` what `finish` returns.

    Only `input`, `emit`, `shape` and `finish` differ between readers; the named methods below are
    shorthand for `emit`, and operations without shorthand go through `emit` itself.
    """

    @abstractmethod
    def input(self, shape: Shape, *, name: str = "image", dtype: DType = "float32") -> H:
        """A model input of this shape, batch included."""

    @abstractmethod
    def emit(self, op: OpType, inputs: Sequence[H], *, name: str) -> tuple[H, ...]:
        """Adds one operation and returns handles to its outputs."""

    @abstractmethod
    def shape(self, handle: H) -> Shape:
        """Shape of a tensor, batch included (1 where a model leaves it open)."""

    @abstractmethod
    def finish(self, outputs: H | Mapping[str, H], *, name: str) -> R:
        """Closes the model."""

    def part(self, key: Hashable, x: H, lower: "Callable[[Builder[Any, Any], Any], Any]") -> H:
        """What `lower` speaks behind `x` and behind nothing else.

        Parts of equal keys behind equal shapes are the same operations, names and dropout aside: a reader may
        remember what it found.
        """
        result: H = lower(self, x)
        return result

    def join(
        self,
        key: Hashable,
        inputs: tuple[H, ...],
        lower: "Callable[[Builder[Any, Any], tuple[Any, ...]], Any]",
    ) -> H:
        """A `part` behind several tensors."""
        result: H = lower(self, inputs)
        return result

    def conv(
        self, x: H, filters: int, kernel: int, *, name: str, stride: int = 1, bias: bool = False
    ) -> H:
        """Square SAME convolution."""
        return self.emit(_conv(filters, kernel, stride, bias), (x,), name=name)[0]

    def depthwise(self, x: H, kernel: int, *, name: str, stride: int = 1) -> H:
        """Square SAME depthwise convolution."""
        return self.emit(_depthwise(kernel, stride), (x,), name=name)[0]

    def group_conv(
        self, x: H, filters: int, kernel: int, *, group_size: int, name: str, stride: int = 1
    ) -> H:
        """Group convolution with its batch norms and ReLU."""
        op = GroupConv2D(
            filters=filters, group_size=group_size, kernel=(kernel, kernel), stride=(stride, stride)
        )
        return self.emit(op, (x,), name=name)[0]

    def batch_norm(self, x: H, *, name: str) -> H:
        """Batch normalisation over channels."""
        return self.emit(_batch_norm(), (x,), name=name)[0]

    def activation(self, x: H, function: ActivationName, *, name: str) -> H:
        """Elementwise non-linearity."""
        return self.emit(_activation(function), (x,), name=name)[0]

    def dense(self, x: H, units: int, *, name: str) -> H:
        """Fully connected layer with bias."""
        return self.emit(Dense(units=units), (x,), name=name)[0]

    def add(self, a: H, b: H, *, name: str) -> H:
        """Elementwise sum."""
        return self.emit(Add(), (a, b), name=name)[0]

    def concat(self, parts: Sequence[H], *, name: str, axis: int = -1) -> H:
        """Joins tensors along an axis."""
        return self.emit(Concat(axis=axis), tuple(parts), name=name)[0]

    def average_pool_all(self, x: H, *, name: str) -> H:
        """Average over the whole map, kept as (N, 1, 1, C)."""
        height, width = self.shape(x)[1:3]
        op = Pool(mode="average", kernel=(height, width), stride=(height, width))
        return self.emit(op, (x,), name=name)[0]

    def global_pool(self, x: H, *, name: str) -> H:
        """Average over the whole map, to (N, C)."""
        return self.emit(GlobalPool(), (x,), name=name)[0]

    def dropout(self, x: H, rate: float, *, name: str, per_sample: bool = False) -> H:
        """Training-time dropout; nothing at rate 0."""
        if not rate:
            return x
        return self.emit(Dropout(rate=rate, per_sample=per_sample), (x,), name=name)[0]

    def softmax(self, x: H, *, name: str) -> H:
        """Softmax over the last axis."""
        return self.emit(Softmax(), (x,), name=name)[0]

    def reshape(self, x: H, shape: Shape, *, name: str) -> H:
        """Same elements, other shape (batch included)."""
        return self.emit(Reshape(shape=shape), (x,), name=name)[0]


# Equal operation types are shared: making them anew takes a tenth of the time a search spends on a graph.
@lru_cache(maxsize=1 << 14, typed=True)
def _conv(filters: int, kernel: int, stride: int, bias: bool) -> Conv2D:
    return Conv2D(filters=filters, kernel=(kernel, kernel), stride=(stride, stride), bias=bias)


@lru_cache(maxsize=1 << 10, typed=True)
def _depthwise(kernel: int, stride: int) -> DepthwiseConv2D:
    return DepthwiseConv2D(kernel=(kernel, kernel), stride=(stride, stride))


@lru_cache(maxsize=1)
def _batch_norm() -> BatchNorm:
    return BatchNorm()


@lru_cache(maxsize=64)
def _activation(function: ActivationName) -> Activation:
    return Activation(function=function)


class GraphBuilder(Builder[int, Graph]):
    """Reads a lowering into a `Graph`; handles are tensor indices.

    >>> b = GraphBuilder()
    >>> x = b.conv(b.input((1, 8, 8, 3)), 16, 3, stride=2, name="stem")
    >>> b.finish(x, name="tiny").macs
    6912
    """

    def __init__(self) -> None:
        self._tensors: list[Tensor] = []
        self._ops: list[Op] = []
        self._inputs: list[int] = []

    def input(self, shape: Shape, *, name: str = "image", dtype: DType = "float32") -> int:
        self._tensors.append(Tensor(name, shape, dtype))
        self._inputs.append(len(self._tensors) - 1)
        return self._inputs[-1]

    def emit(self, op: OpType, inputs: Sequence[int], *, name: str) -> tuple[int, ...]:
        tensors = self._tensors
        sources = tuple(inputs)
        try:
            shapes = op.infer(tuple([tensors[index].shape for index in sources]))
        except SpecError as error:
            raise error.under(name) from None
        dtype = op.output_dtype(tensors[sources[0]].dtype)
        first = len(tensors)
        if len(shapes) == 1:
            tensors.append(Tensor(name, shapes[0], dtype))
        else:
            tensors.extend(
                Tensor(f"{name}:{part}", shape, dtype) for part, shape in enumerate(shapes)
            )
        outputs = tuple(range(first, len(tensors)))
        self._ops.append(Op(name, op, sources, outputs))
        return outputs

    def shape(self, handle: int) -> Shape:
        return self._tensors[handle].shape

    def finish(self, outputs: int | Mapping[str, int], *, name: str) -> Graph:
        ends = tuple(outputs.values()) if isinstance(outputs, Mapping) else (outputs,)
        return Graph(tuple(self._tensors), tuple(self._ops), tuple(self._inputs), ends, name)

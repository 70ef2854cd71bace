"""Graph values: tensors with shapes, operations between them, and the weights an operation owns."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from hw_model.graph.ops import OpType

Shape = tuple[int, ...]
DType = Literal["float32", "float16", "int8", "uint8", "int16", "int32", "int64", "bool"]

DTYPE_BYTES: dict[str, int] = {
    "float32": 4, "float16": 2, "int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8, "bool": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tensor:
    """An activation; images are (N, H, W, C)."""

    name: str
    shape: Shape
    dtype: DType = "float32"

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes the elements occupy."""
        return math.prod(self.shape) * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Param:
    """A weight array of an operation, in the order Keras creates them."""

    name: str
    shape: Shape
    trainable: bool = True

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Op:
    """One operation: its type with attributes, and the tensors (by index in the graph) it reads and writes."""

    name: str
    type: "OpType"
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def kind(self) -> str:
        """Name of the operation type, such as `Conv2D`."""
        return type(self.type).__name__


@dataclass(frozen=True)
class Graph:
    """Operations in execution order; tensors are referred to by index, inputs and outputs included."""

    tensors: tuple[Tensor, ...]
    ops: tuple[Op, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    name: str = "graph"
    #: What the file behind it says that a graph cannot; costs leave it out, and reports say so.
    notes: tuple[str, ...] = field(default=(), compare=False)

    def input_shapes(self, op: Op) -> tuple[Shape, ...]:
        """Shapes an operation of this graph reads."""
        return tuple(self.tensors[index].shape for index in op.inputs)

    def output_shapes(self, op: Op) -> tuple[Shape, ...]:
        """Shapes an operation of this graph writes."""
        return tuple(self.tensors[index].shape for index in op.outputs)

    def params(self, op: Op) -> tuple[Param, ...]:
        """Weights an operation of this graph owns."""
        return op.type.params(self.input_shapes(op))

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of convolutions, dense layers and matrix products for one run."""
        return sum(op.type.macs(self.input_shapes(op)) for op in self.ops)

    @cached_property
    def param_count(self) -> int:
        """Number of weights, moving statistics included."""
        return sum(param.size for op in self.ops for param in self.params(op))

    @cached_property
    def trainable_count(self) -> int:
        """Number of weights a training changes by gradient."""
        return sum(param.size for op in self.ops for param in self.params(op) if param.trainable)

    @cached_property
    def consumers(self) -> dict[int, tuple[int, ...]]:
        """Tensor index -> indices of the operations that read it."""
        readers: dict[int, list[int]] = {index: [] for index in range(len(self.tensors))}
        for position, op in enumerate(self.ops):
            for index in op.inputs:
                readers[index].append(position)
        return {index: tuple(positions) for index, positions in readers.items()}

    @cached_property
    def producers(self) -> dict[int, int]:
        """Tensor index -> index of the operation that writes it; graph inputs have none."""
        return {index: position for position, op in enumerate(self.ops) for index in op.outputs}

"""One TFLite operator with its tensors resolved: what a reading of it may ask."""

import math
from dataclasses import dataclass, replace

from hw_model.errors import SpecError
from hw_model.graph import ops
from hw_model.graph.types import DType, Shape
from hw_model.io import tflite_schema as schema
from hw_model.io.tflite_file import FileOperator, FileTensor, TFLiteFile

Chain = tuple[ops.OpType, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an operator becomes: a chain, with one before it on each activation and a step after it on each result."""

    chain: Chain
    before: tuple[Chain, ...] = ()
    after: Chain = ()


Reading = Chain | Plan | None

_MAX_EXTENT = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Call:
    """An operator of a file; `activations` are those of its inputs that are computed while running.

    Old converters left out the shapes of activations, so those of the inputs come from what was read
    before, and a reading derives the shapes of the outputs.
    """

    file: TFLiteFile
    operator: FileOperator
    activations: tuple[int, ...]
    input_shapes: tuple[Shape, ...]

    def tensor(self, position: int) -> FileTensor | None:
        """The tensor at an input position; None when left out."""
        inputs = self.operator.inputs
        absent = position >= len(inputs) or inputs[position] < 0
        return None if absent else self.file.tensors[inputs[position]]

    def is_constant(self, position: int) -> bool:
        """Whether an input is present and fixed by the file."""
        return (
            self.tensor(position) is not None
            and self.operator.inputs[position] not in self.activations
        )

    def constant_shape(self, position: int) -> Shape | None:
        """Shape of a constant input; None when it is computed or left out."""
        tensor = self.tensor(position)
        return tensor.shape if tensor is not None and self.is_constant(position) else None

    def values(self, position: int) -> list[int] | None:
        """Integers of a small constant input; None when it is computed, left out or of another type."""
        tensor = self.tensor(position)
        return tensor.values() if tensor is not None and self.is_constant(position) else None

    def option(self, slot: int, fmt: str, default: int | bool = 0) -> int:
        """One number of the operator's options."""
        return int(self.operator.option(slot, fmt, default))

    def extent(self, slot: int, default: int = 0) -> int:
        """An option that measures a window or a step."""
        value = self.option(slot, "i", default)
        if not 0 < value <= _MAX_EXTENT:
            raise SpecError(
                "options", f"must hold extents from 1 to {_MAX_EXTENT}. Received: {value}"
            )
        return value

    def padding(self) -> ops.Padding:
        """The padding rule, which every windowed operator keeps in its first option."""
        code = self.option(0, "b")
        if not 0 <= code < len(schema.PADDINGS):
            raise SpecError("padding", f"must be SAME (0) or VALID (1). Received: {code}")
        return schema.PADDINGS[code]

    def with_activation(self, op: ops.OpType, code: int) -> Chain:
        """An operation followed by the activation this operator fuses, as an operation of its own."""
        if code == 0:
            return (op,)
        if code in schema.FUSED_ACTIVATIONS:
            return (op, ops.Activation(function=schema.FUSED_ACTIVATIONS[code]))
        if code == schema.RELU_N1_TO_1:
            return (op, ops.Elementwise(function="relu_n1_to_1"))
        if code == schema.SIGN_BIT:
            return (op, ops.Opaque(code="SIGN_BIT", output_shapes=self.stated_shapes))
        raise SpecError("options", f"name an unknown fused activation. Received: {code}")

    def with_fused(self, op: ops.OpType, code: int) -> Chain:
        """An operation that applies this operator's activation itself where graphs allow it."""
        name = schema.FUSED_ACTIVATIONS.get(code)
        if name in ops.FUSIBLE:
            return (replace(op, activation=name),)  # type: ignore[call-arg]
        return self.with_activation(op, code)

    def positive_axis(self, axis: int) -> int:
        """An axis of the first activation counted from the front."""
        rank = len(self.input_shape)
        if not -rank <= axis < rank:
            raise SpecError("axis", f"must be within {rank} dimensions. Received: {axis}")
        return axis % rank

    def elements_in(self) -> int:
        """Number of elements of the first activation."""
        return math.prod(self.input_shape)

    def aligned(self) -> tuple[Chain, ...]:
        """For each activation, what gives all of them one rank: files leave out leading axes of size 1."""
        rank = max(len(shape) for shape in self.input_shapes)
        return tuple(
            () if len(shape) == rank else (ops.Reshape(shape=(1,) * (rank - len(shape)) + shape),)
            for shape in self.input_shapes
        )

    @property
    def input_shape(self) -> Shape:
        """Shape of the first activation."""
        return self.input_shapes[0]

    @property
    def stated_shape(self) -> Shape | None:
        """Shape the file gives the first output; None where it leaves that to the operator."""
        return self.file.tensors[self.operator.outputs[0]].shape or None

    @property
    def stated_shapes(self) -> tuple[Shape, ...]:
        """Shapes the file gives the outputs, for operators whose result cannot be derived."""
        return tuple(self.file.tensors[index].shape for index in self.operator.outputs)

    @property
    def output_dtype(self) -> DType:
        """Element type of the first output."""
        return dtype_of(self.file.tensors[self.operator.outputs[0]])


def dtype_of(tensor: FileTensor) -> DType:
    """What a graph calls a tensor's element type, or what stands in for it."""
    known = schema.DTYPES.get(tensor.element_type)
    return schema.STAND_INS[tensor.element_type] if known is None else known


def is_foreign(tensor: FileTensor) -> bool:
    """Whether graphs lack a tensor's element type; what computes it is not understood either."""
    return tensor.element_type not in schema.DTYPES

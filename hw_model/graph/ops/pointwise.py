"""Operations that keep the shape: normalisations, activations, sums, products, dropout, quantize."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from hw_model.errors import SpecError
from hw_model.graph.ops.base import ActivationName, OpType, require_positive
from hw_model.graph.types import DType, Param, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchNorm(OpType):
    """Batch normalisation over the last axis; folded into the convolution before it for inference."""

    epsilon: float = 1e-3
    momentum: float = 0.99

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        size = (inputs[0][-1],)
        return (
            Param("gamma", size),
            Param("beta", size),
            Param("moving_mean", size, trainable=False),
            Param("moving_variance", size, trainable=False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleShift(OpType):
    """Learned scale and shift of the last axis without statistics (MobileBERT's NoNorm)."""

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        size = (inputs[0][-1],)
        return (Param("gamma", size), Param("beta", size))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerNorm(OpType):
    """Layer normalisation of the last axis."""

    epsilon: float = 1e-12

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        size = (inputs[0][-1],)
        return (Param("gamma", size), Param("beta", size))


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation(OpType):
    """An elementwise non-linearity that stands alone."""

    function: ActivationName


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax(OpType):
    """Softmax over the last axis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(OpType):
    """Elementwise operation of two tensors; an axis of size 1 is broadcast."""

    ARITY: ClassVar[int | None] = 2
    activation: ActivationName | None = None

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        return (_broadcast(*inputs),)


def _broadcast(left: Shape, right: Shape) -> Shape:
    """The shape two operands of one rank have together."""
    if left == right:
        return left
    if len(left) != len(right) or any(
        a != b and 1 not in (a, b) for a, b in zip(left, right, strict=True)
    ):
        raise SpecError("input", f"shapes cannot be combined. Received: {left} and {right}")
    return tuple(max(a, b) for a, b in zip(left, right, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Binary):
    """Elementwise sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mul(Binary):
    """Elementwise product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale(OpType):
    """Product and optional sum with constants known at build time, one per channel or one for all."""

    per_channel: bool = True
    shift: bool = True

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        size = (inputs[0][-1],) if self.per_channel else (1,)
        scale = Param("scale", size, trainable=False)
        return (scale, Param("shift", size, trainable=False)) if self.shift else (scale,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise(OpType):
    """A function of `.tflite` files that the families do not use; `constants` is the shape of a fixed operand."""

    ARITY: ClassVar[int | None] = None
    function: Literal[
        "add",
        "sub",
        "mul",
        "maximum",
        "minimum",
        "prelu",
        "relu_n1_to_1",
        "rsqrt",
        "squared_difference",
    ]
    constants: Shape = ()

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = inputs[0]
        for other in inputs[1:]:
            shape = _broadcast(shape, other)
        missing = len(shape) - len(self.constants)
        if self.constants:
            shape = _broadcast((1,) * -missing + shape, (1,) * missing + self.constants)
        return (shape,)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        return (Param("constants", self.constants, trainable=False),) if self.constants else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout(OpType):
    """Training-time dropout; `per_sample` drops whole samples (drop-connect). Absent from inference."""

    rate: float
    per_sample: bool = False

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if not 0 <= self.rate < 1:
            raise SpecError("rate", f"must be in [0, 1). Received: {self.rate}")
        return inputs[:1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantize(OpType):
    """Change of element type or of its scale and zero point."""

    dtype: DType

    def output_dtype(self, dtype: DType) -> DType:
        return self.dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(OpType):
    """An operation of a file that has no counterpart here; it runs on the host. Shapes are as the file says."""

    ARITY: ClassVar[int | None] = None
    code: str
    output_shapes: tuple[Shape, ...]

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        require_positive("output_shapes", len(self.output_shapes))
        return self.output_shapes

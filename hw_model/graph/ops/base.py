"""What every operation type offers: inferred shapes, owned weights, multiply-adds."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from hw_model.errors import SpecError
from hw_model.graph.types import DType, Param, Shape

Pair = tuple[int, int]
Padding = Literal["same", "valid"]
ActivationName = Literal[
    "relu", "relu6", "hard_swish", "silu", "gelu", "sigmoid", "tanh", "leaky_relu"
]
#: Activations the int8 kernels apply for free while writing their output.
FUSIBLE: frozenset[str] = frozenset({"relu", "relu6"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OpType:
    """An operation without its tensors; equal attributes on equal shapes cost the same."""

    TAGGED: ClassVar[bool] = True
    #: How many inputs are legal; None for any number from 1.
    ARITY: ClassVar[int | None] = 1

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        """Output shapes for these input shapes; raises `SpecError` naming the attribute that cannot be."""
        return inputs[:1]

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        """Weights in the order Keras creates them."""
        return ()

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        """Multiply-adds of one run; zero for everything that is not a convolution or a matrix product."""
        return 0

    def output_dtype(self, dtype: DType) -> DType:
        """Element type written when the first input has `dtype`."""
        return dtype


def require_rank(inputs: tuple[Shape, ...], rank: int) -> Shape:
    """The first input shape when it has `rank` dimensions."""
    shape = inputs[0]
    if len(shape) != rank:
        raise SpecError("input", f"must have {rank} dimensions. Received: {shape}")
    return shape


def require_positive(path: str, *values: int) -> None:
    """Refuses zero and negative attribute values."""
    if min(values) < 1:
        raise SpecError(
            path, f"must be positive. Received: {values if len(values) > 1 else values[0]}"
        )


def out_size(size: int, kernel: int, stride: int, dilation: int, padding: Padding) -> int:
    """Output length of a sliding window along one axis (TensorFlow's SAME and VALID rules)."""
    if padding == "same":
        return -(-size // stride)
    reach = (kernel - 1) * dilation + 1
    if size < reach:
        raise SpecError(
            "kernel", f"window of {reach} does not fit an input of {size}; use padding 'same'"
        )
    return (size - reach) // stride + 1


def window_shape(
    shape: Shape, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding
) -> Pair:
    """Output (H, W) of a sliding window over (N, H, W, C)."""
    require_positive("kernel", *kernel)
    require_positive("stride", *stride)
    require_positive("dilation", *dilation)
    return (
        out_size(shape[1], kernel[0], stride[0], dilation[0], padding),
        out_size(shape[2], kernel[1], stride[1], dilation[1], padding),
    )


def elements(shape: Shape) -> int:
    """Number of elements of a shape."""
    return math.prod(shape)

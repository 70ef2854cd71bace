"""Operations that multiply by weights or by each other: convolutions, dense, matrix product, embedding."""

from dataclasses import dataclass
from typing import ClassVar

from hw_model.errors import SpecError
from hw_model.graph.ops.base import (
    ActivationName,
    OpType,
    Padding,
    Pair,
    elements,
    require_positive,
    require_rank,
    window_shape,
)
from hw_model.graph.types import DType, Param, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv2D(OpType):
    """Convolution of (N, H, W, C); `groups` > 1 is the native grouped form."""

    filters: int
    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Padding = "same"
    groups: int = 1
    bias: bool = False
    activation: ActivationName | None = None

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = require_rank(inputs, 4)
        require_positive("filters", self.filters)
        require_positive("groups", self.groups)
        if shape[3] % self.groups or self.filters % self.groups:
            raise SpecError(
                "groups",
                f"must divide {shape[3]} input and {self.filters} output channels. "
                f"Received: {self.groups}",
            )
        height, width = window_shape(shape, self.kernel, self.stride, self.dilation, self.padding)
        return ((shape[0], height, width, self.filters),)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        kernel = Param("kernel", (*self.kernel, inputs[0][3] // self.groups, self.filters))
        return (kernel, Param("bias", (self.filters,))) if self.bias else (kernel,)

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        taps = self.kernel[0] * self.kernel[1] * inputs[0][3] // self.groups
        return elements(self.infer(inputs)[0]) * taps


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthwiseConv2D(OpType):
    """One filter per channel of (N, H, W, C)."""

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    padding: Padding = "same"
    bias: bool = False
    activation: ActivationName | None = None

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = require_rank(inputs, 4)
        height, width = window_shape(shape, self.kernel, self.stride, self.dilation, self.padding)
        return ((shape[0], height, width, shape[3]),)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        kernel = Param("kernel", (*self.kernel, inputs[0][3], 1))
        return (kernel, Param("bias", (inputs[0][3],))) if self.bias else (kernel,)

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return elements(self.infer(inputs)[0]) * self.kernel[0] * self.kernel[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransposeConv2D(OpType):
    """Transposed convolution of (N, H, W, C): the map of height and width `size` whose convolution has the input's."""

    filters: int
    kernel: Pair
    stride: Pair
    size: Pair
    padding: Padding = "same"
    bias: bool = False
    activation: ActivationName | None = None

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = require_rank(inputs, 4)
        require_positive("filters", self.filters)
        require_positive("size", *self.size)
        grown = (shape[0], *self.size, self.filters)
        back = window_shape(grown, self.kernel, self.stride, (1, 1), self.padding)
        if back != shape[1:3]:
            raise SpecError(
                "size", f"must shrink to {shape[1:3]} by the same window. Received: {self.size}"
            )
        return (grown,)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        kernel = Param("kernel", (*self.kernel, self.filters, inputs[0][3]))
        return (kernel, Param("bias", (self.filters,))) if self.bias else (kernel,)

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return elements(inputs[0]) * self.kernel[0] * self.kernel[1] * self.filters


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupConv2D(OpType):
    """The papers' group convolution: per group of `group_size` filters its own kernel, batch norm, activation.

    Numerically one grouped convolution followed by one batch norm; an inference graph holds either
    slices, plain convolutions and a concatenation, or one native grouped `Conv2D`.
    Source: Akin et al. 2022, section 4.2.
    """

    filters: int
    group_size: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = "same"
    activation: ActivationName | None = "relu"
    epsilon: float = 1e-3
    momentum: float = 0.99

    @property
    def groups(self) -> int:
        """How many independent convolutions."""
        return self.filters // self.group_size

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = require_rank(inputs, 4)
        require_positive("filters", self.filters)
        require_positive("group_size", self.group_size)
        if self.filters % self.group_size or self.groups < 2 or shape[3] % self.groups:
            raise SpecError(
                "group_size",
                f"must split {self.filters} filters into at least 2 equal groups whose number divides "
                f"{shape[3]} input channels. Received: {self.group_size}",
            )
        height, width = window_shape(shape, self.kernel, self.stride, (1, 1), self.padding)
        return ((shape[0], height, width, self.filters),)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        fan_in = inputs[0][3] // self.groups
        size = (self.group_size,)
        kernels = [
            Param(f"kernel_{group}", (*self.kernel, fan_in, self.group_size))
            for group in range(self.groups)
        ]
        norms = [
            Param(f"batch_norm_{group}/{part}", size, trainable=not part.startswith("moving"))
            for group in range(self.groups)
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        ]
        return (*kernels, *norms)

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        taps = self.kernel[0] * self.kernel[1] * inputs[0][3] // self.groups
        return elements(self.infer(inputs)[0]) * taps


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense(OpType):
    """Matrix product of the last axis with a weight matrix."""

    units: int
    bias: bool = True
    activation: ActivationName | None = None

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        require_positive("units", self.units)
        return ((*inputs[0][:-1], self.units),)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        kernel = Param("kernel", (inputs[0][-1], self.units))
        return (kernel, Param("bias", (self.units,))) if self.bias else (kernel,)

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return elements(inputs[0]) * self.units


@dataclass(frozen=True, slots=True, kw_only=True)
class MatMul(OpType):
    """Batched product (..., M, K) x (..., K, N) of two activations."""

    ARITY: ClassVar[int | None] = 2
    transpose_b: bool = False

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        left, right = inputs
        depth, width = (right[-1], right[-2]) if self.transpose_b else (right[-2], right[-1])
        if left[:-2] != right[:-2] or left[-1] != depth:
            raise SpecError("input", f"shapes do not multiply. Received: {left} and {right}")
        return ((*left[:-1], width),)

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return elements(self.infer(inputs)[0]) * inputs[0][-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding(OpType):
    """Gathers rows of a (rows, width) table by integer ids."""

    rows: int
    width: int

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        require_positive("rows", self.rows, self.width)
        return ((*inputs[0], self.width),)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        return (Param("embeddings", (self.rows, self.width)),)

    def output_dtype(self, dtype: DType) -> DType:
        return "float32"

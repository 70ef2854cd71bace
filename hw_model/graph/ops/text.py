"""Operations of language networks: positions, shifted sequences, masks, picked positions, scores of a vocabulary."""

from dataclasses import dataclass
from typing import ClassVar

from hw_model.errors import SpecError
from hw_model.graph.ops.base import OpType, elements, require_positive, require_rank
from hw_model.graph.types import DType, Param, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionEmbedding(OpType):
    """Adds a learned row for each position to (N, L, C); sums of constants when it is executed."""

    rows: int

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = require_rank(inputs, 3)
        if shape[1] > self.rows:
            raise SpecError("rows", f"must be at least {shape[1]} positions. Received: {self.rows}")
        return (shape,)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        return (Param("embeddings", (self.rows, inputs[0][-1])),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift(OpType):
    """Moves (N, L, C) by `steps` positions, later ones for negative steps; zeros take the empty places."""

    steps: int

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        shape = require_rank(inputs, 3)
        if not 0 < abs(self.steps) < shape[1]:
            raise SpecError(
                "steps", f"must be 1 to {shape[1] - 1} either way. Received: {self.steps}"
            )
        return (shape,)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskAdder(OpType):
    """From a mask (N, L) of ones and zeros what scores (N, heads, L, L) get: 0 for ones, `value` for zeros."""

    value: float

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, length = require_rank(inputs, 2)
        return ((batch, 1, 1, length),)

    def output_dtype(self, dtype: DType) -> DType:
        return "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescale(OpType):
    """Product with a number of the architecture; the layer before takes it over when it is executed."""

    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather(OpType):
    """Rows of (N, L, C) at the positions (N, P), to (N, P, C)."""

    ARITY: ClassVar[int | None] = 2

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        batch, _, width = require_rank(inputs, 3)
        if len(inputs[1]) != 2 or inputs[1][0] != batch:
            raise SpecError("input", f"positions must be ({batch}, P). Received: {inputs[1]}")
        return ((*inputs[1], width),)


@dataclass(frozen=True, slots=True, kw_only=True)
class TiedLogits(OpType):
    """Scores of `rows` words by a table that an embedding owns, widened by one of its own, and a bias.

    `table` names the operation that owns the first `width` columns; wider inputs need more of them.
    """

    table: str
    rows: int
    width: int

    def infer(self, inputs: tuple[Shape, ...]) -> tuple[Shape, ...]:
        require_positive("rows", self.rows, self.width)
        if inputs[0][-1] < self.width:
            raise SpecError("width", f"exceeds {inputs[0][-1]} channels. Received: {self.width}")
        return ((*inputs[0][:-1], self.rows),)

    def params(self, inputs: tuple[Shape, ...]) -> tuple[Param, ...]:
        bias = Param("bias", (self.rows,))
        more = inputs[0][-1] - self.width
        return (Param("extra", (self.rows, more)), bias) if more else (bias,)

    def macs(self, inputs: tuple[Shape, ...]) -> int:
        return elements(inputs[0]) * self.rows

"""The operation set of every family: each type knows its shapes, weights and multiply-adds."""

from hw_model.graph.ops.base import FUSIBLE, ActivationName, OpType, Padding, Pair
from hw_model.graph.ops.layout import (
    ArgMax,
    Concat,
    GlobalPool,
    Pad,
    Pool,
    QuantizedArgMax,
    Reduce,
    Reshape,
    Resize,
    ResizeMode,
    Slice,
    Split,
    Transpose,
)
from hw_model.graph.ops.linear import (
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Embedding,
    GroupConv2D,
    MatMul,
    TransposeConv2D,
)
from hw_model.graph.ops.pointwise import (
    Activation,
    Add,
    BatchNorm,
    Dropout,
    Elementwise,
    LayerNorm,
    Mul,
    Opaque,
    Quantize,
    Scale,
    ScaleShift,
    Softmax,
)
from hw_model.graph.ops.text import (
    Gather,
    MaskAdder,
    PositionEmbedding,
    Rescale,
    Shift,
    TiedLogits,
)

#: Every operation type by its name, as graph files spell it.
OP_TYPES: dict[str, type[OpType]] = {
    cls.__name__: cls
    for cls in (
        Activation, Add, ArgMax, BatchNorm, Concat, Conv2D, Dense, DepthwiseConv2D, Dropout, Elementwise,
        Embedding, Gather, GlobalPool, GroupConv2D, LayerNorm, MaskAdder, MatMul, Mul, Opaque, Pad, Pool,
        PositionEmbedding, Quantize, QuantizedArgMax, Reduce, Rescale, Reshape, Resize, Scale, ScaleShift, Shift,
        Slice, Softmax, Split, TiedLogits, Transpose, TransposeConv2D,
    )
}  # fmt: skip

__all__ = [
    "FUSIBLE", "OP_TYPES", "Activation", "ActivationName", "Add", "ArgMax", "BatchNorm", "Concat", "Conv2D",
    "Dense", "DepthwiseConv2D", "Dropout", "Elementwise", "Embedding", "Gather", "GlobalPool", "GroupConv2D",
    "LayerNorm", "MaskAdder", "MatMul", "Mul", "OpType", "Opaque", "Pad", "Padding", "Pair", "Pool",
    "PositionEmbedding", "Quantize", "QuantizedArgMax", "Reduce", "Rescale", "Reshape", "Resize", "ResizeMode",
    "Scale", "ScaleShift", "Shift", "Slice", "Softmax", "Split", "TiedLogits", "Transpose", "TransposeConv2D",
]  # fmt: skip

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

#: Every operation type by its name, as graph files spell it.
OP_TYPES: dict[str, type[OpType]] = {
    cls.__name__: cls
    for cls in (
        Activation, Add, ArgMax, BatchNorm, Concat, Conv2D, Dense, DepthwiseConv2D, Dropout, Elementwise,
        Embedding, GlobalPool, GroupConv2D, LayerNorm, MatMul, Mul, Opaque, Pad, Pool, Quantize,
        QuantizedArgMax, Reduce, Reshape, Resize, Scale, ScaleShift, Slice, Softmax, Split, Transpose,
        TransposeConv2D,
    )
}  # fmt: skip

__all__ = [
    "FUSIBLE", "OP_TYPES", "Activation", "ActivationName", "Add", "ArgMax", "BatchNorm", "Concat", "Conv2D",
    "Dense", "DepthwiseConv2D", "Dropout", "Elementwise", "Embedding", "GlobalPool", "GroupConv2D", "LayerNorm",
    "MatMul", "Mul", "OpType", "Opaque", "Pad", "Padding", "Pair", "Pool", "Quantize", "QuantizedArgMax",
    "Reduce", "Reshape", "Resize", "ResizeMode", "Scale", "ScaleShift", "Slice", "Softmax", "Split", "Transpose",
    "TransposeConv2D",
]  # fmt: skip

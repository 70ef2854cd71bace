"""TFLite operators that move or shape data, and the table of all readings, in terms of the graph's operation set.

A reading turns one operator into the chain of operations that has its effect, the first reading the
operator's activations; None where the set has no counterpart.
"""

import math
from collections.abc import Callable
from typing import Final, Literal

from hw_model.graph import ops
from hw_model.io import tflite_linear as linear
from hw_model.io.tflite_call import Call, Chain


def concat(call: Call) -> Chain | None:
    """CONCATENATION."""
    if len(call.activations) != len(call.operator.inputs):
        return None
    op = ops.Concat(axis=_from_end(call, call.option(0, "i")))
    return call.with_activation(op, call.option(1, "b"))


def _from_end(call: Call, axis: int) -> int:
    """Axes count from the end, as lowerings write them."""
    return call.positive_axis(axis) - len(call.input_shape)


def pool(call: Call) -> Chain | None:
    """AVERAGE_POOL_2D and MAX_POOL_2D."""
    op = ops.Pool(
        mode="average" if call.operator.code == "AVERAGE_POOL_2D" else "max",
        kernel=(call.extent(4), call.extent(3)),
        stride=(call.extent(2), call.extent(1)),
        padding=call.padding(),
    )
    return call.with_activation(op, call.option(5, "b"))


def reduce_map(call: Call) -> Chain | None:
    """MEAN and REDUCE_MAX, where they reduce height and width."""
    axes = call.values(1)
    shape = call.input_shape
    if len(shape) != 4 or axes is None or sorted(axis % 4 for axis in axes) != [1, 2]:
        return None
    keep_dims = bool(call.option(0, "?"))
    if call.operator.code == "MEAN":
        return (ops.GlobalPool(keep_dims=keep_dims),)
    batch, height, width, channels = shape
    whole = ops.Pool(mode="max", kernel=(height, width), stride=(height, width))
    return (whole,) if keep_dims else (whole, ops.Reshape(shape=(batch, channels)))


def reshape(call: Call) -> Chain | None:
    """RESHAPE; a shape computed while running has no counterpart."""
    if len(call.activations) != 1:
        return None
    target = call.values(1) or (call.operator.options.ints(0) if call.operator.options else ())
    if list(target).count(-1) == 1:
        known = math.prod(size for size in target if size != -1)
        target = [size if size != -1 else call.elements_in() // max(known, 1) for size in target]
    return (ops.Reshape(shape=call.stated_shape or tuple(target)),)


def squeeze(call: Call) -> Chain | None:
    """SQUEEZE of the axes named, or of all of size 1."""
    named = call.operator.options.ints(0) if call.operator.options else ()
    axes = {call.positive_axis(axis) for axis in named}
    kept = tuple(
        size
        for axis, size in enumerate(call.input_shape)
        if (axis not in axes if axes else size != 1)
    )
    return (ops.Reshape(shape=kept),)


def expand_dims(call: Call) -> Chain | None:
    """EXPAND_DIMS."""
    axis = call.values(1)
    if axis is None or len(axis) != 1:
        return None
    shape = list(call.input_shape)
    shape.insert(axis[0] if axis[0] >= 0 else axis[0] + len(shape) + 1, 1)
    return (ops.Reshape(shape=tuple(shape)),)


def slice_fixed(call: Call) -> Chain | None:
    """SLICE; a size of -1 reaches to the end."""
    begin, size = call.values(1), call.values(2)
    shape = call.input_shape
    if begin is None or size is None or not len(begin) == len(size) == len(shape):
        return None
    sizes = tuple(
        extent - start if taken == -1 else taken
        for start, taken, extent in zip(begin, size, shape, strict=True)
    )
    return (ops.Slice(begin=tuple(begin), sizes=sizes),)


def strided_slice(call: Call) -> Chain | None:
    """STRIDED_SLICE forwards, without new axes."""
    shape = call.input_shape
    begin, end, steps = call.values(1), call.values(2), call.values(3)
    if begin is None or end is None or steps is None:
        return None
    if call.option(2, "i") or call.option(3, "i") or call.option(5, "?"):
        return None  # an ellipsis, a new axis, or ends counted from the beginnings
    if not len(begin) == len(end) == len(steps) <= len(shape) or min(steps, default=1) < 1:
        return None
    masks = [call.option(slot, "i") for slot in (0, 1, 4)]
    cuts = [(0, extent, 1) for extent in shape]
    for axis, step in enumerate(steps):
        from_start, to_end, shrinks = (mask >> axis & 1 for mask in masks)
        start = 0 if from_start and not shrinks else _clip(begin[axis], shape[axis])
        stop = shape[axis] if to_end else _clip(end[axis], shape[axis])
        stop = start + 1 if shrinks else stop
        cuts[axis] = (start, -(-(stop - start) // step), step)
    starts, sizes, strides = zip(*cuts, strict=True)
    cut = ops.Slice(
        begin=starts, sizes=sizes, strides=() if set(strides) == {1} else tuple(strides)
    )
    if not masks[2]:
        return (cut,)
    rest = tuple(size for axis, size in enumerate(sizes) if not masks[2] >> axis & 1)
    return (cut, ops.Reshape(shape=rest))


def _clip(position: int, extent: int) -> int:
    return min(max(position + extent if position < 0 else position, 0), extent)


def split(call: Call) -> Chain | None:
    """SPLIT, and SPLIT_V with equal parts."""
    axis = call.values(0 if call.operator.code == "SPLIT" else 2)
    if axis is None or len(axis) != 1 or len(call.activations) != 1:
        return None
    if call.operator.code == "SPLIT_V" and len(set(call.values(1) or (0, 1))) != 1:
        return None
    return (ops.Split(parts=len(call.operator.outputs), axis=_from_end(call, axis[0])),)


def pad(call: Call) -> Chain | None:
    """PAD and PADV2."""
    flat = call.values(1)
    if flat is None or len(flat) != 2 * len(call.input_shape):
        return None
    return (ops.Pad(padding=tuple(zip(flat[::2], flat[1::2], strict=True))),)


def transpose(call: Call) -> Chain | None:
    """TRANSPOSE."""
    order = call.values(1)
    return None if order is None else (ops.Transpose(permutation=tuple(order)),)


def arg_max(call: Call) -> Chain | None:
    """ARG_MAX over the last axis."""
    axis = call.values(1)
    rank = len(call.input_shape)
    if axis not in ([-1], [rank - 1]) or call.output_dtype not in ("int32", "int64"):
        return None
    return (ops.ArgMax(dtype=call.output_dtype),)


def resize(call: Call) -> Chain | None:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""
    size = call.values(1)
    if size is None or len(size) != 2:
        return None
    mode: Literal["bilinear", "nearest"] = (
        "bilinear" if call.operator.code == "RESIZE_BILINEAR" else "nearest"
    )
    return (ops.Resize(mode=mode, size=(size[0], size[1])),)


def retype(call: Call) -> Chain | None:
    """QUANTIZE, DEQUANTIZE and CAST."""
    return (ops.Quantize(dtype=call.output_dtype),)


def elementwise(op: ops.OpType) -> Callable[[Call], Chain | None]:
    """An operator that is an operation as it stands."""
    return lambda call: (op,) if len(call.activations) == 1 else None


#: Operators whose operands may differ in rank.
BROADCASTING: Final = frozenset({"ADD", "SUB", "MUL"})

#: Reading of each operator that has a counterpart; every other one becomes `Opaque`.
READINGS: Final[dict[str, Callable[[Call], Chain | None]]] = {
    "ADD": linear.add, "SUB": linear.add, "MUL": linear.multiply,
    "CONV_2D": linear.convolution, "DEPTHWISE_CONV_2D": linear.depthwise,
    "FULLY_CONNECTED": linear.fully_connected, "BATCH_MATMUL": linear.batch_matmul,
    "GATHER": linear.gather, "EMBEDDING_LOOKUP": linear.embedding_lookup,
    "CONCATENATION": concat, "AVERAGE_POOL_2D": pool, "MAX_POOL_2D": pool, "MEAN": reduce_map,
    "REDUCE_MAX": reduce_map, "RESHAPE": reshape, "SQUEEZE": squeeze, "EXPAND_DIMS": expand_dims,
    "SLICE": slice_fixed, "STRIDED_SLICE": strided_slice, "SPLIT": split, "SPLIT_V": split,
    "PAD": pad, "PADV2": pad, "TRANSPOSE": transpose, "ARG_MAX": arg_max, "RESIZE_BILINEAR": resize,
    "RESIZE_NEAREST_NEIGHBOR": resize, "QUANTIZE": retype, "DEQUANTIZE": retype, "CAST": retype,
    "SOFTMAX": elementwise(ops.Softmax()),
    "RELU": elementwise(ops.Activation(function="relu")),
    "RELU6": elementwise(ops.Activation(function="relu6")),
    "HARD_SWISH": elementwise(ops.Activation(function="hard_swish")),
    "LOGISTIC": elementwise(ops.Activation(function="sigmoid")),
    "TANH": elementwise(ops.Activation(function="tanh")),
    "GELU": elementwise(ops.Activation(function="gelu")),
    "LEAKY_RELU": elementwise(ops.Activation(function="leaky_relu")),
}  # fmt: skip


def chain_of(call: Call) -> Chain:
    """The operations an operator stands for."""
    reading = READINGS.get(call.operator.code)
    chain = reading(call) if reading and not call.operator.custom else None
    if chain is None:
        return (ops.Opaque(code=call.operator.code, output_shapes=call.stated_shapes),)
    return chain

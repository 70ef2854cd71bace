"""Every TFLite operator that has a counterpart in the graph's operation set, and how each is read."""

from collections.abc import Callable
from typing import Any, Final

from hw_model.graph import ops
from hw_model.io import tflite_layout as layout
from hw_model.io import tflite_linear as linear
from hw_model.io.tflite_call import Call, Chain, Plan, Reading, is_foreign

_REDUCTIONS: Final[dict[str, Any]] = {
    "MEAN": "mean", "SUM": "sum", "REDUCE_MAX": "max", "REDUCE_MIN": "min",
}  # fmt: skip


def reduction(call: Call) -> Chain | None:
    """MEAN, SUM, REDUCE_MAX and REDUCE_MIN; over height and width they are pooling."""
    named, shape = call.values(1), call.input_shape
    if named is None:
        return None
    axes = sorted({call.positive_axis(axis) for axis in named})
    keep_dims = bool(call.option(0, "?"))
    function = _REDUCTIONS[call.operator.code]
    if len(shape) == 4 and axes == [1, 2]:
        if function == "mean":
            return (ops.GlobalPool(keep_dims=keep_dims),)
        if function == "max":
            whole = ops.Pool(mode="max", kernel=shape[1:3], stride=shape[1:3])
            return (whole,) if keep_dims else (whole, ops.Reshape(shape=(shape[0], shape[3])))
    counted = tuple(axis - len(shape) for axis in axes)
    return (ops.Reduce(function=function, axes=counted, keep_dims=keep_dims),)


def arg_max(call: Call) -> Chain | None:
    """ARG_MAX; an axis that is not the last one is brought there first."""
    named, dtype, rank = call.values(1), call.output_dtype, len(call.input_shape)
    if named is None or len(named) != 1 or dtype not in ("int32", "int64"):
        return None
    axis = call.positive_axis(named[0])
    found = ops.ArgMax(dtype=dtype)
    if axis == rank - 1:
        return (found,)
    order = (*range(axis), *range(axis + 1, rank), axis)
    return (ops.Transpose(permutation=order), found)


def gather(call: Call) -> Chain | None:
    """GATHER of rows of a constant table, or of parts of an activation."""
    return linear.gather(call) if call.is_constant(0) else layout.gather_fixed(call)


def retype(call: Call) -> Chain | None:
    """QUANTIZE, DEQUANTIZE and CAST."""
    return (ops.Quantize(dtype=call.output_dtype),)


def alone(op: ops.OpType) -> Callable[[Call], Chain | None]:
    """An operator of one activation that is an operation as it stands."""
    return lambda call: (op,) if len(call.activations) == 1 else None


def elementwise(function: Any, operands: int | None) -> Callable[[Call], Reading]:
    """A function of `operands` tensors, one of which may be constant; None for any number of activations."""

    def read(call: Call) -> Reading:
        given = len(call.operator.inputs)
        if operands not in (None, given):
            return None
        if len(call.activations) == given:
            return Plan(before=call.aligned(), chain=(ops.Elementwise(function=function),))
        constant = call.constant_shape(0 if call.is_constant(0) else 1) if given == 2 else None
        return None if constant is None else linear.with_constant(call, function, constant)

    return read


#: Reading of each operator that has a counterpart; every other one becomes `Opaque`.
READINGS: Final[dict[str, Callable[[Call], Reading]]] = {
    "ADD": linear.add, "SUB": linear.add, "MUL": linear.multiply,
    "CONV_2D": linear.convolution, "DEPTHWISE_CONV_2D": linear.depthwise,
    "TRANSPOSE_CONV": linear.transpose_convolution,
    "FULLY_CONNECTED": linear.fully_connected, "BATCH_MATMUL": linear.batch_matmul,
    "GATHER": gather, "EMBEDDING_LOOKUP": linear.embedding_lookup,
    "CONCATENATION": layout.concat, "PACK": layout.pack, "UNPACK": layout.unpack,
    "AVERAGE_POOL_2D": layout.pool, "MAX_POOL_2D": layout.pool,
    "MEAN": reduction, "SUM": reduction, "REDUCE_MAX": reduction, "REDUCE_MIN": reduction,
    "RESHAPE": layout.reshape, "SQUEEZE": layout.squeeze, "EXPAND_DIMS": layout.expand_dims,
    "SLICE": layout.slice_fixed, "STRIDED_SLICE": layout.strided_slice,
    "SPLIT": layout.split, "SPLIT_V": layout.split, "PAD": layout.pad, "PADV2": layout.pad,
    "TRANSPOSE": layout.transpose, "DEPTH_TO_SPACE": layout.depth_to_space,
    "SPACE_TO_DEPTH": layout.space_to_depth, "ARG_MAX": arg_max,
    "RESIZE_BILINEAR": layout.resize, "RESIZE_NEAREST_NEIGHBOR": layout.resize,
    "QUANTIZE": retype, "DEQUANTIZE": retype, "CAST": retype,
    "SOFTMAX": alone(ops.Softmax()),
    "RELU": alone(ops.Activation(function="relu")),
    "RELU6": alone(ops.Activation(function="relu6")),
    "HARD_SWISH": alone(ops.Activation(function="hard_swish")),
    "LOGISTIC": alone(ops.Activation(function="sigmoid")),
    "TANH": alone(ops.Activation(function="tanh")),
    "GELU": alone(ops.Activation(function="gelu")),
    "LEAKY_RELU": alone(ops.Activation(function="leaky_relu")),
    "RELU_N1_TO_1": elementwise("relu_n1_to_1", 1), "RSQRT": elementwise("rsqrt", 1),
    "MAXIMUM": elementwise("maximum", 2), "MINIMUM": elementwise("minimum", 2),
    "SQUARED_DIFFERENCE": elementwise("squared_difference", 2), "PRELU": elementwise("prelu", 2),
    "ADD_N": elementwise("add", None),
}  # fmt: skip


def plan_of(call: Call) -> Plan:
    """The operations an operator stands for."""
    reading = None if call.operator.custom else READINGS.get(call.operator.code)
    touched = (*call.activations, *call.operator.outputs)
    if reading is None or any(is_foreign(call.file.tensors[index]) for index in touched):
        return opaque(call)
    found = reading(call)
    if found is None:
        return opaque(call)
    return found if isinstance(found, Plan) else Plan(chain=found)


def opaque(call: Call) -> Plan:
    """An operator without counterpart, its shapes as the file says."""
    code = call.operator.code
    return Plan(chain=(ops.Opaque(code=code, output_shapes=call.stated_shapes),))

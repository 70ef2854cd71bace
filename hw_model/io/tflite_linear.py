"""TFLite operators with weights or two operands, in terms of the graph's operation set."""

from typing import Any

from hw_model.errors import SpecError
from hw_model.graph import ops
from hw_model.graph.types import Shape
from hw_model.io.tflite_call import Call, Chain, Plan, Reading


def convolution(call: Call) -> Chain | None:
    """CONV_2D; the number of groups follows from how many input channels one filter reads."""
    weights = call.constant_shape(1)
    if weights is None or len(weights) != 4 or len(call.input_shape) != 4:
        return None
    filters, height, width, depth = weights
    groups, rest = divmod(call.input_shape[3], depth) if depth else (0, 1)
    if rest or not groups:
        raise SpecError(
            "filter", f"of shape {weights} does not divide {call.input_shape[3]} channels"
        )
    op = ops.Conv2D(
        filters=filters,
        kernel=(height, width),
        stride=(call.extent(2), call.extent(1)),
        dilation=(call.extent(5, 1), call.extent(4, 1)),
        padding=call.padding(),
        groups=groups,
        bias=call.is_constant(2),
    )
    return call.with_fused(op, call.option(3, "b"))


def depthwise(call: Call) -> Chain | None:
    """DEPTHWISE_CONV_2D; with several filters per channel it is a grouped convolution."""
    weights = call.constant_shape(1)
    if weights is None or len(weights) != 4 or len(call.input_shape) != 4:
        return None
    _, height, width, filters = weights
    channels = call.input_shape[3]
    common = {
        "kernel": (height, width),
        "stride": (call.extent(2), call.extent(1)),
        "dilation": (call.extent(6, 1), call.extent(5, 1)),
        "padding": call.padding(),
        "bias": call.is_constant(2),
    }
    op: ops.OpType
    if filters == channels:
        op = ops.DepthwiseConv2D(**common)  # type: ignore[arg-type]
    else:
        op = ops.Conv2D(filters=filters, groups=channels, **common)  # type: ignore[arg-type]
    return call.with_fused(op, call.option(4, "b"))


def transpose_convolution(call: Call) -> Chain | None:
    """TRANSPOSE_CONV: output shape, weights, activation, bias."""
    weights = call.constant_shape(1)
    sizes = call.stated_shape or tuple(call.values(0) or ())
    if weights is None or len(weights) != 4 or len(sizes) != 4 or call.is_constant(2):
        return None
    if len(call.activations) != 1 or len(call.input_shape) != 4:
        return None
    filters, height, width, depth = weights
    if depth != call.input_shape[3]:
        raise SpecError("filter", f"of shape {weights} does not fit {call.input_shape[3]} channels")
    op = ops.TransposeConv2D(
        filters=filters,
        kernel=(height, width),
        stride=(call.extent(2), call.extent(1)),
        size=(sizes[1], sizes[2]),
        padding=call.padding(),
        bias=call.is_constant(3),
    )
    return call.with_fused(op, call.option(3, "b"))


def fully_connected(call: Call) -> Chain | None:
    """FULLY_CONNECTED; it flattens its input unless told to keep the dimensions."""
    weights = call.constant_shape(1)
    if call.option(1, "b") or len(call.activations) != 1:  # shuffled weights, or weights computed
        return None
    if weights is None or len(weights) != 2:
        return None
    units, depth = weights
    shape, stated = call.input_shape, call.stated_shape
    if not depth or not units:
        raise SpecError("filter", f"must not be empty. Received: {weights}")
    flat: Shape = (call.elements_in() // depth, depth)
    keep = bool(call.option(2, "?")) and shape[-1:] == (depth,)
    before = () if keep or flat == shape else (ops.Reshape(shape=flat),)
    made = (*(shape if keep else flat)[:-1], units)
    after = () if stated in (None, made) else (ops.Reshape(shape=stated),)
    dense = ops.Dense(units=units, bias=call.is_constant(2))
    return (*before, *call.with_fused(dense, call.option(0, "b")), *after)


def batch_matmul(call: Call) -> Reading:
    """BATCH_MATMUL of two activations, or of one with a constant matrix."""
    turned = _swapped(len(call.input_shape)) if call.option(0, "?") else ()
    transpose_b = bool(call.option(1, "?"))
    if len(call.activations) == 2:
        left, right = call.input_shapes
        same_batch = len(left) == len(right) >= 2 and left[:-2] == right[:-2]
        chain = (ops.MatMul(transpose_b=transpose_b),)
        return Plan(before=(turned, ()), chain=chain) if same_batch else None
    matrix = call.constant_shape(1)
    if matrix is None or len(matrix) < 2 or any(size != 1 for size in matrix[:-2]):
        return None
    if not 2 <= len(matrix) <= len(call.input_shape):
        return None
    return (*turned, ops.Dense(units=matrix[-2 if transpose_b else -1], bias=False))


def _swapped(rank: int) -> Chain:
    """The last two axes in the other order."""
    return (ops.Transpose(permutation=(*range(rank - 2), rank - 1, rank - 2)),)


def add(call: Call) -> Reading:
    """ADD and SUB; adding a constant is a shift."""
    return _binary(call, ops.Add(), shift=True)


def multiply(call: Call) -> Reading:
    """MUL; multiplying by a constant is a scale."""
    return _binary(call, ops.Mul(), shift=False)


def _binary(call: Call, op: ops.Add | ops.Mul, *, shift: bool) -> Reading:
    fused = call.option(0, "b")
    if len(call.operator.inputs) != 2:
        return None
    if len(call.activations) == 2:
        return Plan(before=call.aligned(), chain=call.with_fused(op, fused))
    constant = call.constant_shape(0 if call.is_constant(0) else 1)
    if constant is None:
        return None
    if not _fits_into(constant, call.input_shape):
        return with_constant(call, call.operator.code.lower(), constant, fused)
    one = all(size == 1 for size in constant)
    return call.with_activation(ops.Scale(per_channel=not one, shift=shift), fused)


def with_constant(call: Call, function: Any, constant: Shape, fused: int = 0) -> Chain:
    """A function of the activation and a constant."""
    op = ops.Elementwise(function=function, constants=constant)
    return call.with_activation(op, fused)


def _fits_into(constant: Shape, shape: Shape) -> bool:
    """Whether a constant broadcasts to an activation's shape without making it larger."""
    if len(constant) > len(shape):
        return False
    pairs = zip(reversed(constant), reversed(shape), strict=False)
    return all(size in (1, extent) for size, extent in pairs)


def gather(call: Call) -> Chain | None:
    """GATHER of rows of a constant table."""
    table = call.constant_shape(0)
    if call.option(0, "i") or call.option(1, "i"):
        return None
    return _lookup(table, call)


def embedding_lookup(call: Call) -> Chain | None:
    """EMBEDDING_LOOKUP, whose table is the second operand."""
    return _lookup(call.constant_shape(1), call)


def _lookup(table: Shape | None, call: Call) -> Chain | None:
    if table is None or len(table) != 2 or len(call.activations) != 1:
        return None
    return (ops.Embedding(rows=table[0], width=table[1]),)

"""TFLite operators that move, cut, join or pool data, in terms of the graph's operation set.

A reading turns one operator into what has its effect; None where the set has no counterpart.
"""

import math
from typing import Literal

from hw_model.errors import SpecError
from hw_model.graph import ops
from hw_model.graph.types import Shape
from hw_model.io.tflite_call import Call, Chain, Plan


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


def pack(call: Call) -> Plan | None:
    """PACK: every part gets an axis of size 1, then they are joined along it."""
    parts = len(call.activations)
    if parts != len(call.operator.inputs):
        return None
    rank = len(call.input_shape) + 1
    axis = call.option(1, "i")
    if not -rank <= axis < rank:
        raise SpecError("axis", f"must be within {rank} dimensions. Received: {axis}")
    axis %= rank
    grown = tuple((*shape[:axis], 1, *shape[axis:]) for shape in call.input_shapes)
    wider: list[Chain] = [(ops.Reshape(shape=shape),) for shape in grown]
    if parts == 1:
        return Plan(chain=wider[0])
    return Plan(before=tuple(wider), chain=(ops.Concat(axis=axis - rank),))


def unpack(call: Call) -> Plan | None:
    """UNPACK: cut along an axis, which every part then loses."""
    axis, parts = call.positive_axis(call.option(1, "i")), len(call.operator.outputs)
    shape = call.input_shape
    if shape[axis] != parts:
        raise SpecError("outputs", f"must be {shape[axis]}. Received: {parts}")
    rest = ops.Reshape(shape=shape[:axis] + shape[axis + 1 :])
    if parts == 1:
        return Plan(chain=(rest,))
    return Plan(chain=(ops.Split(parts=parts, axis=axis - len(shape)),), after=(rest,) * parts)


def depth_to_space(call: Call) -> Chain | None:
    """DEPTH_TO_SPACE: channels become positions."""
    size = call.extent(0)
    if len(call.input_shape) != 4:
        return None
    batch, height, width, channels = call.input_shape
    split = (batch, height, width, size, size, channels // (size * size))
    return _reordered(
        split, (0, 1, 3, 2, 4, 5), (batch, height * size, width * size, channels // (size * size))
    )


def space_to_depth(call: Call) -> Chain | None:
    """SPACE_TO_DEPTH: positions become channels."""
    size = call.extent(0)
    if len(call.input_shape) != 4:
        return None
    batch, height, width, channels = call.input_shape
    split = (batch, height // size, size, width // size, size, channels)
    return _reordered(
        split, (0, 1, 3, 2, 4, 5), (batch, height // size, width // size, channels * size * size)
    )


def _reordered(split: Shape, order: tuple[int, ...], shape: Shape) -> Chain:
    return (
        ops.Reshape(shape=split),
        ops.Transpose(permutation=order),
        ops.Reshape(shape=shape),
    )


def gather_fixed(call: Call) -> Chain | None:
    """GATHER from an activation at constant, evenly spaced indices: a strided cut."""
    picked, shape = call.values(1), call.input_shape
    axis = call.positive_axis(call.option(0, "i"))
    if not picked or call.option(1, "i"):
        return None
    step = picked[1] - picked[0] if len(picked) > 1 else 1
    if step < 1 or picked != list(range(picked[0], picked[0] + step * len(picked), step)):
        return None

    def along(value: int, others: tuple[int, ...]) -> tuple[int, ...]:
        return (*others[:axis], value, *others[axis + 1 :])

    ones = (1,) * len(shape)
    cut = ops.Slice(
        begin=along(picked[0], (0,) * len(shape)),
        sizes=along(len(picked), shape),
        strides=() if step == 1 else along(step, ones),
    )
    indices = call.constant_shape(1) or ()
    if len(indices) == 1:
        return (cut,)
    return (cut, ops.Reshape(shape=shape[:axis] + indices + shape[axis + 1 :]))


def resize(call: Call) -> Chain | None:
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR."""
    size = call.values(1)
    if size is None or len(size) != 2:
        return None
    mode: Literal["bilinear", "nearest"] = (
        "bilinear" if call.operator.code == "RESIZE_BILINEAR" else "nearest"
    )
    return (ops.Resize(mode=mode, size=(size[0], size[1])),)

"""Operation types: shapes, weights and multiply-adds from first principles, and attributes that cannot be."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model.errors import SpecError
from hw_model.graph import GraphBuilder, ops

IMAGE = ((1, 9, 7, 12),)


@given(
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(("same", "valid")),
)
def test_window_sizes_are_counted_by_sliding_it(
    size: int, kernel: int, stride: int, dilation: int, padding: Any
) -> None:
    op = ops.Conv2D(
        filters=4, kernel=(kernel, 1), stride=(stride, 1), dilation=(dilation, 1), padding=padding
    )
    reach = (kernel - 1) * dilation + 1
    if padding == "valid" and reach > size:
        with pytest.raises(SpecError, match="does not fit"):
            op.infer(((1, size, 3, 2),))
        return
    if padding == "valid":
        positions = [start for start in range(0, size, stride) if start + reach <= size]
    else:
        positions = list(range(0, size, stride))
    assert op.infer(((1, size, 3, 2),)) == ((1, len(positions), 3, 4),)


@pytest.mark.parametrize(
    ("op", "inputs", "shape", "weights", "macs"),
    [
        (ops.Conv2D(filters=8, kernel=(3, 3), stride=(2, 2), bias=True), IMAGE, (1, 5, 4, 8), 872, 20 * 8 * 108),
        (ops.Conv2D(filters=8, kernel=(3, 3), groups=4), IMAGE, (1, 9, 7, 8), 216, 63 * 8 * 27),
        (ops.DepthwiseConv2D(kernel=(5, 5)), IMAGE, (1, 9, 7, 12), 300, 63 * 12 * 25),
        (ops.GroupConv2D(filters=8, group_size=4, kernel=(3, 3)), IMAGE, (1, 9, 7, 8), 432 + 32, 63 * 8 * 54),
        (ops.TransposeConv2D(filters=8, kernel=(3, 3), stride=(2, 2), size=(17, 14), bias=True), IMAGE, (1, 17, 14, 8),
         872, 63 * 12 * 72),
        (ops.Dense(units=5), ((2, 12),), (2, 5), 65, 120),
        (ops.MatMul(), ((2, 3, 4), (2, 4, 5)), (2, 3, 5), 0, 120),
        (ops.MatMul(transpose_b=True), ((2, 3, 4), (2, 5, 4)), (2, 3, 5), 0, 120),
        (ops.Embedding(rows=10, width=4), ((1, 6),), (1, 6, 4), 40, 0),
        (ops.PositionEmbedding(rows=10), ((1, 6, 4),), (1, 6, 4), 40, 0),
        (ops.Shift(steps=-5), ((1, 6, 4),), (1, 6, 4), 0, 0),
        (ops.MaskAdder(value=-120.0), ((1, 6),), (1, 1, 1, 6), 0, 0),
        (ops.Rescale(factor=0.5), IMAGE, IMAGE[0], 0, 0),
        (ops.Gather(), ((1, 6, 4), (1, 2)), (1, 2, 4), 0, 0),
        (ops.TiedLogits(table="words", rows=10, width=3), ((1, 2, 4),), (1, 2, 10), 20, 80),
        (ops.TiedLogits(table="words", rows=10, width=4), ((1, 2, 4),), (1, 2, 10), 10, 80),
        (ops.BatchNorm(), IMAGE, IMAGE[0], 48, 0),
        (ops.LayerNorm(), IMAGE, IMAGE[0], 24, 0),
        (ops.ScaleShift(), IMAGE, IMAGE[0], 24, 0),
        (ops.Add(), (IMAGE[0], (1, 1, 1, 12)), IMAGE[0], 0, 0),
        (ops.Elementwise(function="prelu", constants=(7, 12)), IMAGE, IMAGE[0], 84, 0),
        (ops.Elementwise(function="maximum", constants=(2, 1, 1, 1, 1)), IMAGE, (2, 1, 9, 7, 12), 2, 0),
        (ops.Elementwise(function="add"), (IMAGE[0],) * 3, IMAGE[0], 0, 0),
        (ops.Reduce(function="mean", axes=(-1, 1)), IMAGE, (1, 7), 0, 0),
        (ops.Reduce(function="sum", axes=(3,), keep_dims=True), IMAGE, (1, 9, 7, 1), 0, 0),
        (ops.Concat(), (IMAGE[0], (1, 9, 7, 3)), (1, 9, 7, 15), 0, 0),
        (ops.Split(parts=3), IMAGE, (1, 9, 7, 4), 0, 0),
        (ops.Slice(begin=(0, 1, 0, 4), sizes=(1, 4, 7, 8), strides=(1, 2, 1, 1)), IMAGE, (1, 4, 7, 8), 0, 0),
        (ops.Pad(padding=((0, 0), (1, 2), (0, 0), (0, 0))), IMAGE, (1, 12, 7, 12), 0, 0),
        (ops.Pool(mode="max", kernel=(2, 2), stride=(2, 2)), IMAGE, (1, 4, 3, 12), 0, 0),
        (ops.GlobalPool(), IMAGE, (1, 12), 0, 0),
        (ops.GlobalPool(keep_dims=True), IMAGE, (1, 1, 1, 12), 0, 0),
        (ops.Resize(mode="nearest", size=(4, 20)), IMAGE, (1, 4, 20, 12), 0, 0),
        (ops.Reshape(shape=(63, 12)), IMAGE, (63, 12), 0, 0),
        (ops.Transpose(permutation=(0, 3, 1, 2)), IMAGE, (1, 12, 9, 7), 0, 0),
        (ops.ArgMax(), IMAGE, (1, 9, 7), 0, 0),
        (ops.QuantizedArgMax(), IMAGE, (1, 9, 7, 1), 0, 0),
        (ops.Softmax(), IMAGE, IMAGE[0], 0, 0),
        (ops.Quantize(dtype="int8"), IMAGE, IMAGE[0], 0, 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ops.OpType) else "",
)  # fmt: skip
def test_shapes_weights_and_macs(op: Any, inputs: Any, shape: Any, weights: int, macs: int) -> None:
    assert op.infer(inputs)[0] == shape
    assert sum(param.size for param in op.params(inputs)) == weights
    assert op.macs(inputs) == macs


@pytest.mark.parametrize(
    ("op", "inputs", "path"),
    [
        (ops.Conv2D(filters=8, kernel=(3, 3), groups=5), IMAGE, "groups"),
        (ops.Conv2D(filters=0, kernel=(3, 3)), IMAGE, "filters"),
        (ops.Conv2D(filters=8, kernel=(0, 3)), IMAGE, "kernel"),
        (ops.Conv2D(filters=8, kernel=(3, 3)), ((9, 7, 12),), "input"),
        (ops.DepthwiseConv2D(kernel=(3, 3), stride=(0, 1)), IMAGE, "stride"),
        (ops.GroupConv2D(filters=8, group_size=8, kernel=(3, 3)), IMAGE, "group_size"),
        (ops.GroupConv2D(filters=40, group_size=8, kernel=(3, 3)), IMAGE, "group_size"),
        (
            ops.TransposeConv2D(filters=8, kernel=(3, 3), stride=(2, 2), size=(19, 14)),
            IMAGE,
            "size",
        ),
        (ops.Reduce(function="sum", axes=(4,)), IMAGE, "axis"),
        (ops.QuantizedArgMax(), ((1, 9, 7, 257),), "input"),
        (ops.Elementwise(function="maximum", constants=(5,)), IMAGE, "input"),
        (ops.MatMul(), ((2, 3, 4), (2, 5, 4)), "input"),
        (ops.Add(), (IMAGE[0], (1, 9, 7, 5)), "input"),
        (ops.Add(), (IMAGE[0], (12,)), "input"),
        (ops.Concat(axis=5), IMAGE, "axis"),
        (ops.Concat(axis=1), (IMAGE[0], (1, 9, 6, 12)), "input"),
        (ops.Split(parts=5), IMAGE, "parts"),
        (ops.Slice(begin=(0, 0, 0, 8), sizes=(1, 9, 7, 8)), IMAGE, "sizes"),
        (ops.Slice(begin=(0, 0), sizes=(1, 9)), IMAGE, "begin"),
        (ops.Pad(padding=((0, -1),) * 4), IMAGE, "padding"),
        (ops.Resize(mode="bilinear", size=(0, 4)), IMAGE, "size"),
        (ops.Reshape(shape=(63, 13)), IMAGE, "shape"),
        (ops.Transpose(permutation=(0, 1, 2, 2)), IMAGE, "permutation"),
        (ops.Dropout(rate=1.0), IMAGE, "rate"),
        (ops.PositionEmbedding(rows=5), ((1, 6, 4),), "rows"),
        (ops.Shift(steps=6), ((1, 6, 4),), "steps"),
        (ops.Shift(steps=0), ((1, 6, 4),), "steps"),
        (ops.MaskAdder(value=-120.0), ((1, 6, 4),), "input"),
        (ops.Gather(), ((1, 6, 4), (2, 2)), "input"),
        (ops.TiedLogits(table="words", rows=10, width=5), ((1, 2, 4),), "width"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, ops.OpType) else "",
)
def test_impossible_attributes_are_named(op: Any, inputs: Any, path: str) -> None:
    with pytest.raises(SpecError) as caught:
        op.infer(inputs)
    assert caught.value.path == path


def test_a_group_convolution_computes_what_its_shapes_say() -> None:
    one = ops.GroupConv2D(filters=8, group_size=4, kernel=(3, 3))
    native = ops.Conv2D(filters=8, kernel=(3, 3), groups=2)
    assert one.macs(IMAGE) == native.macs(IMAGE)
    kernels = [param for param in one.params(IMAGE) if param.name.startswith("kernel")]
    assert sum(param.size for param in kernels) == native.params(IMAGE)[0].size


def test_every_operation_type_is_registered_once_and_documented() -> None:
    assert set(ops.OP_TYPES) == {cls.__name__ for cls in ops.OP_TYPES.values()}
    assert all(cls.__doc__ for cls in ops.OP_TYPES.values())
    assert {"relu", "relu6"} == ops.FUSIBLE


def test_the_builder_names_the_operation_an_error_is_in() -> None:
    b = GraphBuilder()
    x = b.input((1, 8, 8, 6))
    with pytest.raises(SpecError, match=r"^bad\.group_size"):
        b.group_conv(x, 12, 3, group_size=5, name="bad")


def test_sizes_in_bytes_follow_the_element_type() -> None:
    from hw_model.graph import Tensor

    assert Tensor("x", (2, 3), "int8").size_bytes == 6
    assert Tensor("x", (2, 3), "int32").size_bytes == 24 == np.zeros((2, 3), np.int32).nbytes

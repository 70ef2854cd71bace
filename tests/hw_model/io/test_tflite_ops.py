"""Each operator of the format, from a hand-made file, as the operation it stands for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hw_model.graph import ops
from hw_model.io import read_tflite
from hw_model.io.tflite_ops import READINGS
from hw_model.io.tflite_schema import OPERATORS

MAP = (1, 8, 8, 4)


def _i32(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int32)


def _num(fmt: str, value: int) -> tuple[str, int]:
    return (fmt, value)


#: code, input shape, constants after (or, negative position, before) it, output shapes, options, operations.
CASES: list[tuple[Any, ...]] = [
    ("RELU", MAP, [], [MAP], {}, [ops.Activation(function="relu")]),
    ("RELU6", MAP, [], [MAP], {}, [ops.Activation(function="relu6")]),
    ("HARD_SWISH", MAP, [], [MAP], {}, [ops.Activation(function="hard_swish")]),
    ("LOGISTIC", MAP, [], [MAP], {}, [ops.Activation(function="sigmoid")]),
    ("GELU", MAP, [], [MAP], {}, [ops.Activation(function="gelu")]),
    ("LEAKY_RELU", MAP, [], [MAP], {}, [ops.Activation(function="leaky_relu")]),
    ("SOFTMAX", (1, 10), [], [(1, 10)], {}, [ops.Softmax()]),
    ("RESHAPE", MAP, [_i32(1, -1)], [(1, 256)], {}, [ops.Reshape(shape=(1, 256))]),
    ("RESHAPE", MAP, [_i32(-1, 64)], [()], {}, [ops.Reshape(shape=(4, 64))]),
    ("SQUEEZE", (1, 1, 1, 4), [], [(4,)], {}, [ops.Reshape(shape=(4,))]),
    ("SQUEEZE", (1, 1, 1, 4), [], [(1, 4)], {0: [1, 2]}, [ops.Reshape(shape=(1, 4))]),
    ("EXPAND_DIMS", (1, 4), [_i32(-2)], [(1, 1, 4)], {}, [ops.Reshape(shape=(1, 1, 4))]),
    (
        "SLICE", MAP, [_i32(0, 0, 0, 2), _i32(-1, -1, -1, 2)], [(1, 8, 8, 2)], {},
        [ops.Slice(begin=(0, 0, 0, 2), sizes=(1, 8, 8, 2))],
    ),
    (
        "STRIDED_SLICE", MAP, [_i32(0, 1, 0, -2), _i32(0, 8, 0, 4), _i32(1, 2, 1, 1)],
        [(1, 4, 8, 2)], {0: _num("i", 0b0101), 1: _num("i", 0b0101)},
        [ops.Slice(begin=(0, 1, 0, 2), sizes=(1, 4, 8, 2), strides=(1, 2, 1, 1))],
    ),
    (
        "STRIDED_SLICE", (1, 6, 4), [_i32(0, 2), _i32(1, 3), _i32(1, 1)], [(1, 4)],
        {4: _num("i", 0b10)},
        [ops.Slice(begin=(0, 2, 0), sizes=(1, 1, 4)), ops.Reshape(shape=(1, 4))],
    ),
    ("PAD", MAP, [_i32(0, 0, 1, 2, 0, 1, 0, 0)], [(1, 11, 9, 4)], {},
     [ops.Pad(padding=((0, 0), (1, 2), (0, 1), (0, 0)))]),
    ("TRANSPOSE", (1, 2, 3), [_i32(0, 2, 1)], [(1, 3, 2)], {}, [ops.Transpose(permutation=(0, 2, 1))]),
    ("MEAN", MAP, [_i32(1, 2)], [(1, 4)], {}, [ops.GlobalPool()]),
    ("MEAN", MAP, [_i32(-3, -2)], [(1, 1, 1, 4)], {0: _num("?", 1)}, [ops.GlobalPool(keep_dims=True)]),
    ("REDUCE_MAX", MAP, [_i32(1, 2)], [(1, 4)], {},
     [ops.Pool(mode="max", kernel=(8, 8), stride=(8, 8)), ops.Reshape(shape=(1, 4))]),
    ("RESIZE_NEAREST_NEIGHBOR", MAP, [_i32(16, 12)], [(1, 16, 12, 4)], {},
     [ops.Resize(mode="nearest", size=(16, 12))]),
    ("RESIZE_BILINEAR", MAP, [_i32(4, 4)], [(1, 4, 4, 4)], {}, [ops.Resize(mode="bilinear", size=(4, 4))]),
    ("AVERAGE_POOL_2D", MAP, [], [(1, 4, 4, 4)],
     {0: _num("b", 0), 1: _num("i", 2), 2: _num("i", 2), 3: _num("i", 3), 4: _num("i", 3)},
     [ops.Pool(mode="average", kernel=(3, 3), stride=(2, 2), padding="same")]),
    ("ADD", MAP, [np.ones(4, np.int8)], [MAP], {}, [ops.Scale()]),
    ("SUB", MAP, [np.ones(1, np.int8)], [MAP], {}, [ops.Scale(per_channel=False)]),
    ("MUL", MAP, [np.ones(4, np.int8)], [MAP], {0: _num("b", 3)},
     [ops.Scale(shift=False), ops.Activation(function="relu6")]),
    ("FULLY_CONNECTED", (1, 12), [np.zeros((5, 12), np.int8), np.zeros(5, np.int32)], [(1, 5)],
     {0: _num("b", 1)}, [ops.Dense(units=5, activation="relu")]),
    ("FULLY_CONNECTED", (1, 2, 2, 3), [np.zeros((5, 12), np.int8)], [(1, 5)], {},
     [ops.Reshape(shape=(1, 12)), ops.Dense(units=5, bias=False)]),
    ("FULLY_CONNECTED", (1, 7, 12), [np.zeros((5, 12), np.int8)], [(1, 7, 5)], {2: _num("?", 1)},
     [ops.Dense(units=5, bias=False)]),
    ("BATCH_MATMUL", (1, 7, 12), [np.zeros((1, 12, 5), np.int8)], [(1, 7, 5)], {},
     [ops.Dense(units=5, bias=False)]),
    ("ARG_MAX", (1, 6, 6, 3), [_i32(3)], [(1, 6, 6)], {}, [ops.ArgMax()]),
    ("CONV_2D", MAP, [np.zeros((6, 3, 3, 2), np.int8), np.zeros(6, np.int32)], [(1, 4, 4, 6)],
     {0: _num("b", 0), 1: _num("i", 2), 2: _num("i", 2), 3: _num("b", 1)},
     [ops.Conv2D(filters=6, kernel=(3, 3), stride=(2, 2), groups=2, bias=True, activation="relu")]),
    ("CONV_2D", MAP, [np.zeros((6, 1, 1, 4), np.int8)], [MAP[:3] + (6,)],
     {1: _num("i", 1), 2: _num("i", 1), 3: _num("b", 4)},
     [ops.Conv2D(filters=6, kernel=(1, 1)), ops.Activation(function="tanh")]),
    ("DEPTHWISE_CONV_2D", MAP, [np.zeros((1, 3, 5, 4), np.int8)], [(1, 4, 4, 4)],
     {0: _num("b", 1), 1: _num("i", 1), 2: _num("i", 1), 6: _num("i", 2)},
     [ops.DepthwiseConv2D(kernel=(3, 5), dilation=(2, 1), padding="valid")]),
    ("DEPTHWISE_CONV_2D", MAP, [np.zeros((1, 3, 3, 8), np.int8)], [(1, 8, 8, 8)],
     {1: _num("i", 1), 2: _num("i", 1)},
     [ops.Conv2D(filters=8, kernel=(3, 3), groups=4)]),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", CASES, ids=[f"{index}-{case[0]}" for index, case in enumerate(CASES)]
)
def test_operator_reads_as(
    case: tuple[Any, ...], make_file: Callable[..., bytes], num: Callable[..., Any]
) -> None:
    code, shape, constants, outputs, options, expected = case
    kinds = {"int8": "INT8", "int32": "INT32"}
    out_type = "INT32" if code == "ARG_MAX" else "INT8"
    tensors: list[tuple[Any, ...]] = [("x", shape, "INT8")]
    tensors += [(f"c{i}", c.shape, kinds[c.dtype.name], c) for i, c in enumerate(constants)]
    first = len(tensors)
    tensors += [(f"y{i}", out, out_type) for i, out in enumerate(outputs)]
    made = {slot: num(*v) if isinstance(v, tuple) else v for slot, v in options.items()}
    call = (code, list(range(first)), list(range(first, len(tensors))), made)
    graph = read_tflite(make_file(tensors, [call], [0], [first]))
    assert [op.type for op in graph.ops] == expected
    assert graph.tensors[graph.outputs[0]].dtype == out_type.lower()


def test_split_reads_its_axis_first(make_file: Callable[..., bytes]) -> None:
    tensors = [
        ("axis", (), "INT32", _i32(3)),
        ("x", MAP, "INT8"),
        ("a", (1, 8, 8, 2), "INT8"),
        ("b", (1, 8, 8, 2), "INT8"),
        ("y", MAP, "INT8"),
    ]
    calls = [("SPLIT", [0, 1], [2, 3]), ("CONCATENATION", [2, 3], [4], {})]
    graph = read_tflite(make_file(tensors, calls, [1], [2, 3]))
    assert [op.type for op in graph.ops] == [ops.Split(parts=2)]


def test_two_activations_multiply_and_add(
    make_file: Callable[..., bytes], num: Callable[..., Any]
) -> None:
    tensors = [
        ("a", MAP, "INT8"), ("b", (1, 1, 1, 4), "INT8"), ("p", MAP, "INT8"), ("s", MAP, "INT8"),
    ]  # fmt: skip
    calls = [("MUL", [0, 1], [2]), ("ADD", [2, 0], [3], {0: num("b", 1)})]
    graph = read_tflite(make_file(tensors, calls, [0, 1], [3]))
    assert [op.type for op in graph.ops] == [ops.Mul(), ops.Add(activation="relu")]


def test_operands_of_different_rank_are_aligned(make_file: Callable[..., bytes]) -> None:
    tensors = [("a", (7, 4), "INT8"), ("b", (1, 7, 4), "INT8"), ("s", (1, 7, 4), "INT8")]
    graph = read_tflite(make_file(tensors, [("ADD", [0, 1], [2])], [0, 1], [2]))
    assert [op.type for op in graph.ops] == [ops.Reshape(shape=(1, 7, 4)), ops.Add()]


def test_matrix_product_of_two_activations(
    make_file: Callable[..., bytes], num: Callable[..., Any]
) -> None:
    tensors = [
        ("q", (1, 2, 7, 4), "INT8"),
        ("k", (1, 2, 9, 4), "INT8"),
        ("s", (1, 2, 7, 9), "INT8"),
    ]
    call = ("BATCH_MATMUL", [0, 1], [2], {1: num("?", 1)})
    graph = read_tflite(make_file(tensors, [call], [0, 1], [2]))
    assert [op.type for op in graph.ops] == [ops.MatMul(transpose_b=True)]


@pytest.mark.parametrize(("code", "table_at"), [("GATHER", 0), ("EMBEDDING_LOOKUP", 1)])
def test_lookup_in_a_constant_table_is_an_embedding(
    code: str, table_at: int, make_file: Callable[..., bytes]
) -> None:
    tensors = [
        ("ids", (1, 6), "INT32"),
        ("table", (11, 3), "INT8", np.zeros((11, 3), np.int8)),
        ("rows", (1, 6, 3), "INT8"),
    ]
    reads = [1, 0] if table_at == 0 else [0, 1]
    graph = read_tflite(make_file(tensors, [(code, reads, [2])], [0], [2]))
    assert [op.type for op in graph.ops] == [ops.Embedding(rows=11, width=3)]
    assert [tensor.dtype for tensor in graph.tensors] == ["int32", "int8"]


@pytest.mark.parametrize(
    ("source", "to", "code"),
    [
        ("FLOAT32", "INT8", "QUANTIZE"),
        ("INT8", "FLOAT32", "DEQUANTIZE"),
        ("INT32", "FLOAT32", "CAST"),
    ],
)
def test_changes_of_type(source: str, to: str, code: str, make_file: Callable[..., bytes]) -> None:
    tensors = [("a", (1, 4), source), ("b", (1, 4), to)]
    graph = read_tflite(make_file(tensors, [(code, [0], [1])], [0], [1]))
    assert [op.type for op in graph.ops] == [ops.Quantize(dtype=to.lower())]


@pytest.mark.parametrize(
    ("code", "tensors", "reads"),
    [
        ("my_custom_op", [("x", MAP, "INT8"), ("y", (3, 3), "INT8")], [0]),
        ("RSQRT", [("x", MAP, "INT8"), ("y", MAP, "INT8")], [0]),
        (
            "MEAN",
            [("x", MAP, "INT8"), ("y", (1, 8, 8), "INT8"), ("c", (1,), "INT32", _i32(3))],
            [0, 2],
        ),
        (
            "RESHAPE",
            [("x", MAP, "INT8"), ("y", (1, 256), "INT8"), ("shape", (2,), "INT32")],
            [0, 2],
        ),
        (
            "CONV_2D",
            [("x", MAP, "INT8"), ("y", MAP, "INT8"), ("weights", (4, 1, 1, 4), "INT8")],
            [0, 2],
        ),
    ],
)
def test_what_has_no_counterpart_is_opaque(
    code: str, tensors: list[tuple[Any, ...]], reads: list[int], make_file: Callable[..., bytes]
) -> None:
    computed = [index for index in reads if len(tensors[index]) == 3]
    graph = read_tflite(make_file(tensors, [(code, reads, [1])], computed, [1]))
    (op,) = graph.ops
    assert op.type == ops.Opaque(code=code, output_shapes=(tensors[1][1],))
    assert len(op.inputs) == len(computed)


def test_every_reading_is_of_a_known_operator() -> None:
    assert set(READINGS) <= set(OPERATORS)
    assert OPERATORS.index("BATCH_MATMUL") == 126
    assert OPERATORS.index("GELU") == 150

"""Each operator of the format, from a hand-made file, as the operation it stands for."""

from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import pytest

from hw_model import estimate
from hw_model.graph import ops
from hw_model.io import read_tflite
from hw_model.io.html import render_html
from hw_model.io.text import format_report
from hw_model.io.tflite_ops import READINGS
from hw_model.io.tflite_schema import DTYPES, ELEMENT_TYPES, OPERATORS, STAND_INS

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
    ("CONV_2D", MAP, [np.zeros((6, 1, 1, 4), np.int8)], [MAP[:3] + (6,)],
     {1: _num("i", 1), 2: _num("i", 1), 3: _num("b", 2)},
     [ops.Conv2D(filters=6, kernel=(1, 1)), ops.Elementwise(function="relu_n1_to_1")]),
    ("MEAN", MAP, [_i32(3)], [(1, 8, 8)], {}, [ops.Reduce(function="mean", axes=(-1,))]),
    ("SUM", MAP, [_i32(2, -3)], [(1, 1, 1, 4)], {0: _num("?", 1)},
     [ops.Reduce(function="sum", axes=(-3, -2), keep_dims=True)]),
    ("REDUCE_MAX", (1, 9, 5), [_i32(1)], [(1, 5)], {}, [ops.Reduce(function="max", axes=(-2,))]),
    ("REDUCE_MIN", MAP, [_i32(1, 2)], [(1, 4)], {}, [ops.Reduce(function="min", axes=(-3, -2))]),
    ("RSQRT", MAP, [], [MAP], {}, [ops.Elementwise(function="rsqrt")]),
    ("RELU_N1_TO_1", MAP, [], [MAP], {}, [ops.Elementwise(function="relu_n1_to_1")]),
    ("PRELU", MAP, [np.ones((1, 1, 4), np.int8)], [MAP], {},
     [ops.Elementwise(function="prelu", constants=(1, 1, 4))]),
    ("MAXIMUM", MAP, [np.ones((), np.int8)], [MAP], {}, [ops.Elementwise(function="maximum")]),
    ("MINIMUM", (4,), [np.ones((3, 1), np.int8)], [(3, 4)], {},
     [ops.Elementwise(function="minimum", constants=(3, 1))]),
    ("ADD", (1, 4), [np.ones((3, 4), np.int8)], [(3, 4)], {},
     [ops.Elementwise(function="add", constants=(3, 4))]),
    ("SUB", (4,), [np.ones((1, 1), np.int8)], [(1, 4)], {},
     [ops.Elementwise(function="sub", constants=(1, 1))]),
    ("ARG_MAX", (1, 6, 5, 3), [_i32(1)], [(1, 5, 3)], {},
     [ops.Transpose(permutation=(0, 2, 3, 1)), ops.ArgMax()]),
    ("DEPTH_TO_SPACE", (1, 4, 6, 12), [], [(1, 8, 12, 3)], {0: _num("i", 2)},
     [ops.Reshape(shape=(1, 4, 6, 2, 2, 3)), ops.Transpose(permutation=(0, 1, 3, 2, 4, 5)),
      ops.Reshape(shape=(1, 8, 12, 3))]),
    ("SPACE_TO_DEPTH", (1, 8, 12, 3), [], [(1, 4, 6, 12)], {0: _num("i", 2)},
     [ops.Reshape(shape=(1, 4, 2, 6, 2, 3)), ops.Transpose(permutation=(0, 1, 3, 2, 4, 5)),
      ops.Reshape(shape=(1, 4, 6, 12))]),
    ("PACK", (3, 4), [], [(3, 1, 4)], {1: _num("i", -2)}, [ops.Reshape(shape=(3, 1, 4))]),
    ("UNPACK", (3, 1, 4), [], [(3, 4)], {1: _num("i", 1)}, [ops.Reshape(shape=(3, 4))]),
    ("GATHER", MAP, [_i32(1, 4, 7)], [(1, 3, 8, 4)], {0: _num("i", 1)},
     [ops.Slice(begin=(0, 1, 0, 0), sizes=(1, 3, 8, 4), strides=(1, 3, 1, 1))]),
    ("GATHER", MAP, [np.array(2, np.int32)], [(1, 8, 8)], {0: _num("i", -1)},
     [ops.Slice(begin=(0, 0, 0, 2), sizes=(1, 8, 8, 1)), ops.Reshape(shape=(1, 8, 8))]),
    ("BATCH_MATMUL", (1, 7, 12), [np.zeros((7, 5), np.int8)], [(1, 12, 5)], {0: _num("?", 1)},
     [ops.Transpose(permutation=(0, 2, 1)), ops.Dense(units=5, bias=False)]),
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
        ("RSQRT", [("x", (1, 4), "COMPLEX64"), ("y", (1, 4), "COMPLEX64")], [0]),
        ("TANH", [("x", MAP, "INT8"), ("y", MAP, "INT8"), ("z", MAP, "INT8")], [0, 2]),
        ("MEAN", [("x", MAP, "INT8"), ("y", (1, 8), "INT8"), ("axes", (1,), "INT32")], [0, 2]),
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


def test_transposed_convolution_states_its_size_first(
    make_file: Callable[..., bytes], num: Callable[..., Any]
) -> None:
    tensors = [
        ("size", (4,), "INT32", _i32(1, 16, 15, 6)),
        ("weights", (6, 3, 3, 4), "INT8", np.zeros((6, 3, 3, 4), np.int8)),
        ("x", MAP, "INT8"),
        ("bias", (6,), "INT32", np.zeros(6, np.int32)),
        ("y", (), "INT8"),
    ]
    options = {0: num("b", 0), 1: num("i", 2), 2: num("i", 2), 3: num("b", 1)}
    graph = read_tflite(make_file(tensors, [("TRANSPOSE_CONV", range(4), [4], options)], [2], [4]))
    (op,) = graph.ops
    assert op.type == ops.TransposeConv2D(
        filters=6, kernel=(3, 3), stride=(2, 2), size=(16, 15), bias=True, activation="relu"
    )
    assert graph.macs == 64 * 9 * 6 * 4


def test_what_is_packed_gets_an_axis_and_what_is_unpacked_loses_one(
    make_file: Callable[..., bytes], num: Callable[..., Any]
) -> None:
    tensors = [("x", (3, 4), "INT8"), ("y", (3, 4), "INT8"), ("both", (3, 2, 4), "INT8")]
    tensors += [(name, (2, 4), "INT8") for name in "abc"]
    calls = [
        ("PACK", [0, 1], [2], {1: num("i", 1)}),
        ("UNPACK", [2], [3, 4, 5], {1: num("i", 0)}),
    ]
    graph = read_tflite(make_file(tensors, calls, [0, 1], [3, 4, 5]))
    assert [op.type for op in graph.ops] == [
        *[ops.Reshape(shape=(3, 1, 4))] * 2,
        ops.Concat(axis=-2),
        ops.Split(parts=3, axis=-3),
        *[ops.Reshape(shape=(2, 4))] * 3,
    ]
    assert [op.name for op in graph.ops] == ["both", "both#2", "both#3", "a", "a#2", "b", "c"]


def test_the_first_factor_is_transposed_where_the_product_asks_for_it(
    make_file: Callable[..., bytes], num: Callable[..., Any]
) -> None:
    tensors = [("q", (2, 4, 7), "INT8"), ("k", (2, 4, 9), "INT8"), ("s", (2, 7, 9), "INT8")]
    call = ("BATCH_MATMUL", [0, 1], [2], {0: num("?", 1)})
    graph = read_tflite(make_file(tensors, [call], [0, 1], [2]))
    assert [op.type for op in graph.ops] == [ops.Transpose(permutation=(0, 2, 1)), ops.MatMul()]


def test_functions_of_two_activations_broadcast(make_file: Callable[..., bytes]) -> None:
    tensors = [("a", MAP, "INT8"), ("b", (4,), "INT8"), ("d", MAP, "INT8"), ("s", MAP, "INT8")]
    calls = [("SQUARED_DIFFERENCE", [0, 1], [2]), ("ADD_N", [0, 2, 0], [3])]
    graph = read_tflite(make_file(tensors, calls, [0, 1], [3]))
    assert [op.type for op in graph.ops] == [
        ops.Reshape(shape=(1, 1, 1, 4)),
        ops.Elementwise(function="squared_difference"),
        ops.Elementwise(function="add"),
    ]


def test_the_tables_are_those_of_the_format() -> None:
    """Against the format definition that the LiteRT runtime carries."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    codes = {name: code for name, code in vars(schema.BuiltinOperator).items() if name[0].isupper()}
    assert dict(zip(OPERATORS, range(len(OPERATORS)), strict=True)) == codes
    types = {name: code for name, code in vars(schema.TensorType).items() if name[0].isupper()}
    assert {name: code for code, (name, _) in enumerate(ELEMENT_TYPES)} == types


def test_every_element_type_has_a_graph_type_or_a_stand_in() -> None:
    assert {*DTYPES, *STAND_INS} == {name for name, _ in ELEMENT_TYPES}
    assert not set(DTYPES) & set(STAND_INS)
    assert set(READINGS) <= set(OPERATORS)


@pytest.mark.parametrize("target", ["coral_usb", "pixel6"])
def test_no_operator_is_passed_over_in_silence(
    make_file: Callable[..., bytes], target: str
) -> None:
    """Every operator of the format without a reading is a host row, and the report says so in all three forms."""
    others = [code for code in OPERATORS if code not in {*READINGS, "SHAPE", "RANK", "CUSTOM"}]
    assert len(others) > 150
    tensors = [(f"t{index}", (1, 4), "INT8") for index in range(len(others) + 1)]
    calls = [(code, [index], [index + 1]) for index, code in enumerate(others)]
    report = estimate(read_tflite(make_file(tensors, calls, [0], [len(others)])), target=target)
    assert [row.kind for row in report.rows] == ["Opaque"] * len(others)
    assert all(row.binding == "host" and row.time_us > 0 for row in report.rows)
    assert all(code in row.why for code, row in zip(others, report.rows, strict=True))
    (warning,) = report.warnings
    assert warning.startswith("No cost model for 1 FLOOR, 1 ")
    assert f"warning  {warning}" in format_report(report)
    assert escape(warning) in render_html(report)
    assert report.to_dict()["warnings"] == [warning]

"""Real converter output as a graph, header, quantization; files that contradict themselves."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hw_model.errors import DataError
from hw_model.graph import Graph, ops, signature, verify
from hw_model.io import (
    float_operators,
    read_header,
    read_tflite,
    tensor_quantization,
    weight_bytes,
)

MakeFile = Callable[..., bytes]

#: (kind, output shape) of tests/hw_model/io/fixtures/make_tiny.py, in execution order.
TINY = (
    ("Conv2D", (1, 8, 8, 8)),
    ("Split", (1, 8, 8, 4)),
    ("Conv2D", (1, 8, 8, 4)),
    ("Conv2D", (1, 8, 8, 4)),
    ("Concat", (1, 8, 8, 8)),
    ("Add", (1, 8, 8, 8)),
    ("DepthwiseConv2D", (1, 8, 8, 8)),
    ("Pool", (1, 4, 4, 8)),
    ("Resize", (1, 8, 8, 8)),
    ("Conv2D", (1, 8, 8, 8)),
    ("Activation", (1, 8, 8, 8)),
    ("Mul", (1, 8, 8, 8)),
    ("GlobalPool", (1, 8)),
    ("Dense", (1, 5)),
    ("Softmax", (1, 5)),
)


def _kinds(graph: Graph) -> dict[str, ops.OpType]:
    return {op.kind: op.type for op in graph.ops}


def test_converter_output_reads_as_the_network_it_came_from(tiny_path: Path) -> None:
    graph = read_tflite(tiny_path)
    assert signature(graph) == TINY
    assert graph.name == "tiny_int8"
    assert {tensor.dtype for tensor in graph.tensors} == {"int8"}
    assert graph.ops[0].type == ops.Conv2D(
        filters=8, kernel=(3, 3), stride=(2, 2), bias=True, activation="relu"
    )
    kinds = _kinds(graph)
    assert kinds["DepthwiseConv2D"] == ops.DepthwiseConv2D(
        kernel=(3, 3), dilation=(2, 2), bias=True
    )
    assert kinds["Split"] == ops.Split(parts=2)
    assert kinds["Resize"] == ops.Resize(mode="bilinear", size=(8, 8))
    assert graph.macs == 41_000


def test_path_and_bytes_read_alike(tiny_path: Path, tiny_bytes: bytes) -> None:
    assert signature(read_tflite(tiny_path)) == signature(read_tflite(tiny_bytes))
    assert read_tflite(str(tiny_path)) == read_tflite(tiny_path)


def test_header_counts_operators_and_bytes(tiny_path: Path) -> None:
    header = read_header(tiny_path)
    assert header.size_bytes == tiny_path.stat().st_size
    assert sum(header.operators.values()) == len(TINY)
    assert header.operators["CONV_2D"] == 4
    assert [(port.shape, port.dtype) for port in header.inputs] == [((1, 16, 16, 3), "int8")]
    assert [(port.shape, port.dtype) for port in header.outputs] == [((1, 5), "int8")]
    assert header.weight_bytes == weight_bytes(tiny_path)
    kernels = 8 * 27 + 2 * 4 * 36 + 9 * 8 + 64 + 40
    assert kernels < header.weight_bytes < header.size_bytes


def test_quantization_is_per_channel_for_kernels_and_per_tensor_for_activations(
    tiny_path: Path,
) -> None:
    entries = tensor_quantization(tiny_path)
    stem = next(entry for entry in entries if len(entry.scale) == 8 and entry.dtype == "int8")
    assert stem.per_channel
    assert (stem.zero_point == 0).all()
    image = next(
        entry for entry in entries if entry.name == "image" or entry.name.endswith("image")
    )
    assert not image.per_channel
    assert image.scale[0] == pytest.approx(2 / 255, rel=0.02)
    probabilities = entries[-1]
    assert probabilities.scale[0] == pytest.approx(1 / 256)
    assert probabilities.zero_point[0] == -128


def test_int8_file_has_no_float_operator(tiny_path: Path, make_file: MakeFile) -> None:
    assert float_operators(tiny_path) == ()
    mixed = make_file(
        [("a", (1, 4), "INT8"), ("b", (1, 4), "FLOAT32"), ("c", (1, 4), "FLOAT32")],
        [("DEQUANTIZE", [0], [1]), ("TANH", [1], [2])],
        [0],
        [2],
    )
    assert float_operators(mixed) == ("DEQUANTIZE (b)", "TANH (c)")


def test_published_uint8_network_without_activation_shapes(shared_dir: Path) -> None:
    path = shared_dir / "data" / "teachers" / "mobilenet_edgetpu_224_1.0_uint8.tflite"
    if not path.is_file():
        pytest.skip("the published network is not on this machine")
    graph = read_tflite(path)
    # 4,092,713 parameters count four values per batch norm; folded, one bias per channel is left.
    assert graph.macs == pytest.approx(990.7e6, rel=1e-3)
    assert signature(graph)[0] == ("Conv2D", (1, 112, 112, 32))
    assert signature(graph)[-1] == ("Softmax", (1, 1001))
    assert sum(op.kind == "DepthwiseConv2D" for op in graph.ops) == 13


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "TFL3"),
        (b"TFL3", "TFL3"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "TFL3"),
        (b"\x08\0\0\0TFL3", "corrupt"),
        (bytes(4) + b"TFL3" + bytes(64), "corrupt"),
    ],
)
def test_what_is_no_tflite_is_refused_in_one_line(
    content: bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read_tflite(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        read_tflite(tmp_path / "absent.tflite")
    with pytest.raises(DataError, match="is a folder"):
        read_tflite(tmp_path)


def test_operators_without_effect_and_unused_constants_vanish(make_file: MakeFile) -> None:
    content = make_file(
        [("a", (1, 4), "INT8"), ("b", (1, 4), "INT8"), ("dead", (1, 4), "INT8")],
        [("TANH", [0], [2]), ("LOGISTIC", [0], [1])],
        [0],
        [1],
    )
    assert signature(read_tflite(content)) == (("Activation", (1, 4)),)


def test_values_computed_from_constants_count_as_constants(
    make_file: MakeFile, num: Callable[..., object]
) -> None:
    """Half-precision files decompress their weights by an operator of the file."""
    weights = np.zeros((4, 1, 1, 2), np.float16)
    step = {1: num("i", 1), 2: num("i", 1)}
    content = make_file(
        [
            ("image", (1, 5, 5, 2), "FLOAT32"),
            ("stored", (4, 1, 1, 2), "FLOAT16", weights),
            ("weights", (4, 1, 1, 2), "FLOAT32"),
            ("out", (1, 5, 5, 4), "FLOAT32"),
        ],
        [("DEQUANTIZE", [1], [2]), ("CONV_2D", [0, 2, -1], [3], step)],
        [0],
        [3],
    )
    graph = read_tflite(content)
    assert [op.type for op in graph.ops] == [ops.Conv2D(filters=4, kernel=(1, 1))]


def test_equal_names_are_told_apart(make_file: MakeFile) -> None:
    content = make_file(
        [("x", (1, 4), "INT8"), ("same", (1, 4), "INT8"), ("same", (1, 4), "INT8")],
        [("TANH", [0], [1]), ("LOGISTIC", [1], [2])],
        [0],
        [2],
    )
    graph = verify(read_tflite(content))
    assert [op.name for op in graph.ops] == ["same", "same#2"]


@pytest.mark.parametrize(
    ("tensors", "operators", "says"),
    [
        ([("a", (1, 4), "INT8"), ("b", (1, 5), "INT8")], [("TANH", [0], [1])], "must be"),
        ([("a", (1, 4), "INT8"), ("b", (1, 4), "INT8")], [("TANH", [0], [7])], "tensor 7"),
        ([("a", (1, 4), "INT8"), ("b", (1, 4), "INT8")], [("TANH", [1], [1])], "no value"),
        ([("a", (0, 4), "INT8"), ("b", (0, 4), "INT8")], [("TANH", [0], [1])], "positive"),
        ([("a", (-2, 4), "INT8"), ("b", (1, 4), "INT8")], [("TANH", [0], [1])], "impossible"),
        ([("a", (1 << 20,) * 3, "INT8"), ("b", (1,), "INT8")], [("TANH", [0], [1])], "elements"),
        ([("a", (1, 4), "INT8"), ("b", (1, 4), "INT8")], [("TANH", [0], [])], "no value"),
        ([("a", (1, 4), "INT8"), ("b", (1, 4), "INT8")], [], "no value"),
        (
            [("a", (1, 4), "INT8"), ("b", (1, 4), "INT8"), ("c", (1, 9), "INT8", bytes(4))],
            [("TANH", [0], [1])],
            "holds 4 bytes",
        ),
        (
            [("a", (1, 4), "INT8"), ("b", (1, 4), "INT8", None, ([1, 1], [0, 0], 1))],
            [("TANH", [0], [1])],
            "2 scales",
        ),
        (
            [("a", (1, 4), "INT8"), ("b", (1, 4), "INT8", None, ([math.nan], [0], 0))],
            [("TANH", [0], [1])],
            "scale",
        ),
        (
            [("a", (1, 4), "INT8"), ("b", (1, 4), "INT8")],
            [("TANH", [0], [1]), ("LOGISTIC", [0], [1])],
            "written twice",
        ),
    ],
)
def test_contradictions_are_refused(
    make_file: MakeFile, tensors: list[tuple[object, ...]], operators: list[object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        read_tflite(make_file(tensors, operators, [0], [1]))


@pytest.mark.parametrize("times", [60, 4_000])
def test_a_file_describes_no_more_than_its_size_allows(make_file: MakeFile, times: int) -> None:
    """Sharing makes a small file describe billions of items; the reader stops counting long before."""
    operator = ("CONCATENATION", [0] * 20_000, [1])
    content = make_file(
        [("a", (1, 4), "INT8"), ("b", (1, 4), "INT8")], [operator] * times, [0], [1]
    )
    assert len(content) < 110_000
    with pytest.raises(DataError, match=r"describes more than [\d,]+ items in [\d,]+ bytes"):
        read_tflite(content)

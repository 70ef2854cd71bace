"""Files with more than a graph can hold: each is read, and what was left out or guessed is said."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hw_model import estimate
from hw_model.errors import DataError
from hw_model.graph import Graph, signature
from hw_model.io import read_header, read_tflite

MakeFile = Callable[..., bytes]
ROW = (1, 4)
TANH = ("TANH", [0], [1])


def _read(make_file: MakeFile, tensors: list[Any], calls: list[Any], **more: Any) -> Graph:
    """The graph of a file from its first tensor to its second."""
    return read_tflite(make_file(tensors, calls, [0], [1], **more))


def test_an_ordinary_file_has_no_notes(tiny_bytes: bytes) -> None:
    graph = read_tflite(tiny_bytes)
    assert graph.notes == estimate(graph).warnings == ()


def test_further_subgraphs_are_counted(make_file: MakeFile) -> None:
    tensors = [("a", ROW, "INT8"), ("b", ROW, "INT8")]
    content = make_file(tensors, [TANH], [0], [1], subgraphs=3)
    assert read_header(content).subgraphs == 3
    (note,) = read_tflite(content).notes
    assert note.startswith("2 further subgraphs")


@pytest.mark.parametrize("where", ["shape", "signature"])
def test_sizes_known_while_running_are_costed_as_one(make_file: MakeFile, where: str) -> None:
    shape = (-1, 4) if where == "shape" else ROW
    free = (None, None, {7: [-1, 4]}) if where == "signature" else ()
    graph = _read(make_file, [("a", shape, "INT8", *free), ("b", shape, "INT8", *free)], [TANH])
    assert signature(graph) == (("Activation", ROW),)
    assert graph.notes == ("Sizes known while running only are costed as 1: a, b",)


def test_what_contradicts_an_open_size_goes_to_the_host(make_file: MakeFile) -> None:
    """A file may say less of a tensor than follows from what comes before; only then it is believed."""
    tensors = [
        ("a", (1, 4), "INT8"),
        ("b", (1, 9), "INT8"),
        ("found", (1, 4), "INT8", None, None, {7: [-1, 4]}),
    ]
    calls = [("WHERE", [0], [2]), ("CONCATENATION", [2, 2], [1])]
    graph = _read(make_file, tensors, calls)
    assert [getattr(op.type, "code", "") for op in graph.ops] == ["WHERE", "CONCATENATION"]
    assert graph.tensors[graph.outputs[0]].shape == (1, 9)
    closed = [tensors[0], tensors[1], ("found", (1, 4), "INT8")]
    with pytest.raises(DataError, match="contradicts itself"):
        _read(make_file, closed, calls)


def test_a_shape_asked_for_while_running_is_fixed_before(
    make_file: MakeFile, num: Callable[..., Any]
) -> None:
    """What a converter leaves of a free batch: SHAPE, STRIDED_SLICE, PACK in front of a RESHAPE."""
    one = ("one", (1,), "INT32", np.ones(1, np.int32))
    tensors = [
        ("a", (1, 2, 2, 4), "INT8"), ("b", (1, 16), "INT8"), ("shape", (4,), "INT32"),
        ("batch", (), "INT32"), ("new", (2,), "INT32"), one,
    ]  # fmt: skip
    calls = [
        ("SHAPE", [0], [2]),
        ("STRIDED_SLICE", [2, 5, 5, 5], [3]),
        ("PACK", [3, 5], [4], {0: num("i", 2)}),
        ("RESHAPE", [0, 4], [1]),
    ]
    graph = _read(make_file, tensors, calls)
    assert signature(graph) == (("Reshape", (1, 16)),)
    (note,) = graph.notes
    assert "1 SHAPE, 1 STRIDED_SLICE, 1 PACK" in note


def test_operators_without_effect_and_constant_outputs_are_named(make_file: MakeFile) -> None:
    tensors = [
        ("a", ROW, "INT8"), ("b", ROW, "INT8"), ("dead", ROW, "INT8"),
        ("anchors", (2,), "INT8", np.ones(2, np.int8)),
    ]  # fmt: skip
    content = make_file(tensors, [TANH, ("LOGISTIC", [0], [2])], [0], [1, 3])
    graph = read_tflite(content)
    assert [graph.tensors[index].name for index in graph.outputs] == ["b"]
    assert graph.notes[0] == "Outputs that are constants are left out: anchors"
    assert graph.notes[1].endswith("are left out: 1 LOGISTIC")


def test_variables_hold_their_value(make_file: MakeFile, num: Callable[..., Any]) -> None:
    """The state of a recurrent layer is no input of the model; the layer itself is a host operation."""
    tensors = [
        ("a", (1, 5, 4), "INT8"), ("b", (1, 5, 8), "INT8"), ("weights", (8, 4), "INT8", np.zeros(32, np.int8)),
        ("state", (1, 8), "INT16", None, None, {5: num("?", 1)}),
    ]  # fmt: skip
    graph = _read(make_file, tensors, [("UNIDIRECTIONAL_SEQUENCE_LSTM", [0, 2, 3], [1])])
    (op,) = graph.ops
    assert (op.kind, len(op.inputs)) == ("Opaque", 1)
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" in estimate(graph).warnings[0]


def test_sparse_weights_are_dense_here(make_file: MakeFile) -> None:
    sparse = ("weights", (5, 4), "INT8", np.zeros(7, np.int8), None, {6: {}})
    graph = _read(
        make_file,
        [("a", ROW, "INT8"), ("b", (1, 5), "INT8"), sparse],
        [("FULLY_CONNECTED", [0, 2], [1])],
    )
    assert signature(graph) == (("Dense", (1, 5)),)
    assert graph.notes == ("Sparse weights are costed as dense ones: weights",)


def test_float_files_are_costed_as_what_they_would_become(make_file: MakeFile) -> None:
    graph = _read(make_file, [("a", ROW, "FLOAT32"), ("b", ROW, "FLOAT32")], [TANH])
    assert "floating point" in graph.notes[0]
    assert [row.binding for row in estimate(graph).rows] != ["host"]


def test_floats_in_an_int8_file_are_host_operations(make_file: MakeFile) -> None:
    tensors = [("a", ROW, "INT8"), ("b", ROW, "FLOAT32"), ("wide", ROW, "FLOAT32")]
    graph = _read(make_file, tensors, [("DEQUANTIZE", [0], [2]), ("SOFTMAX", [2], [1])])
    report = estimate(graph, target="pixel6")
    assert report.warnings == ("In floating point, so on the host: 1 Quantize, 1 Softmax",)
    assert [row.binding for row in report.rows] == ["host", "host"]


def test_wide_activations_are_said(make_file: MakeFile) -> None:
    graph = _read(make_file, [("a", ROW, "INT16"), ("b", ROW, "INT16")], [TANH])
    assert graph.notes == ("16-bit activations are costed as 8-bit ones",)


@pytest.mark.parametrize("element_type", ["STRING", "COMPLEX64", "INT4", "BFLOAT16", "RESOURCE"])
def test_types_no_graph_has_go_to_the_host(make_file: MakeFile, element_type: str) -> None:
    tensors = [("a", ROW, "INT8"), ("b", ROW, "INT8"), ("odd", ROW, element_type)]
    graph = _read(make_file, tensors, [("CAST", [0], [2]), ("TANH", [2], [1])])
    assert [op.kind for op in graph.ops] == ["Opaque", "Opaque"]
    assert graph.notes == (f"Graphs do not have {element_type}, the type of: odd",)


def test_tensors_without_elements_are_refused(make_file: MakeFile) -> None:
    with pytest.raises(DataError, match="must be positive"):
        _read(make_file, [("a", (0, 4), "INT8"), ("b", (0, 4), "INT8")], [TANH])


def test_a_compiled_file_is_told_from_its_original(make_file: MakeFile) -> None:
    tensors = [("a", ROW, "UINT8"), ("b", ROW, "UINT8")]
    graph = _read(make_file, tensors, [("edgetpu-custom-op", [0], [1])])
    assert "compiled for an Edge TPU" in graph.notes[0]


def test_notes_stay_short_whatever_the_names_are(make_file: MakeFile) -> None:
    tensors = [("a", ROW, "INT8"), ("b", ROW, "INT8")]
    tensors += [("n" * 400, ROW, "STRING") for _ in range(40)]
    calls = [("CAST", [0], [2]), *[("CAST", [at], [at + 1]) for at in range(2, 41)]]
    graph = _read(make_file, tensors, [*calls, ("CAST", [41], [1])])
    assert graph.notes[0].endswith("and 36 more")
    assert len(graph.notes[0]) < 500

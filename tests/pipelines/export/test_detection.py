"""Detectors as int8 files: the predicted operators, outputs by name, nothing in floating point, the float answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import UsageError
from hw_model.graph import to_inference
from hw_model.io import read_metadata, read_tflite
from hw_model.io.tflite_file import load
from model_zoo.create import create_spec
from model_zoo.detection import anchors_of, detect
from model_zoo.registry import match
from pipelines.export import (
    Certificate,
    DetectorRunner,
    Int8Runner,
    compare_with_file,
    export_int8,
    is_detector,
    load_certificate,
)
from pipelines.export.convert import convert
from pipelines.export.detector import ANCHORS
from pipelines.export.edit import Edit
from pipelines.export.runner import make_interpreter

NAMES = match("*", task="detection")
S, MOBILEDET = "spaghettinet_edgetpu_s", "ssdlite_mobiledet_edgetpu"
SMALL: dict[str, Any] = {"input_shape": (128, 128, 3), "width": 0.25, "num_classes": 3}
LEAST_DB = 15.0


def _decibel(wanted: Any, got: Any) -> float:
    noise = np.sum((wanted - got) ** 2)
    return float(10 * np.log10(np.sum(np.square(wanted)) / noise))


def _check(model: Any, make_images: Callable[..., Any]) -> None:
    """The predicted operators in the file, and the Keras model's numbers from both converted files."""
    spec = model.spec
    samples = [[model.preprocessing(image)] for image in make_images(spec, 4)]
    converted = convert(model, samples, lambda stage, count: None)
    content = converted.int8
    assert compare_with_file(to_inference(spec.graph()), content) == ()
    graph = read_tflite(content)
    assert not graph.notes
    assert {tensor.dtype for tensor in graph.tensors} == {"int8"}
    if spec.head is None:
        return
    answers = model.predict(samples[0][0], verbose=0)
    exact = make_interpreter(converted.float32)
    exact.set_tensor(exact.get_input_details()[0]["index"], samples[0][0])
    exact.invoke()
    for details, name in zip(exact.get_output_details(), sorted(answers), strict=True):
        np.testing.assert_allclose(
            exact.get_tensor(details["index"]), answers[name], rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("name", [S, MOBILEDET])
def test_the_file_of_features_is_the_predicted_network(
    name: str, make_trained: Callable[..., Any], make_images: Callable[..., Any]
) -> None:
    """At this size several maps are a single pixel, which converters treat in their own way."""
    _check(make_trained(create_spec(name, backbone=True, **SMALL)), make_images)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_file_of_a_published_network_is_the_predicted_one(
    name: str, make_trained: Callable[..., Any], make_images: Callable[..., Any]
) -> None:
    _check(make_trained(create_spec(name)), make_images)


def _agrees(model: Any, path: Path, inputs: Any) -> None:
    """A detector's file by name, shape and number, beside the Keras model."""
    wanted = model.predict(inputs, verbose=0)
    with DetectorRunner(path) as runner:
        found = runner(inputs)
        assert not runner.postprocesses
        assert runner.num_classes == model.spec.head.num_classes
        np.testing.assert_array_equal(runner.anchors, anchors_of(model.spec))
        objects = runner.detections(inputs, max_detections=7)
    assert list(found) == ["box_codes", "class_logits"]
    for name, values in found.items():
        assert values.shape == wanted[name].shape
        assert _decibel(wanted[name], values) > LEAST_DB
    own = detect(
        found["box_codes"], found["class_logits"], anchors_of(model.spec), max_detections=7
    )
    for left, right in zip(objects, own, strict=True):
        np.testing.assert_array_equal(left.boxes, right.boxes)


def _certified(certificate: Certificate, path: Path) -> None:
    assert certificate.differences == ()
    assert certificate.predicted_equals_converted
    assert certificate.all_int8
    assert certificate.sqnr.tensors == sum(certificate.operators.values())
    assert certificate.sqnr.output_db > LEAST_DB
    assert [port.name for port in certificate.outputs] == ["box_codes", "class_logits"]
    assert load_certificate(path) == certificate
    assert is_detector(path)


def test_a_detector_answers_by_name_as_its_float_model_does(detector: Any) -> None:
    _certified(detector.certificate, detector.path)
    _agrees(detector.model, detector.path, detector.inputs)


def test_names_tell_where_shapes_do_not(
    tmp_path: Path, make_trained: Callable[..., Any], make_images: Callable[..., Any]
) -> None:
    """With three classes both outputs have four values for each anchor."""
    model = make_trained(create_spec(MOBILEDET, **SMALL))
    path = tmp_path / "net.tflite"
    _certified(export_int8(model, make_images(model.spec, 4), path, progress=False), path)
    inputs = model.preprocessing(make_images(model.spec, 3, seed=5))
    _agrees(model, path, inputs)
    edit = Edit(path.read_bytes())
    edit.rename(edit.outputs[0], "anything")
    path.write_bytes(edit.content())
    with pytest.raises(UsageError, match="is no detector"):
        DetectorRunner(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [S, MOBILEDET])
def test_answers_of_a_published_network_follow_the_float_model(
    name: str, tmp_path: Path, make_trained: Callable[..., Any], make_images: Callable[..., Any]
) -> None:
    model = make_trained(create_spec(name))
    path = tmp_path / "net.tflite"
    _certified(export_int8(model, make_images(model.spec, 8), path, progress=False), path)
    _agrees(model, path, model.preprocessing(make_images(model.spec, 2, seed=5)))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as the converter leaves it, without names and anchors: 64 anchors, two classes."""
    import keras

    image = keras.Input((8, 8, 3), name="image")
    outputs = {}
    for name, size in (("box_codes", 4), ("class_logits", 3)):
        x = keras.layers.Conv2D(size, 3, padding="same")(image)
        outputs[name] = keras.layers.Reshape((64, size))(x)
    rng = np.random.default_rng(0)
    samples = [[rng.normal(size=(1, 8, 8, 3)).astype(np.float32)] for _ in range(2)]
    path = tmp_path_factory.mktemp("other") / "other.tflite"
    model = keras.Model(image, outputs, name="other")
    path.write_bytes(convert(model, samples, lambda stage, count: None).int8)
    return path


INPUTS = np.random.default_rng(1).normal(size=(3, 8, 8, 3)).astype(np.float32)


def test_a_file_of_other_makers_is_known_by_its_shapes(other: Path, tmp_path: Path) -> None:
    swapped = tmp_path / "swapped.tflite"
    edit = Edit(other.read_bytes())
    edit.outputs = edit.outputs[::-1]
    swapped.write_bytes(edit.content())
    with DetectorRunner(other) as runner, DetectorRunner(swapped) as backwards:
        assert runner.anchors is None
        assert runner.num_classes == 2
        straight, crossed = runner(INPUTS), backwards(INPUTS)
        with pytest.raises(UsageError, match="pass anchors="):
            runner.detections(INPUTS)
    assert list(crossed) == ["class_logits", "box_codes"]
    for name, values in straight.items():
        np.testing.assert_array_equal(values, crossed[name])
    anchors = np.tile(np.float32([0.2, 0.2, 0.8, 0.8]), (64, 1))
    with DetectorRunner(other, anchors=anchors) as runner:
        assert len(runner.detections(INPUTS)) == 3


def test_what_is_no_detector_is_refused(other: Path, exported: Any, tmp_path: Path) -> None:
    assert not is_detector(exported.path)
    with pytest.raises(UsageError, match="is no detector"):
        DetectorRunner(exported.path)
    with pytest.raises(UsageError, match="one input and one output"):
        Int8Runner(other)
    edit = Edit(other.read_bytes())
    edit.outputs = edit.outputs[:1] * 2
    twice = tmp_path / "twice.tflite"
    twice.write_bytes(edit.content())
    with pytest.raises(UsageError, match="is no detector"):
        DetectorRunner(twice)


def test_an_edit_changes_what_it_says_and_nothing_else(other: Path) -> None:
    content = other.read_bytes()
    edit = Edit(content)
    edit.add_metadata(ANCHORS, b"12345678")
    changed = edit.content()
    assert read_metadata(content, ANCHORS) is None
    assert read_metadata(changed, ANCHORS) == b"12345678"
    assert read_tflite(changed) == read_tflite(content)
    before, after = make_interpreter(content), make_interpreter(changed)
    image = (50 * INPUTS[:1]).astype(np.int8)
    for interpreter in (before, after):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
    for left, right in zip(before.get_output_details(), after.get_output_details(), strict=True):
        np.testing.assert_array_equal(
            before.get_tensor(left["index"]), after.get_tensor(right["index"])
        )


def test_constants_of_an_edited_file_begin_where_runtimes_want_them(detector: Any) -> None:
    file = load(detector.path)
    constants = [np.frombuffer(tensor.data, np.uint8) for tensor in file.tensors if tensor.data]
    assert len(constants) > 100
    start = min(part.__array_interface__["data"][0] for part in constants)
    assert {(part.__array_interface__["data"][0] - start) % 16 for part in constants} == {0}

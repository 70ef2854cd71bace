"""The exported file: what it holds, what its certificate says, and that nothing is left when it fails."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, EdgeZooError, EnvironmentFault, UsageError
from hw_model.files import sha256_of
from hw_model.io import float_operators, read_tflite, tensor_quantization
from pipelines.export import (
    Int8Runner,
    certificate_path,
    evaluate_tflite,
    export_int8,
    load_certificate,
)

Images = Callable[..., np.ndarray[Any, Any]]


def test_file_is_integer_throughout_at_batch_1(exported: Any) -> None:
    certificate = exported.certificate
    assert certificate.all_int8
    assert float_operators(exported.path) == ()
    assert [port.shape for port in certificate.inputs] == [(1, 28, 28, 1)]
    assert [port.shape for port in certificate.outputs] == [(1, 4)]
    graph = read_tflite(exported.path)
    assert {tensor.dtype for tensor in graph.tensors} == {"int8"}
    assert any(entry.per_channel for entry in tensor_quantization(exported.path))


def test_converted_graph_is_the_predicted_one(exported: Any) -> None:
    certificate = exported.certificate
    assert certificate.predicted_equals_converted is True
    assert certificate.differences == ()
    assert certificate.spec_id == exported.model.spec.spec_id
    assert certificate.group_form == "split"
    assert certificate.operators["SPLIT"] == 1
    assert certificate.operators["CONCATENATION"] == 1


def test_certificate_lies_beside_the_file_and_reads_back(exported: Any) -> None:
    path = certificate_path(exported.path)
    assert path.name == "small.certificate.json"
    assert load_certificate(exported.path) == exported.certificate
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["sha256"] == sha256_of(exported.path)
    assert data["size_bytes"] == exported.path.stat().st_size < data["float_size_bytes"]
    assert data["calibration"] == {"count": 24, "distinct": 24, "source": "ndarray"}
    assert data["weights_origin"] == "trained for a test"
    assert {"tensorflow", "keras", "ai-edge-litert", "python"} <= set(data["tools"])


def test_noise_is_measured_for_every_operator(exported: Any) -> None:
    sqnr = exported.certificate.sqnr
    assert sqnr.tensors == sum(exported.certificate.operators.values())
    assert 10 < sqnr.min_db <= sqnr.median_db < 200
    levels = [tensor.sqnr_db for tensor in sqnr.worst]
    assert levels == sorted(levels)
    assert levels[0] == sqnr.min_db


def test_int8_answers_follow_the_float_model(exported: Any) -> None:
    inputs = exported.model.preprocessing(exported.test.read(range(len(exported.test))))
    floats = exported.model.predict(inputs, verbose=0)
    with Int8Runner(exported.path) as runner:
        rounded = runner(inputs)
    assert rounded.shape == floats.shape
    assert np.abs(rounded - floats).mean() < 0.05
    assert exported.certificate.accuracy.float_value == 1.0
    assert exported.certificate.accuracy.int8_value > 0.8


def test_batches_and_single_images_get_the_same_answers(exported: Any) -> None:
    inputs = exported.model.preprocessing(exported.test.read(range(5)))
    with Int8Runner(exported.path, workers=3) as runner:
        together = runner(inputs)
        apart = np.concatenate([runner(inputs[place : place + 1]) for place in range(5)])
        assert runner(inputs[:0]).shape == (0, 4)
    np.testing.assert_array_equal(together, apart)


def test_evaluation_of_the_file_is_that_of_the_certificate(exported: Any) -> None:
    metrics = evaluate_tflite(
        exported.path, exported.test, exported.model.preprocessing, batch_size=10, progress=False
    )
    assert metrics["top1"] == exported.certificate.accuracy.int8_value
    assert metrics["loss"] > 0
    assert exported.certificate.accuracy.drop_points == pytest.approx(100 * (1 - metrics["top1"]))


def test_group_convolutions_run_natively_where_the_target_says_so(
    exported: Any, make_images: Images, tmp_path: Path
) -> None:
    model = exported.model
    layer = next(layer for layer in model.layers if hasattr(layer, "group_form"))
    certificate = export_int8(
        model,
        make_images(model.spec, 8),
        tmp_path / "n.tflite",
        group_form="native",
        progress=False,
    )
    assert certificate.predicted_equals_converted is True
    assert certificate.group_form == "native"
    assert "SPLIT" not in certificate.operators
    assert layer.group_form == "split"  # as it was before
    inputs = model.preprocessing(exported.test.read(range(16)))
    with Int8Runner(tmp_path / "n.tflite") as native, Int8Runner(exported.path) as split:
        assert np.abs(native(inputs) - split(inputs)).mean() < 0.05


@pytest.mark.parametrize("seed", range(6))
def test_predicted_graph_of_random_networks_is_the_converted_one(
    seed: int, make_random_model: Callable[[int], Any], make_images: Images, tmp_path: Path
) -> None:
    model = make_random_model(seed)
    certificate = export_int8(
        model,
        make_images(model.spec, 8),
        tmp_path / "random.tflite",
        group_form="native" if seed % 3 == 2 else "split",
        progress=False,
    )
    assert certificate.differences == ()
    assert certificate.all_int8


@pytest.mark.slow
@pytest.mark.parametrize("form", ["split", "native"])
@pytest.mark.parametrize(
    "name",
    ["mobilenet_edgetpu_v2_tiny", "mobilenet_edgetpu_v2_m", "mobilenet_edgetpu_v1_dm1p0", "efficientnet_edgetpu_s"],
)  # fmt: skip
def test_predicted_graph_of_published_networks_is_the_converted_one(
    name: str, form: Any, make_images: Images, tmp_path: Path
) -> None:
    from model_zoo.create import create_model

    model = create_model(name, input_shape=(64, 64, 3))
    images = make_images(model.spec, 4)
    certificate = export_int8(
        model,
        images,
        tmp_path / "net.tflite",
        group_form=form,
        allow_untrained=True,
        progress=False,
    )
    assert certificate.differences == ()
    assert certificate.all_int8


def test_export_says_nothing(
    exported: Any, make_images: Images, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = exported.model
    export_int8(model, make_images(model.spec, 4), tmp_path / "silent.tflite")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"path": "model.h5"}, UsageError, "ends in .tflite"),
        (
            {"samples": lambda images: [images[0], images[1], images[0]]},
            DataError,
            "repeats sample 0",
        ),
        ({"samples": lambda images: []}, DataError, "empty"),
        ({"samples": lambda images: [np.array(["text"])]}, DataError, "must be an image"),
        ({"samples": lambda images: np.full((2, 28, 28, 1), np.nan)}, DataError, "repeats|NaN"),
        ({"samples": lambda images: np.zeros((1, 9, 9, 1), np.float32)}, DataError, "shape"),
        ({"path": "file/model.tflite"}, EnvironmentFault, "Cannot write"),
    ],
)
def test_what_cannot_be_exported_leaves_nothing_behind(
    change: dict[str, Any],
    error: type[EdgeZooError],
    says: str,
    exported: Any,
    make_images: Images,
    tmp_path: Path,
) -> None:
    model = exported.model
    images = make_images(model.spec, 3)
    (tmp_path / "file").touch()
    samples = change.get("samples", lambda given: given)(images)
    with pytest.raises(error, match=says) as caught:
        export_int8(model, samples, tmp_path / change.get("path", "m.tflite"), progress=False)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_changed_file_loses_its_certificate(exported: Any, tmp_path: Path) -> None:
    copy = tmp_path / "small.tflite"
    copy.write_bytes(exported.path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="no certificate"):
        load_certificate(copy)
    certificate_path(copy).write_bytes(certificate_path(exported.path).read_bytes())
    with pytest.raises(DataError, match="belongs to another file"):
        load_certificate(copy)
    certificate_path(copy).write_text(
        '{"operators": {}, "tools": {}, "extra": 1}', encoding="utf-8"
    )
    with pytest.raises(DataError, match="not a certificate"):
        load_certificate(copy)


def test_truncated_file_is_refused_before_the_runtime_sees_it(
    exported: Any, tmp_path: Path
) -> None:
    short = tmp_path / "short.tflite"
    short.write_bytes(exported.path.read_bytes()[:3000])
    with pytest.raises(DataError, match="truncated or corrupt"):
        Int8Runner(short)


def test_other_backends_are_told_what_to_do(
    exported: Any, make_images: Images, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(EnvironmentFault, match="KERAS_BACKEND=tensorflow"):
        export_int8(exported.model, make_images(exported.model.spec, 2), tmp_path / "m.tflite")

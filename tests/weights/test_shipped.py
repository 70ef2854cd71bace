"""Every preset that ships is what its manifest entry says: files, counts, card, and the metric measured again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import model_zoo
from hw_model.io import float_operators, read_tflite
from model_zoo import presets
from model_zoo.card import card
from pipelines.data import load_dataset
from pipelines.data.scenes import catalogue
from pipelines.data.sources import DEBIAN_FASHION_MNIST
from pipelines.data.text import question_dataset
from pipelines.export.samples import LEAST_COUNT

NAMES = presets.names(fetched=False)
#: A name never changes its weights: lines are added here, and none is changed. A new training is NAME.v2.
WEIGHTS = {
    "autoseg_edgetpu_xs_composed_scenes":
        "eb15388a174c2f9612ac6101c03f3d34b1ac7498fbc796a347bd6708decaa949",
    "mobilenet_edgetpu_v2_tiny_fashion_mnist":
        "e8c03c6a264dfd4dfaef08d3e9d766951343f437459c66fb14911253beb7ac50",
    "spaghettinet_edgetpu_s_composed_scenes":
        "a5b0d23ea88342d82f9a71b816f61f96fe2286bb3094acc1568965f8ade08f4e",
}  # fmt: skip
#: One image more or less may change its class with another version of the arithmetic.
TOLERANCE_IMAGES = 3
TOLERANCES = {"miou": 0.003, "ap": 0.005, "ap50": 0.005}
#: Another version of the arithmetic rounds elsewhere.
SQNR_TOLERANCE_DB = 1.0
#: Most that int8 may cost, as a share.
ALLOWED_LOSS = {
    "top1": 0.005, "miou": 0.015, "ap": 0.02, "ap50": 0.02, "f1": 0.02, "exact_match": 0.025,
}  # fmt: skip


def test_presets_ship() -> None:
    assert "mobilenet_edgetpu_v2_tiny_fashion_mnist" in NAMES
    assert "autoseg_edgetpu_xs_composed_scenes" in NAMES
    assert {path.name for path in presets.weights_dir().iterdir() if path.is_dir()} - {
        "__pycache__"
    } == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_files_have_the_size_and_sum_of_the_manifest(name: str) -> None:
    preset = presets.get(name)
    assert {Path(file.path).name for file in preset.files} >= {
        "spec.json", "model.weights.h5", "model_int8.tflite", "model_int8.certificate.json",
    }  # fmt: skip
    for file in preset.files:
        assert presets.checked_file(presets.weights_dir(), file).is_file()


def test_names_never_change_their_weights() -> None:
    assert {name: presets.get(name).weights.sha256 for name in NAMES} == WEIGHTS  # type: ignore[union-attr]


@pytest.mark.parametrize("name", NAMES)
def test_counts_identity_and_classes_are_those_of_the_spec(name: str) -> None:
    preset, spec = presets.get(name), presets.spec_of(name)
    graph = spec.graph()
    assert (preset.param_count, preset.macs, preset.spec_id) == (
        graph.param_count,
        graph.macs,
        spec.spec_id,
    )
    assert spec.head is not None
    assert len(preset.class_names) == getattr(spec.head, "num_classes", 0)
    if preset.reading is None:
        size = preset.preprocessing
        assert (size.height, size.width) == (spec.input.height, spec.input.width)
    else:
        assert preset.reading.tokens == spec.input.vocabulary_size
        assert preset.reading.settings.sequence_length == spec.input.sequence_length
    assert preset.licence
    assert preset.data_licence != "unknown"
    assert preset.training is not None
    assert preset.training.wall_time_s > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_drawn_from_the_manifest(name: str) -> None:
    path = Path(presets.weights_dir()) / name / "README.md"
    assert path.read_text(encoding="utf-8") == card(presets.get(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_int8_file_is_all_integer_and_the_predicted_graph(name: str) -> None:
    from hw_model.graph import to_inference
    from pipelines.export import compare_with_file

    record = presets.get(name).tflite
    assert record is not None
    path = presets.weights_dir() / record.path
    assert float_operators(path.read_bytes()) == ()
    assert read_tflite(path).param_count > 0
    assert compare_with_file(to_inference(presets.spec_of(name).graph()), path) == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_certificate_is_what_its_file_tells(name: str) -> None:
    from hw_model.graph import to_inference
    from pipelines.export import certificate_path, load_certificate
    from pipelines.export.export import file_facts

    preset = presets.get(name)
    assert preset.tflite is not None
    assert preset.certificate is not None
    path = presets.weights_dir() / preset.tflite.path
    assert certificate_path(path) == presets.weights_dir() / preset.certificate.path
    stated = load_certificate(path)
    told = file_facts(path, path.read_bytes(), to_inference(presets.spec_of(name).graph()))
    for key in ("inputs", "outputs"):
        told[key] = tuple(
            # Older certificates do not name what goes in and out.
            replace(port, name=port.name if own.name else "")
            for port, own in zip(told[key], getattr(stated, key), strict=True)
        )
    assert {key: getattr(stated, key) for key in told} == told
    assert stated.all_int8
    assert (stated.spec_id, stated.model) == (preset.spec_id, preset.architecture)
    assert stated.calibration.distinct == stated.calibration.count >= LEAST_COUNT
    assert stated.accuracy is not None
    measured = {
        metric.form: metric.value
        for metric in preset.metrics
        if (metric.name, metric.split, metric.images)
        == (stated.accuracy.metric, "test", stated.accuracy.images)
    }
    assert measured == {
        "float": pytest.approx(stated.accuracy.float_value, abs=1e-6),
        "int8": pytest.approx(stated.accuracy.int8_value, abs=1e-6),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_certificate_made_again_from_the_weights_is_the_same(name: str, tmp_path: Path) -> None:
    from pipelines.export import export_int8, load_certificate

    preset = presets.get(name)
    assert preset.tflite is not None
    stated = load_certificate(presets.weights_dir() / preset.tflite.path)
    again = export_int8(
        model_zoo.create_model(name),
        _training_part(preset),
        tmp_path / "model_int8.tflite",
        calibration_count=stated.calibration.count,
        progress=False,
    )
    for key in ("operators", "weight_bytes", "calibration", "group_form", "differences"):
        assert getattr(again, key) == getattr(stated, key), key
    ours, theirs = again.sqnr, stated.sqnr
    assert (ours.samples, ours.tensors) == (theirs.samples, theirs.tensors)
    assert ours.median_db == pytest.approx(theirs.median_db, abs=SQNR_TOLERANCE_DB)
    assert ours.output_db == pytest.approx(theirs.output_db, abs=SQNR_TOLERANCE_DB)


def _training_part(preset: presets.Preset) -> Any:
    """What the file was calibrated on; skips where it is not on this machine."""
    assert preset.training is not None
    if preset.reading is not None:
        pytest.skip("questions are calibrated on where they were trained on")
    data = preset.training.dataset
    if data.startswith("composed_scenes") and not catalogue.is_present():
        pytest.skip("the pictures of composed_scenes are not on this machine; make assets")
    if data == "fashion_mnist" and not DEBIAN_FASHION_MNIST.is_dir():
        pytest.skip("fashion_mnist is not on this machine")
    size = (preset.preprocessing.height, preset.preprocessing.width)  # type: ignore[union-attr]
    return load_dataset(data, image_size=size).train


def _few(preset: presets.Preset, root: Path) -> tuple[list[presets.Metric], Any]:
    """Metrics recorded on few examples, and these: a data set of the package, or the first of a split."""
    fewest = min(metric.images for metric in preset.metrics)
    recorded = [metric for metric in preset.metrics if metric.images == fewest]
    (dataset, split), *more = {(metric.dataset, metric.split) for metric in recorded}
    assert not more
    assert {metric.form for metric in recorded} == {"float", "int8"}
    if preset.reading is not None:
        squad = root.parent / "shared" / "data" / "squad"
        if not squad.is_dir():
            pytest.skip("the questions of SQuAD are not on this machine")
        return recorded, question_dataset(squad).test.part(range(fewest))
    size = (preset.preprocessing.height, preset.preprocessing.width)
    if dataset.startswith("composed_scenes") and not catalogue.is_present():
        pytest.skip("the pictures of composed_scenes are not on this machine; make assets")
    test: Any = load_dataset(dataset, image_size=size).test
    return recorded, test.part(range(recorded[0].images)) if split != "test" else test


@pytest.mark.parametrize("name", NAMES)
def test_the_metric_measured_again_is_as_recorded(name: str, root: Path) -> None:
    from pipelines.export import evaluate_tflite
    from pipelines.train import evaluate

    preset = presets.get(name)
    recorded, split = _few(preset, root)
    assert preset.tflite is not None
    model = model_zoo.create_model(name)
    file = presets.weights_dir() / preset.tflite.path
    measured = {
        "float": evaluate(model, split),
        "int8": evaluate_tflite(file, split, model.preprocessing),
    }
    for metric in recorded:
        assert metric.images == len(split)
        tolerance = TOLERANCES.get(metric.name, TOLERANCE_IMAGES / len(split))
        assert abs(measured[metric.form][metric.name] - metric.value) <= tolerance, metric


@pytest.mark.parametrize("name", NAMES)
def test_quantization_costs_little(name: str) -> None:
    values: dict[tuple[str, str], dict[str, float]] = {}
    for metric in presets.get(name).metrics:
        values.setdefault((metric.name, metric.split), {})[metric.form] = metric.value
    for (key, _), by_form in values.items():
        assert by_form["float"] - by_form["int8"] <= ALLOWED_LOSS[key]


def test_the_published_floor_is_reached() -> None:
    preset = presets.get("mobilenet_edgetpu_v2_tiny_fashion_mnist")
    assert (preset.metric("top1") or 0) >= 0.93

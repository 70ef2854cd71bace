"""Every preset that ships is what its manifest entry says: files, counts, card, and the metric measured again."""

from pathlib import Path
from typing import Any

import pytest

import model_zoo
from hw_model.io import float_operators, read_tflite
from model_zoo import presets
from model_zoo.card import card
from pipelines.data import load_dataset
from pipelines.data.scenes import catalogue
from pipelines.data.text import question_dataset

NAMES = presets.names()
#: One image more or less may change its class with another version of the arithmetic.
TOLERANCE_IMAGES = 3
TOLERANCES = {"miou": 0.003, "ap": 0.005, "ap50": 0.005}
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
    words = (preset.reading.vocabulary,) if preset.reading else ()
    for record in (preset.spec, preset.weights, preset.tflite, preset.certificate, *words):
        assert record is not None
        assert presets.checked_file(presets.weights_dir(), record).is_file()


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

"""Files of quantization-aware networks: predicted operators, learned scales, answers; and the training before."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from questions_kit import reading, small_data, small_model

from hw_model.errors import UsageError
from hw_model.io import read_tflite, tensor_quantization
from model_zoo import create_spec
from model_zoo.nn.layers import FakeQuant
from model_zoo.nn.quantize_aware import copy_ranges, quantize_aware
from pipelines.data import ArraySplit, ImageDataset
from pipelines.data.text.batches import question_inputs
from pipelines.export import Int8Runner, export_int8
from pipelines.export.mask import floors_of
from pipelines.train.aware import train_quantize_aware
from pipelines.train.recipe import parse_recipe
from tests.pipelines.export.conftest import images_of, small_spec, trained_model

EPOCH = parse_recipe(
    {
        "batch_size": 16,
        "optimizer": {"name": "adamw", "learning_rate": 1e-3},
        "stages": [{"epochs": 1, "train_batch_norm": False}],
    }
)


@pytest.fixture(scope="module")
def model() -> Any:
    return trained_model(small_spec(), seed=5)


def inputs(model: Any, count: int = 16, seed: int = 2) -> Any:
    return model.preprocessing(images_of(model.spec, count, seed))


def test_the_file_is_the_predicted_one_with_the_ranges_of_the_network(
    model: Any, tmp_path: Path
) -> None:
    aware = quantize_aware(model, [inputs(model)])
    # No sample reaches this far, so it can come from nowhere else.
    aware.get_layer("stem_activation_range").high.assign(51.0)
    path = tmp_path / "aware.tflite"
    certificate = export_int8(aware, images_of(model.spec, 16), path, progress=False)
    assert certificate.all_int8
    assert certificate.differences == ()
    assert certificate.predicted_equals_converted is True
    scales = [entry.scale[0] for entry in tensor_quantization(path) if not entry.per_channel]
    assert min(abs(scale - 51 / 255) for scale in scales) < 1e-5
    runner, test = Int8Runner(path), inputs(model, seed=3)
    found = np.concatenate([runner(test[i : i + 1]) for i in range(len(test))])
    wanted = aware.predict(test, verbose=0)
    assert np.abs(found - wanted).max() < 0.03  # probabilities, in steps of 1/256


@pytest.mark.parametrize("form", ["split", "native"])
def test_both_forms_of_group_convolutions_are_there(form: Any, model: Any, tmp_path: Path) -> None:
    aware = quantize_aware(model, [inputs(model)])
    path = tmp_path / f"{form}.tflite"
    certificate = export_int8(
        aware, images_of(model.spec, 16), path, group_form=form, progress=False
    )
    assert certificate.differences == ()
    assert ("SPLIT" in certificate.operators) == (form == "split")


def test_training_starts_from_the_weights_and_ends_in_them(model: Any, tmp_path: Path) -> None:
    copy = trained_model(small_spec(), seed=5)
    images = images_of(model.spec, 48, seed=4)
    labels = copy.predict(copy.preprocessing(images), verbose=0).argmax(axis=-1)
    data = ImageDataset(
        name="answers",
        splits={
            "train": ArraySplit(images[:32], labels[:32]),
            "test": ArraySplit(images[32:], labels[32:]),
        },
        class_names=("a", "b", "c", "d"),
    )
    before = copy.get_layer("stem_conv2d").get_weights()[0]
    statistics = copy.get_layer("stem_bn").get_weights()[2]
    aware, result = train_quantize_aware(copy, data, EPOCH, run_dir=tmp_path / "run", verbose=0)
    assert result.epochs == 1
    assert not np.array_equal(copy.get_layer("stem_conv2d").get_weights()[0], before)
    np.testing.assert_array_equal(copy.get_layer("stem_bn").get_weights()[2], statistics)
    certificate = export_int8(
        aware, data, tmp_path / "f.tflite", evaluate_on=data.test, progress=False
    )
    assert certificate.accuracy is not None
    assert certificate.predicted_equals_converted is True
    with pytest.raises(UsageError, match="classes"):
        train_quantize_aware(
            trained_model(small_spec()),
            ImageDataset(name="other", splits=dict(data.splits), class_names=("a", "b", "c")),
            EPOCH,
            run_dir=tmp_path / "other",
        )


def test_ranges_move_to_a_network_with_another_output(model: Any) -> None:
    source, target = (quantize_aware(model, [inputs(model)]) for _ in range(2))
    source.get_layer("stem_activation_range").high.assign(9.0)
    copy_ranges(source, target)
    for layer in target.layers:
        if isinstance(layer, FakeQuant):
            assert float(layer.high) == float(source.get_layer(layer.name).high)
    assert float(target.get_layer("stem_activation_range").high) == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("autoseg_edgetpu_xs", {"input_shape": (64, 64, 3), "width": 0.25, "num_classes": 4}),
        ("spaghettinet_edgetpu_s", {"input_shape": (128, 128, 3), "width": 0.25, "num_classes": 4}),
        ("mobilenet_edgetpu_v1_dm1p0", {"input_shape": (32, 32, 3), "width": 0.25}),
        ("efficientnet_edgetpu_s", {"input_shape": (32, 32, 3), "width": 0.25}),
        ("ssdlite_mobiledet_edgetpu", {"input_shape": (160, 160, 3), "width": 0.25}),
    ],
)
def test_every_family_of_images_exports(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    spec = create_spec(name, strides="fit", **settings)
    model = trained_model(spec)
    aware = quantize_aware(model, [inputs(model, 2)])
    certificate = export_int8(aware, images_of(spec, 4), tmp_path / "file.tflite", progress=False)
    assert certificate.all_int8
    assert read_tflite(tmp_path / "file.tflite").ops


def test_questions_are_learned_and_exported_with_the_scores_words_need(tmp_path: Path) -> None:
    data, made = small_data(), small_model()
    aware, result = train_quantize_aware(
        made, data, EPOCH, run_dir=tmp_path / "run", preprocessing=reading(), verbose=0
    )
    scores = aware.get_layer("block_0_scores_masked_range")
    assert scores.holds_low
    # Padding lies 120 below the words; the range does not reach there, and did not move there.
    assert -40 < float(scores.low) < 0
    path = tmp_path / "aware.tflite"
    certificate = export_int8(
        aware, data.train, path, preprocessing=reading(), evaluate_on=data.test, progress=False
    )
    assert certificate.all_int8
    assert certificate.differences == ()
    assert certificate.accuracy is not None
    assert certificate.accuracy.float_value == pytest.approx(result.metrics["f1"])
    scales = [entry.scale[0] for entry in tensor_quantization(path) if not entry.per_channel]
    width = float(scores.high) - float(scores.low)
    assert min(abs(scale - width / 255) for scale in scales) < 1e-3 * width / 255


def test_scores_in_the_range_of_words_lose_less_than_with_paddings() -> None:
    model = small_model()
    texts = ("The oven.", "The lamp did it.", "In the morning, when the keeper did.")
    batch = question_inputs(reading(), reading().windows([("Who did?", text) for text in texts]))
    words = batch["input_mask"].astype(bool)

    def mixed(network: Any, tensor: Any) -> Any:
        found = np.asarray(keras.Model(network.inputs, tensor).predict_on_batch(batch))
        return np.moveaxis(found, 1, 2)[words]

    exact, noise = mixed(model, model.get_layer("block_0_mix").output), []
    for floors in (floors_of(model, [batch]), {}):
        aware = quantize_aware(model, [batch], floors=floors)
        found = mixed(aware, aware.get_layer("block_0_mix_range").input)
        noise.append(np.square(found - exact).sum())
    assert 2 * noise[0] < noise[1]


def test_a_range_that_holds_its_low_end_follows_the_high_one() -> None:
    layer = FakeQuant(holds_low=True)
    layer(np.zeros((1, 2), np.float32))
    layer.low.assign(-3.0)
    layer(np.array([[-500.0, 50.0]], np.float32), training=True)
    assert float(layer.low) == -3
    assert float(layer.high) > 6
    again = FakeQuant.from_config(layer.get_config())
    assert again.holds_low

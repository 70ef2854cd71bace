"""Group convolutions that round to 8 bits of a learned range: values, gradients, ranges, saved files."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import model_zoo
from model_zoo import presets
from model_zoo.create import create_spec
from model_zoo.nn.int8_forms import fake_quant, stepped
from model_zoo.nn.layers import FakeQuant, GroupConv2D
from model_zoo.spec import ModelSpec

pytestmark = pytest.mark.backends
NAME = "spaghettinet_edgetpu_s"
SETTINGS: dict[str, Any] = {
    "num_classes": 2,
    "input_shape": (32, 32, 3),
    "width": 0.25,
    "strides": "fit",
}


@pytest.fixture(scope="module")
def model() -> Any:
    return model_zoo.create_model(NAME, **SETTINGS, group_fake_quant=True)


def groups_of(model: Any) -> list[GroupConv2D]:
    """The group convolutions of a model."""
    return [layer for layer in model.layers if isinstance(layer, GroupConv2D)]


def values(x: Any) -> np.ndarray[Any, Any]:
    """As NumPy has it."""
    return np.asarray(ops.convert_to_numpy(x))


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (0.0, 1.7), (-0.9, 3.1), (-2.0, 0.0)])
def test_values_are_the_nearest_steps_and_zero_is_one(low: float, high: float) -> None:
    x = np.linspace(-4.0013, 8.0017, 1001).astype(np.float32)  # none halfway between two steps
    limits = [ops.convert_to_tensor(limit, "float32") for limit in (low, high)]
    found = values(fake_quant(ops.convert_to_tensor(x), *limits, 8))
    step = (high - low) / 255
    zero = np.round(-low / step)
    steps = found / step + zero
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert (round(steps.min()), round(steps.max())) == (0, 255)
    inside = (x > found.min()) & (x < found.max())
    assert np.abs(found - x)[inside].max() <= step * 0.501
    assert values(fake_quant(ops.zeros(1), *limits, 8)).tolist() == [0.0]
    plain = values(stepped(ops.convert_to_tensor(x), *limits, 8))
    np.testing.assert_allclose(plain, found, atol=1e-5)


def test_range_follows_training_alone() -> None:
    layer = FakeQuant()
    x = np.array([[-1.0, 0.5, 10.0]], np.float32)
    layer(x)
    assert [float(w) for w in layer.get_weights()] == [0.0, 6.0]
    layer(x, training=True)
    np.testing.assert_allclose(layer.get_weights(), [-0.001, 0.999 * 6 + 0.01], rtol=1e-5)
    for _ in range(3):
        layer(np.array([[1.0, 2.0]], np.float32), training=True)
    low, high = layer.get_weights()
    assert -0.001 < low < 0  # the range holds zero, whatever is seen
    assert high < 6.0
    assert not layer.trainable_weights


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="gradients by TensorFlow")
@pytest.mark.parametrize("form", [fake_quant, stepped])
def test_gradients_pass_within_the_range(form: Any) -> None:
    import tensorflow as tf

    x, high = tf.constant([-1.0, 0.5, 5.9, 7.0]), tf.Variable(6.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(form(x, tf.constant(0.0), high, 8) * [1.0, 2.0, 3.0, 4.0])
    gradient, of_range = tape.gradient(y, [x, high])
    assert gradient.numpy().tolist() == [0.0, 2.0, 3.0, 0.0]
    assert of_range is None


def test_it_is_off_unless_asked_for_and_changes_no_parameter(model: Any) -> None:
    plain = model_zoo.create_model(NAME, **SETTINGS)
    spec = create_spec(NAME, **SETTINGS)
    assert isinstance(spec, ModelSpec)
    assert not plain.group_fake_quant
    assert plain.count_params() == spec.graph().param_count
    assert model.spec == plain.spec
    assert [v.shape for v in model.trainable_variables] == [
        v.shape for v in plain.trainable_variables
    ]
    ranges = model.count_params() - plain.count_params()
    assert ranges == 2 * len(groups_of(model)) == 2 * 5


@pytest.mark.parametrize("form", ["split", "native"])
def test_a_group_convolution_answers_in_steps(form: Any) -> None:
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(2, 5, 5, 8)).astype(np.float32)
    layer = GroupConv2D(16, 4, 3, activation="relu6", group_form=form, fake_quant=True)
    other = GroupConv2D(16, 4, 3, activation="relu6", group_form=form)
    found, smooth = values(layer(x)), values(other(x))
    other.set_weights([w for w in layer.get_weights() if w.shape])
    smooth = values(other(x))
    steps = found / (6 / 255)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    assert 0 < np.abs(found - smooth).max() <= 0.51 * 6 / 255


def test_models_keep_it_in_files_and_with_other_heads(model: Any, tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype(np.float32)
    for layer in groups_of(model):
        assert layer.fake_quant is not None
        layer.fake_quant.high.assign(1.5)
    wanted = {name: values(x) for name, x in model(image).items()}
    model.save(tmp_path / "m.keras")
    preset = presets.save_preset(model, tmp_path / "w", "fq")
    assert preset.group_fake_quant
    for again in (
        keras.saving.load_model(tmp_path / "m.keras"),
        presets.load_model(tmp_path / "w"),
    ):
        assert again.group_fake_quant
        for name, x in again(image).items():
            np.testing.assert_allclose(values(x), wanted[name], atol=1e-5)
    other = model.with_head(4)
    assert other.group_fake_quant
    (first, *_) = groups_of(other)
    assert first.fake_quant is not None
    assert float(first.fake_quant.high.value) == 1.5


def test_it_trains(model: Any) -> None:
    image = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    targets = {name: np.zeros(x.shape, np.float32) for name, x in model(image).items()}
    (first, *_) = groups_of(model)
    assert first.fake_quant is not None
    before = float(first.fake_quant.high.value)
    kernel = first.get_weights()[0]
    model.compile("sgd", loss="mse")
    model.fit(image, targets, epochs=1, batch_size=2, verbose=0)
    assert float(first.fake_quant.high.value) != before
    assert not np.array_equal(first.get_weights()[0], kernel)

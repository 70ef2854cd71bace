"""Quantization-aware networks: what is rounded, from which ranges, and that training reaches the plain layers."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from hw_model.errors import DataError, UsageError
from hw_model.graph import executed_outputs
from model_zoo.create import create_spec
from model_zoo.nn.layers import FakeQuant, GroupConv2D
from model_zoo.nn.model import ZooModel
from model_zoo.nn.quantize_aware import QuantizedWeights, kernels_of, quantize_aware, rounded
from model_zoo.spec import Backbone, ClassifierHead, ImageInput, ModelSpec, Stack, Stem

pytestmark = pytest.mark.backends


def small_spec() -> ModelSpec:
    return ModelSpec(
        family="mobilenet_edgetpu_v2",
        input=ImageInput(height=16, width=16, channels=1),
        backbone=Backbone(
            stem=Stem(kernel=3, filters=8),
            stacks=(
                Stack(kind="group_fused", filters=8, expansion=4, group_size=8),
                Stack(kind="dw", filters=8, kernel=3, expansion=2),
            ),
        ),
        head=ClassifierHead(num_classes=4, top_filters=16),
    )


def images(count: int = 8) -> Any:
    return np.random.default_rng(0).normal(size=(count, 16, 16, 1)).astype("float32")


@pytest.fixture
def model() -> ZooModel:
    keras.utils.set_random_seed(0)
    model = ZooModel(small_spec())
    # Statistics and scales as training leaves them.
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
    return model


def array(x: Any) -> Any:
    return np.asarray(ops.convert_to_numpy(x))


@pytest.mark.parametrize(("bits", "levels"), [(8, 127), (4, 7), (2, 1)])
def test_weights_are_steps_of_the_largest_of_their_channel(bits: int, levels: int) -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 5, 6)).astype("float32")
    found = array(rounded(ops.convert_to_tensor(kernel), bits, (0, 1, 2)))
    step = np.abs(kernel).max(axis=(0, 1, 2)) / levels
    np.testing.assert_allclose(found / step, np.round(found / step), atol=1e-3)
    assert np.abs(found - kernel).max() <= step.max() * 0.501
    np.testing.assert_allclose(
        np.abs(found).max(axis=(0, 1, 2)), np.abs(kernel).max(axis=(0, 1, 2)), rtol=1e-5
    )
    whole = array(rounded(ops.convert_to_tensor(kernel), bits, None))
    assert len(np.unique(np.round(whole / (np.abs(kernel).max() / levels), 2))) <= 2 * levels + 1
    np.testing.assert_array_equal(array(rounded(ops.zeros((2, 2)), bits, (0,))), np.zeros((2, 2)))


def test_what_executes_comes_out_of_the_last_operation_that_merged() -> None:
    names = executed_outputs(create_spec("mobilenet_edgetpu_v2_tiny").graph())
    assert {"stem_activation", "stack_0_block_0_project_bn", "stack_2_block_0_add"} <= set(names)
    assert not {"stem_conv2d", "stem_bn", "stack_0_block_0_project_conv2d"} & set(names)
    text = executed_outputs(create_spec("mobilebert_edgetpu_xxs").graph())
    # The dense layer before takes a scale over, or the one behind; else it is a tensor of its own.
    assert {"block_0_bottleneck_norm", "block_5_output_add", "block_0_output_norm"} <= set(text)
    assert not {"block_0_bottleneck_dense", "block_5_output_norm"} & set(text)


def test_every_kernel_and_every_tensor_with_a_scale_is_rounded(model: ZooModel) -> None:
    aware = quantize_aware(model, [images()])
    weighted = [layer.name for layer in model.layers if kernels_of(layer)]
    wrapped = [layer.layer.name for layer in aware.layers if isinstance(layer, QuantizedWeights)]
    assert wrapped == weighted
    ranged = {layer.name for layer in aware.layers if isinstance(layer, FakeQuant)}
    assert ranged == {
        f"{name}_range"
        for name in (
            "stem_activation",
            "stack_0_block_0_fused_groupconv2d",
            "stack_0_block_0_project_bn",
            "stack_0_block_0_add",
            "stack_1_block_0_expand_activation",
            "stack_1_block_0_depthwise_activation",
            "stack_1_block_0_project_bn",
            "stack_1_block_0_add",
            "top_activation",
            "logits",
        )
    }


def test_ranges_start_as_the_samples_say_and_zero_is_inside(model: ZooModel) -> None:
    batches = [images()[:4], images()[4:]]
    # Weights of 16 bits are as good as exact.
    aware = quantize_aware(model, batches, weight_bits=16)
    for layer in aware.layers:
        if isinstance(layer, FakeQuant):
            source = layer.name.removesuffix("_range")
            plain = keras.Model(model.input, model.get_layer(source).output)
            values = np.concatenate([np.asarray(plain.predict_on_batch(each)) for each in batches])
            low, high = float(array(layer.low)), float(array(layer.high))
            assert low == pytest.approx(min(0.0, values.min()), abs=1e-3)
            assert high == pytest.approx(max(0.0, values.max()), abs=1e-3)


def test_eight_bits_are_near_and_fewer_are_farther(model: ZooModel) -> None:
    exact = np.asarray(model.predict_on_batch(images()))
    noise = []
    for settings in (
        {},
        {"weight_bits": 4},
        {"weight_bits": 4, "per_channel": False},
        {"activation_bits": 4},
    ):
        found = np.asarray(quantize_aware(model, [images()], **settings).predict_on_batch(images()))
        noise.append(float(np.mean((found - exact) ** 2)))
    power = float(np.var(exact))
    assert 0 < noise[0] < 1e-2 * power
    assert noise[1] > 3 * noise[0]
    assert noise[3] > 3 * noise[0]
    assert noise[2] != noise[1]


def test_training_changes_the_plain_layers_statistics_and_ranges(model: ZooModel) -> None:
    aware = quantize_aware(model, [images()])
    group = next(layer for layer in model.layers if isinstance(layer, GroupConv2D))
    before = {
        "kernel": array(group.kernels[0]),
        "statistics": array(group.batch_norms[0].moving_mean),
        "range": array(aware.get_layer("top_activation_range").high),
        "stem": array(model.get_layer("stem_conv2d").kernel),
    }
    aware.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(),
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",
    )
    aware.fit(images(), np.arange(8) % 4, batch_size=4, epochs=1, verbose=0)
    after = {
        "kernel": array(group.kernels[0]),
        "statistics": array(group.batch_norms[0].moving_mean),
        "range": array(aware.get_layer("top_activation_range").high),
        "stem": array(model.get_layer("stem_conv2d").kernel),
    }
    for name, value in before.items():
        assert np.isfinite(after[name]).all(), name
        assert not np.array_equal(after[name], value), name


def test_it_keeps_what_a_network_of_the_zoo_knows(model: ZooModel) -> None:
    aware = quantize_aware(model, [images()])
    assert aware.spec is model.spec
    assert aware.preprocessing is model.preprocessing


def test_refusals(model: ZooModel) -> None:
    with pytest.raises(DataError, match="no samples"):
        quantize_aware(model, [])
    with pytest.raises(UsageError, match="needs a network of the zoo. Received: Sequential"):
        quantize_aware(keras.Sequential([keras.layers.Dense(2)]), [images()])  # type: ignore[arg-type]


def test_saved_and_loaded_it_answers_the_same(model: ZooModel, tmp_path: Any) -> None:
    aware = quantize_aware(model, [images()], weight_bits=4)
    aware.save(tmp_path / "aware.keras")
    again = keras.saving.load_model(tmp_path / "aware.keras")
    np.testing.assert_allclose(
        np.asarray(again.predict_on_batch(images())),
        np.asarray(aware.predict_on_batch(images())),
        atol=1e-5,
    )


def test_two_sizes_of_one_spec_do_not_share(model: ZooModel) -> None:
    other = ZooModel(replace(small_spec(), head=ClassifierHead(num_classes=3, top_filters=16)))
    assert quantize_aware(other, [images()]).output_shape == (None, 3)

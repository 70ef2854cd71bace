"""The Keras model is the graph: same parameters, shapes and order; saves, loads and trains on every backend."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from keras import ops
from strategies import detection_specs, segmentation_specs, specs

import model_zoo
from hw_model.graph import Graph, verify
from model_zoo.create import create_spec
from model_zoo.nn.layers import GroupConv2D
from model_zoo.nn.model import ZooModel
from model_zoo.registry import entries
from model_zoo.spec import ModelSpec

pytestmark = pytest.mark.backends
RECORDED = Path(__file__).with_name("outputs_tensorflow.npy")


def _sizes(variables: Any) -> int:
    return sum(int(np.prod(variable.shape)) for variable in variables)


def _assert_same(model: Any, graph: Graph) -> None:
    assert _sizes(model.trainable_variables) == graph.trainable_count
    assert model.count_params() == graph.param_count
    by_name = {layer.name: layer for layer in model.layers}
    for op in graph.ops:
        shape = (None, *graph.tensors[op.outputs[0]].shape[1:])
        assert tuple(by_name[op.name].output.shape) == shape, op.name


@settings(max_examples=15)
@given(specs())
def test_random_specs_give_the_same_graph_and_keras_model(spec: ModelSpec) -> None:
    keras.backend.clear_session()
    _assert_same(ZooModel(spec), spec.graph())


@settings(max_examples=8)
@given(segmentation_specs())
def test_random_segmentation_specs_give_the_same_graph_and_keras_model(spec: ModelSpec) -> None:
    keras.backend.clear_session()
    _assert_same(ZooModel(spec), verify(spec.graph()))


@settings(max_examples=8)
@given(detection_specs())
def test_random_detection_specs_give_the_same_graph_and_keras_model(spec: ModelSpec) -> None:
    keras.backend.clear_session()
    _assert_same(ZooModel(spec), verify(spec.graph()))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(entries()))
def test_every_published_network_gives_the_same_graph_and_keras_model(name: str) -> None:
    spec = create_spec(name)
    _assert_same(ZooModel(spec), spec.graph())


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_edgetpu_v2_tiny",
        "mobilenet_edgetpu_v1_dm0p75",
        "efficientnet_edgetpu_s",
        "autoseg_edgetpu_xs",
        "deeplabv3plus_mobilenet_edgetpu_v2_xs",
        "deeplabv3plus_mobilenet_v2",
    ],
)
def test_one_network_of_each_family_gives_the_same_graph_and_keras_model(name: str) -> None:
    spec = create_spec(name, num_classes=1000)
    _assert_same(ZooModel(spec), spec.graph())


def test_group_convolution_equals_one_grouped_convolution_with_one_norm() -> None:
    layer = GroupConv2D(24, 8, 3, strides=2)
    images = np.random.default_rng(0).normal(size=(2, 9, 9, 12)).astype(np.float32)
    layer(images)
    rng = np.random.default_rng(1)
    for norm in layer.batch_norms:
        norm.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in norm.get_weights()])
    split = ops.convert_to_numpy(layer(images))
    conv = keras.layers.Conv2D(24, 3, strides=2, padding="same", groups=3, use_bias=False)
    norm = keras.layers.BatchNormalization(epsilon=1e-3)
    norm(conv(images))
    conv.set_weights([np.concatenate([ops.convert_to_numpy(k) for k in layer.kernels], axis=-1)])
    columns = zip(*(part.get_weights() for part in layer.batch_norms), strict=True)
    norm.set_weights([np.concatenate(parts) for parts in columns])
    reference = np.maximum(ops.convert_to_numpy(norm(conv(images))), 0)
    np.testing.assert_allclose(split, reference, atol=1e-5)
    layer.group_form = "native"
    np.testing.assert_allclose(ops.convert_to_numpy(layer(images)), reference, atol=1e-5)


def test_a_saved_model_comes_back_whole(small: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    small.save(path)
    again = keras.models.load_model(path)
    images = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    np.testing.assert_allclose(
        small.predict(images, verbose=0), again.predict(images, verbose=0), atol=1e-6
    )
    assert (again.spec, again.preprocessing, again.class_names) == (
        small.spec,
        small.preprocessing,
        small.class_names,
    )


def test_drop_connect_drops_whole_samples_in_training_only() -> None:
    spec = create_spec("mobilenet_edgetpu_v2_tiny", input_shape=(32, 32, 1), drop_connect=0.9)
    rates = [layer.rate for layer in ZooModel(spec).layers if layer.name.endswith("_drop")]
    assert rates == pytest.approx(
        [0.9 * i / 20 for i in (2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 16, 17, 18)]
    )
    drop = keras.layers.Dropout(0.5, noise_shape=(None, 1, 1, 1))
    out = ops.convert_to_numpy(drop(np.ones((64, 2, 2, 3), np.float32), training=True))
    assert {len(np.unique(sample)) for sample in out} == {1}
    assert 0.0 in out


def test_a_few_steps_of_training_lower_the_loss() -> None:
    keras.utils.set_random_seed(1)
    model = model_zoo.create_model(
        "mobilenet_edgetpu_v2_tiny",
        num_classes=2,
        input_shape=(12, 12, 1),
        strides="fit",
        width=0.25,
        dropout=0.0,
        drop_connect=0.0,
    )
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 32)
    images = rng.normal(size=(32, 12, 12, 1)).astype(np.float32) + labels[:, None, None, None]
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", jit_compile=False)
    history = model.fit(images, labels, epochs=6, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]


def test_outputs_agree_with_those_recorded_on_tensorflow(small: Any) -> None:
    """Weights set by a rule, so that any backend can be held against the numbers of another to 1e-4."""
    model = small.with_head(10)
    fill_by_rule(model)
    image = np.linspace(-1, 1, 28 * 28, dtype=np.float32).reshape(1, 28, 28, 1)
    expected = np.load(RECORDED)
    assert expected.std() > 0.01
    np.testing.assert_allclose(model.predict(image, verbose=0), expected, atol=1e-4)


def fill_by_rule(model: Any) -> None:
    """Sets every weight from one generator, in the order of layer names."""
    rng = np.random.default_rng(7)
    for layer in sorted(model.layers, key=lambda item: item.name):
        arrays = layer.get_weights()
        if arrays and all(array.dtype.kind == "f" for array in arrays):
            layer.set_weights([_values(rng, array.shape) for array in arrays])


def _values(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    if len(shape) == 1:
        return rng.uniform(0.5, 1.0, shape)
    return rng.normal(0, (2 / np.prod(shape[:-1])) ** 0.5, shape)

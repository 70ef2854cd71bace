"""The operators the reader finds in real converted files are those the TensorFlow Lite interpreter runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model import estimate
from hw_model.graph import Graph
from hw_model.io import read_tflite
from hw_model.io.tflite_file import load


def _interpreted(content: bytes) -> tuple[list[str], dict[str, tuple[int, ...]]]:
    """Operator names in execution order, and the shape of every tensor with a name, as the interpreter has them."""
    runtime = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = runtime.Interpreter(
        model_content=content,
        experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    shapes = {
        detail["name"]: tuple(int(size) for size in detail["shape"])
        for detail in interpreter.get_tensor_details()
    }
    return [detail["op_name"] for detail in interpreter._get_ops_details()], shapes


def _agrees(content: bytes) -> Graph:
    """The graph of a file, after its operators and shapes were compared with the interpreter's."""
    codes, shapes = _interpreted(content)
    assert [operator.code for operator in load(content).operators] == codes
    graph = read_tflite(content)
    written = {file.name for file in load(content).tensors}
    for tensor in graph.tensors:
        if tensor.name in written and tensor.shape and shapes.get(tensor.name):
            named = [other for other in graph.tensors if other.name == tensor.name]
            assert len(named) > 1 or tensor.shape == shapes[tensor.name], tensor.name
    return graph


def test_shipped_presets(root: Path) -> None:
    paths = sorted((root / "weights").glob("*/*_int8.tflite"))
    assert paths
    for path in paths:
        graph = _agrees(path.read_bytes())
        assert not graph.notes
        assert not estimate(graph).warnings


def _odd_network() -> Any:
    """Operators the families do not use."""
    import keras
    import tensorflow as tf

    class Odd(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            x = tf.nn.space_to_depth(tf.nn.depth_to_space(x, 2), 2)
            parts = tf.unstack(x, axis=1)
            x = tf.stack([parts[2], parts[0], parts[1]], axis=1)
            x = tf.maximum(x, 0.1) - tf.reduce_mean(x, axis=-1, keepdims=True)
            x = tf.math.squared_difference(x, tf.gather(x, [1], axis=2))
            return tf.reduce_sum(x * tf.math.rsqrt(x + 1.0), axis=3)

    image = keras.Input((3, 6, 8), batch_size=None, name="image")
    x = keras.layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(image)
    x = keras.layers.PReLU(shared_axes=[1, 2])(keras.layers.MaxPooling2D(2)(x))
    x = Odd()(x)
    return keras.Model(image, keras.layers.Dense(5)(keras.layers.Flatten()(x)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs")
@pytest.mark.parametrize("kind", ["float", "int8", "int16x8", "float16", "hybrid"])
@pytest.mark.parametrize("batch", [1, None])
def test_converted_networks(kind: str, batch: int | None) -> None:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = _odd_network()
    function = tf.function(lambda image: model(image, training=False), autograph=False)
    signature = function.get_concrete_function(tf.TensorSpec((batch, 3, 6, 8), tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [convert_variables_to_constants_v2(signature)]
    )
    samples = np.random.default_rng(1).uniform(0, 1, (8, 1, 3, 6, 8)).astype(np.float32)
    if kind != "float":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if kind == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        wide = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        chosen = tf.lite.OpsSet.TFLITE_BUILTINS_INT8 if kind == "int8" else wide
        converter.target_spec.supported_ops = [chosen, tf.lite.OpsSet.TFLITE_BUILTINS]
    content = bytes(converter.convert())
    graph = _agrees(content)
    notes = "; ".join(graph.notes)
    assert not any(op.kind == "Opaque" for op in graph.ops)
    assert ("16-bit" in notes) == (kind == "int16x8")
    assert ("floating point" in notes) == (kind in ("float", "float16", "hybrid"))
    assert ("known while running" in notes) == (batch is None)
    assert estimate(graph, target="coral_usb").latency_ms > 0

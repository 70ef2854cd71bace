"""Quantization-aware training: a network that rounds weights and activations as its int8 file will.

Source: Jacob et al. 2018; symmetric weights per channel as LiteRT's int8 specification has them.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np
from keras import ops

from hw_model.errors import DataError, UsageError
from hw_model.graph import Graph, executed_outputs
from hw_model.graph import ops as graph_ops
from model_zoo.nn import text_layers
from model_zoo.nn.depth import deep_networks
from model_zoo.nn.layers import FakeQuant, GroupConv2D
from model_zoo.nn.model import ZooModel

#: The int8 specification gives these the scale of what they read.
_KEEPS_SCALE = (
    graph_ops.Pool,
    graph_ops.GlobalPool,
    graph_ops.Resize,
    graph_ops.Reshape,
    graph_ops.Slice,
    graph_ops.Split,
    graph_ops.Pad,
    graph_ops.Transpose,
    graph_ops.Gather,
    graph_ops.Embedding,
    graph_ops.ArgMax,
    graph_ops.QuantizedArgMax,
    graph_ops.Opaque,
)
#: The int8 specification fixes their output's scale.
_FIXED = ("softmax", "sigmoid", "tanh")
#: Axes of a kernel over which a channel's largest weight is sought; None: one scale for the whole table.
_AXES: dict[type, tuple[int, ...] | None] = {
    keras.layers.Conv2D: (0, 1, 2),
    keras.layers.DepthwiseConv2D: (0, 1),
    GroupConv2D: (0, 1, 2),
    keras.layers.Dense: (0,),
    text_layers.Lookup: None,
}
_TINY = 1e-12


@keras.saving.register_keras_serializable(package="model_zoo")
class QuantizedWeights(keras.layers.Wrapper):
    """A layer whose kernels are rounded to `bits` when it runs; the layer keeps them exact, and they learn."""

    def __init__(
        self, layer: Any, *, bits: int = 8, per_channel: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(layer, name=kwargs.pop("name", f"{layer.name}_rounded"), **kwargs)
        self.bits = bits
        self.per_channel = per_channel
        #: The converter rounds to the same 8 bits by itself, and merges batch norms before it does.
        self.in_steps = False

    def call(self, inputs: Any, training: bool = False) -> Any:
        layer = self.layer
        asked = {"training": training} if isinstance(layer, GroupConv2D) else {}
        if self.in_steps and self.bits == 8 and self.per_channel:
            return layer(inputs, **asked)
        kernels = {id(variable) for variable in kernels_of(layer)}
        axes = _axes(layer) if self.per_channel else None
        mapping = [
            (v, rounded(ops.convert_to_tensor(v), self.bits, axes) if id(v) in kernels else v.value)
            for v in layer.variables
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            outputs = layer(inputs, **asked)
        if training:
            for variable in layer.non_trainable_variables:
                variable.assign(scope.get_current_value(variable))
        return outputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bits": self.bits, "per_channel": self.per_channel}


def rounded(kernel: Any, bits: int, axes: tuple[int, ...] | None) -> Any:
    """The nearest of the even steps between plus and minus the largest weight; gradients pass unchanged.

    The largest is that over `axes`, so of each channel, or of all weights for None.
    """
    largest = ops.max(ops.abs(kernel), axis=axes, keepdims=True)
    step = ops.maximum(largest, _TINY) / (2 ** (bits - 1) - 1)
    nearest = ops.round(kernel / step) * step
    return kernel + ops.stop_gradient(nearest - kernel)


def kernels_of(layer: Any) -> list[Any]:
    """The variables of a layer that become int8 weights; none for a layer without."""
    if isinstance(layer, GroupConv2D):
        return list(layer.kernels)
    if not any(isinstance(layer, kind) for kind in _AXES):
        return []
    return [v for v in layer.weights if v.name in ("kernel", "embeddings")]


def quantize_aware(
    model: ZooModel,
    samples: Iterable[Any],
    *,
    weight_bits: int = 8,
    activation_bits: int = 8,
    per_channel: bool = True,
    floors: Mapping[str, float] = MappingProxyType({}),
) -> Any:
    """A Keras model of the same layers that computes with rounded weights and activations.

    Training it trains the layers of `model`. Ranges of activations start as those of `samples`, batches the
    model takes, and follow the training. Activations are rounded where the executed graph keeps a tensor: behind a
    convolution with its norm and ReLU, a sum, a concatenation; exports take their scales from here. `floors` are
    the lowest values that mean anything in the outputs of layers: their ranges begin there and stay so.

    Raises:
        UsageError: no network of the zoo.
        DataError: no samples.
    """
    if not isinstance(model, ZooModel):
        raise UsageError(
            f"Quantization-aware training needs a network of the zoo. Received: {type(model).__name__}"
        )
    points = _points(model.spec.graph())
    ranges: list[FakeQuant] = []
    waiting: set[int] = set()

    def ranged(name: str, outputs: Any) -> Any:
        ranges.append(
            FakeQuant(bits=activation_bits, holds_low=name in floors, name=f"{name}_range")
        )
        return ranges[-1](outputs)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(layer, keras.Layer):  # the activation function of a sum
            outputs = layer(*args, **kwargs)
            return ranged(layer.name, outputs) if id(args[0]) in waiting else outputs
        if kernels_of(layer):
            outputs = QuantizedWeights(layer, bits=weight_bits, per_channel=per_channel)(*args)
        else:
            outputs = layer(*args, **kwargs)
        if layer.name not in points:
            return outputs
        if layer.name in merged:
            waiting.add(id(outputs))
            return outputs
        return ranged(layer.name, outputs)

    merged = {
        op.name
        for op in model.spec.graph().ops
        if isinstance(op.type, graph_ops.Add | graph_ops.Mul) and op.type.activation is not None
    }
    with deep_networks():
        aware = keras.models.clone_model(
            model, clone_function=lambda layer: layer, call_function=call
        )
        _calibrate(aware, ranges, samples)
    for name, floor in floors.items():
        aware.get_layer(f"{name}_range").low.assign(min(floor, 0.0))
    for name in ("spec", "preprocessing", "class_names", "weights_origin"):
        setattr(aware, name, getattr(model, name))
    return aware


def copy_ranges(source: Any, target: Any) -> None:
    """Gives a network's activations the ranges of another one's with the same names."""
    learned = {layer.name: layer for layer in source.layers if isinstance(layer, FakeQuant)}
    for layer in target.layers:
        if isinstance(layer, FakeQuant) and layer.name in learned:
            layer.low.assign(learned[layer.name].low.value)
            layer.high.assign(learned[layer.name].high.value)


def _points(graph: Graph) -> set[str]:
    """Operations behind which the executed graph keeps a tensor with a scale of its own."""
    readers: dict[int, set[type]] = {}
    writers: dict[str, int] = {}
    for op in graph.ops:
        for index in op.inputs:
            readers.setdefault(index, set()).add(type(op.type))
        writers[op.name] = op.outputs[0]
    return {
        name
        for name, kind in executed_outputs(graph).items()
        if not isinstance(kind, _KEEPS_SCALE)
        and _function(kind) not in _FIXED
        # A concatenation has one scale for all it reads.
        and readers.get(writers[name]) != {graph_ops.Concat}
    }


def _calibrate(model: Any, ranges: list[FakeQuant], samples: Iterable[Any]) -> None:
    """Sets every range to what the samples reach with rounded weights and exact activations, zero included."""
    probe = keras.Model(model.input, [layer.input for layer in ranges])
    seen = []
    for layer in ranges:
        layer.rounds = False
    try:
        for batch in samples:
            found = probe.predict_on_batch(batch)
            seen.append([(np.min(values), np.max(values)) for values in found])
    finally:
        for layer in ranges:
            layer.rounds = True
    if not seen:
        raise DataError("There are no samples to find the ranges of activations with")
    limits = np.asarray(seen)
    lows = np.minimum(limits[:, :, 0].min(axis=0), 0.0)
    highs = np.maximum(limits[:, :, 1].max(axis=0), 0.0)
    for layer, low, high in zip(ranges, lows, highs, strict=True):
        layer.low.assign(low)
        layer.high.assign(high if high > low else low + 1.0)


def _function(kind: graph_ops.OpType) -> str:
    if isinstance(kind, graph_ops.Softmax):
        return "softmax"
    return str(getattr(kind, "function", "")) if isinstance(kind, graph_ops.Activation) else ""


def _axes(layer: Any) -> tuple[int, ...] | None:
    return next(axes for kind, axes in _AXES.items() if isinstance(layer, kind))

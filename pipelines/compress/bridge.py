"""The bridge to legacy Keras, where TensorFlow's model optimization works: a network's twin there, its weights back.

The twin is read from the spec by a builder of its own, as the Keras model is, so every image family has one. A group
convolution becomes what it computes: slices, convolutions with their norms, and a concatenation.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hw_model.errors import EnvironmentFault, UsageError
from hw_model.graph import Builder, ops
from hw_model.graph.types import DType, Shape
from model_zoo.lowering import lower
from model_zoo.spec.image import ModelSpec

if TYPE_CHECKING:
    from model_zoo.nn.model import ZooModel

_VARIABLE = "TF_USE_LEGACY_KERAS"


@cache
def legacy() -> tuple[Any, Any]:
    """The modules `tf_keras` and `tensorflow_model_optimization`; nothing of either is imported anywhere else.

    The latter sets an environment variable by which TensorFlow, here and in every process started from here, takes
    legacy Keras for its own; it is put back, and this process has made its choice before.

    Raises:
        EnvironmentFault: Keras runs on another backend than TensorFlow.
        ModuleNotFoundError: a package is missing.
    """
    import keras

    if (backend := keras.backend.backend()) != "tensorflow":
        raise EnvironmentFault(
            "Pruning and clustering need the TensorFlow backend; set KERAS_BACKEND=tensorflow "
            f"(weights load across backends). Received: KERAS_BACKEND={backend}"
        )
    import tensorflow as tf

    tf.keras.layers  # noqa: B018  # the choice
    before = os.environ.get(_VARIABLE)
    try:
        import tensorflow_model_optimization as tfmot
        import tensorflow_model_optimization.python.core.clustering.keras.experimental.cluster
        import tf_keras
    finally:
        os.environ.pop(_VARIABLE, None)
        if before is not None:
            os.environ[_VARIABLE] = before
    return tf_keras, tfmot


def plainly(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What `function` answers while TensorFlow converts no Python of the layers it calls.

    No layer here needs that, and it takes longer than all the rest of wrapping a network.
    """
    import tensorflow as tf

    return tf.autograph.experimental.do_not_convert(function)(*args, **kwargs)


def to_legacy(model: "ZooModel") -> Any:
    """A `tf_keras` model of stock layers that answers as `model` does, with layers of the same names.

    A model of several named outputs has a list of them there.

    Raises:
        UsageError: a network that reads text, or an operation that is not known there; it is named.
    """
    require_images(model)
    twin = plainly(lower, model.spec, _LegacyBuilder(model))
    for name, variables in _weights(model):
        twin.get_layer(name).set_weights([np.asarray(variable) for variable in variables])
    return twin


def require_images(model: Any) -> None:
    """Refuses what is no image network of the zoo."""
    spec = getattr(model, "spec", None)
    if not isinstance(spec, ModelSpec):
        family = getattr(spec, "family", type(model).__name__)
        raise UsageError(
            f"Pruning and clustering are for the image networks of the zoo. Received: {model.name} ({family})"
        )


def from_legacy(twin: Any, model: "ZooModel") -> "ZooModel":
    """A new model like `model` with the weights of its twin, whose layers may have been wrapped meanwhile."""
    clone = type(model).from_config(model.get_config())
    clone.set_weights(model.get_weights())
    layers = {unwrapped(layer).name: layer for layer in twin.layers}
    for name, variables in _weights(clone):
        for variable, value in zip(variables, _values(layers[name]), strict=True):
            variable.assign(value)
    return clone


def unwrapped(layer: Any) -> Any:
    """The layer inside the wrappers of model optimization."""
    return unwrapped(layer.layer) if hasattr(layer, "layer") else layer


def _values(layer: Any) -> list[Any]:
    """The weights of a layer without those that its wrapper adds, and also holds for it."""
    inner = unwrapped(layer)
    if inner is layer:
        return list(layer.get_weights())
    # A wrapper of a frozen norm names some of its weights twice.
    own = {each.name: each for each in layer.weights if each.name.rpartition("/")[0] == inner.name}
    return [weight.numpy() for weight in own.values()]


def _weights(model: "ZooModel") -> Iterator[tuple[str, list[Any]]]:
    """The name of each of the twin's layers with weights, and the variables of `model` that they are."""
    from model_zoo.nn.layers import GroupConv2D

    for layer in model.layers:
        if isinstance(layer, GroupConv2D):
            for group, (kernel, norm) in enumerate(
                zip(layer.kernels, layer.batch_norms, strict=True)
            ):
                yield f"{layer.name}_conv2d_{group}", [kernel]
                yield f"{layer.name}_bn_{group}", norm.weights
        elif layer.weights:
            yield layer.name, layer.weights


class _LegacyBuilder(Builder[Any, Any]):
    """Reads a lowering into `tf_keras` layers."""

    def __init__(self, model: "ZooModel") -> None:
        self.model = model
        self.layers = legacy()[0].layers
        self._image: Any = None

    def input(self, shape: Shape, *, name: str = "image", dtype: DType = "float32") -> Any:
        self._image = self.layers.Input(shape[1:], dtype=dtype, name=name)
        return self._image

    def emit(self, op: ops.OpType, inputs: Sequence[Any], *, name: str) -> tuple[Any, ...]:
        if isinstance(op, ops.GroupConv2D):
            return (self._group_conv(op, inputs[0], name),)
        make = _LAYERS.get(type(op))
        if make is None:
            raise UsageError(
                f"{name}: pruning and clustering know no {type(op).__name__}; choose a network, or an output, "
                "without"
            )
        x = make(self.layers, op, name)(inputs[0] if len(inputs) == 1 else list(inputs))
        return (self._activate(x, getattr(op, "activation", None), name),)

    def _activate(self, x: Any, function: ops.ActivationName | None, name: str) -> Any:
        if function is None:
            return x
        return self.emit(ops.Activation(function=function), (x,), name=f"{name}_function")[0]

    def _group_conv(self, op: ops.GroupConv2D, x: Any, name: str) -> Any:
        groups = op.filters // op.group_size
        width = x.shape[-1] // groups
        branches = []
        for group in range(groups):
            cut = {"begin": [0, 0, group * width], "sizes": [*x.shape[1:3], width]}
            branch = _step("Slice", cut, f"{name}_slice_{group}")(x)
            branch = self.layers.Conv2D(
                op.group_size,
                op.kernel,
                strides=op.stride,
                padding=op.padding,
                use_bias=False,
                name=f"{name}_conv2d_{group}",
            )(branch)
            norm = ops.BatchNorm(epsilon=op.epsilon, momentum=op.momentum)
            branch = self.emit(norm, (branch,), name=f"{name}_bn_{group}")[0]
            branches.append(self._activate(branch, op.activation, f"{name}_{group}"))
        joined = self.layers.Concatenate(name=f"{name}_concat")(branches)
        rounding = self.model.get_layer(name).fake_quant
        if rounding is None:
            return joined
        # The range was learned before and stays as it is.
        limits = {"min": float(rounding.low), "max": float(rounding.high)}
        return _step("FakeQuant", {**limits, "num_bits": rounding.bits}, f"{name}_rounded")(joined)

    def shape(self, handle: Any) -> Shape:
        return (1, *handle.shape[1:])

    def finish(self, outputs: Any | Mapping[str, Any], *, name: str) -> Any:
        # Model optimization rewrites networks of one output, or of a list of them.
        ends = list(outputs.values()) if isinstance(outputs, Mapping) else outputs
        return legacy()[0].Model(self._image, ends, name=name)


def _conv(layers: Any, op: ops.Conv2D, name: str) -> Any:
    return layers.Conv2D(
        op.filters,
        op.kernel,
        strides=op.stride,
        dilation_rate=op.dilation,
        padding=op.padding,
        groups=op.groups,
        use_bias=op.bias,
        name=name,
    )


def _depthwise(layers: Any, op: ops.DepthwiseConv2D, name: str) -> Any:
    return layers.DepthwiseConv2D(
        op.kernel,
        strides=op.stride,
        dilation_rate=op.dilation,
        padding=op.padding,
        use_bias=op.bias,
        name=name,
    )


def _activation(layers: Any, op: ops.Activation, name: str) -> Any:
    # Model optimization rounds behind a layer of its own kinds alone.
    limits = {"relu": None, "relu6": 6.0}
    if op.function in limits:
        return layers.ReLU(max_value=limits[op.function], name=name)
    return _step("Activation", {"function": op.function}, name)


def _pool(layers: Any, op: ops.Pool, name: str) -> Any:
    kinds = {"average": layers.AveragePooling2D, "max": layers.MaxPooling2D}
    return kinds[op.mode](op.kernel, strides=op.stride, padding=op.padding, name=name)


def _slice(layers: Any, op: ops.Slice, name: str) -> Any:
    if any(step != 1 for step in op.strides):
        raise UsageError(f"{name}: pruning and clustering know no slice in steps")
    return _step("Slice", {"begin": list(op.begin[1:]), "sizes": list(op.sizes[1:])}, name)


_LAYERS: dict[type[ops.OpType], Any] = {
    ops.Conv2D: _conv,
    ops.DepthwiseConv2D: _depthwise,
    ops.Dense: lambda layers, op, name: layers.Dense(op.units, use_bias=op.bias, name=name),
    ops.BatchNorm: lambda layers, op, name: layers.BatchNormalization(
        epsilon=op.epsilon, momentum=op.momentum, name=name
    ),
    ops.Activation: _activation,
    ops.Softmax: lambda layers, op, name: _step("Softmax", {}, name),
    ops.Add: lambda layers, op, name: layers.Add(name=name),
    ops.Mul: lambda layers, op, name: layers.Multiply(name=name),
    ops.Concat: lambda layers, op, name: layers.Concatenate(axis=op.axis, name=name),
    ops.Pool: _pool,
    ops.GlobalPool: lambda layers, op, name: layers.GlobalAveragePooling2D(
        keepdims=op.keep_dims, name=name
    ),
    ops.Resize: lambda layers, op, name: layers.Resizing(
        *op.size, interpolation=op.mode, name=name
    ),
    ops.Reshape: lambda layers, op, name: layers.Reshape(op.shape[1:], name=name),
    ops.Dropout: lambda layers, op, name: layers.Dropout(
        op.rate, noise_shape=(None, 1, 1, 1) if op.per_sample else None, name=name
    ),
    ops.Slice: _slice,
}


def _step(kind: str, attributes: dict[str, Any], name: str) -> Any:
    return step_class()(kind=kind, attributes=attributes, name=name)


@cache
def step_class() -> Any:
    """A weightless layer for what `tf_keras` has none, made when it is wanted."""
    import keras
    import tensorflow as tf

    tf_keras, _ = legacy()
    base: Any = tf_keras.layers.Layer
    steps = {
        "Activation": lambda x, function: keras.activations.get(function)(x),
        "Slice": lambda x, begin, sizes: tf.slice(x, [0, *begin], [-1, *sizes]),
        "FakeQuant": tf.quantization.fake_quant_with_min_max_args,
        "Softmax": tf.nn.softmax,
        "Identity": tf.identity,
    }

    @tf_keras.utils.register_keras_serializable(package="edgezoo")
    class Step(base):
        """An operation by its name, with its attributes."""

        def __init__(self, *, kind: str, attributes: dict[str, Any], **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.kind, self.attributes = kind, attributes

        def call(self, inputs: Any) -> Any:
            return steps[self.kind](inputs, **self.attributes)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "kind": self.kind, "attributes": self.attributes}

    return Step

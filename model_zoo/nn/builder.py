"""The builder that reads a lowering into a Keras model; each operation type has one entry in a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import keras

from hw_model.errors import UsageError
from hw_model.graph import Builder, ops
from hw_model.graph.types import DType, Shape
from model_zoo.nn import layers, text_layers
from model_zoo.nn.starts import Start

#: Kernel initialisers; V1 and V2 truncate the normal, EfficientNet does not. Source: published configs.
HE_FAN_OUT = {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"}
HE_FAN_OUT_PLAIN = {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"}
CLASSIFIER = {"scale": 1 / 3, "mode": "fan_out", "distribution": "uniform"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasOptions:
    """How weights start and are regularised; the architecture is not touched.

    With `free_length` sequences may have any length; with `group_fake_quant` group convolutions answer in 8 bits.
    """

    kernel_init: Mapping[str, Any]
    kernel_l2: float = 0.0
    group_form: layers.GroupForm = "split"
    starts: tuple[Start, ...] = ()
    free_length: bool = False
    group_fake_quant: bool = False


class KerasBuilder(Builder[Any, tuple[Any, Any]]):
    """Reads a lowering into Keras tensors; `finish` returns (inputs, outputs) for `keras.Model`."""

    def __init__(self, options: KerasOptions) -> None:
        self.options = options
        self._inputs: list[Any] = []
        self._embeddings: dict[str, Any] = {}

    def input(self, shape: Shape, *, name: str = "image", dtype: DType = "float32") -> Any:
        free = self.options.free_length and len(shape) == 2
        self._inputs.append(keras.Input((None,) if free else shape[1:], dtype=dtype, name=name))
        return self._inputs[-1]

    def emit(self, op: ops.OpType, inputs: Sequence[Any], *, name: str) -> tuple[Any, ...]:
        make = _LAYERS.get(type(op))
        if make is None:
            raise UsageError(
                f"No Keras layer is known for this operation. Received: {type(op).__name__}"
            )
        layer = make(op, name, self.options)
        if isinstance(op, ops.Embedding):
            self._embeddings[name] = layer
        elif isinstance(op, ops.TiedLogits):
            owner = self._embeddings[op.table]
            layer.table = lambda: owner.embeddings
        outputs = layer(*inputs)
        return tuple(outputs) if isinstance(outputs, list | tuple) else (outputs,)

    def shape(self, handle: Any) -> Shape:
        return (1, *handle.shape[1:])

    def finish(self, outputs: Any | Mapping[str, Any], *, name: str) -> tuple[Any, Any]:
        inputs = self._inputs[0] if len(self._inputs) == 1 else self._inputs
        return inputs, dict(outputs) if isinstance(outputs, Mapping) else outputs


def _kernel(
    options: KerasOptions, name: str, *, classifier: bool, prefix: str = "kernel"
) -> dict[str, Any]:
    init = CLASSIFIER if classifier else options.kernel_init
    start = _start(options, name)
    l2 = keras.regularizers.L2(options.kernel_l2) if options.kernel_l2 else None
    return {
        f"{prefix}_initializer": start.kernel()
        if start
        else keras.initializers.VarianceScaling(**init),
        f"{prefix}_regularizer": l2,
        **({"bias_initializer": keras.initializers.Constant(start.bias)} if start else {}),
    }


def _start(options: KerasOptions, name: str) -> Start | None:
    return next((start for start in options.starts if start.fits(name)), None)


def _conv(op: ops.Conv2D, name: str, options: KerasOptions) -> Any:
    return keras.layers.Conv2D(
        op.filters,
        op.kernel,
        strides=op.stride,
        dilation_rate=op.dilation,
        padding=op.padding,
        groups=op.groups,
        use_bias=op.bias,
        activation=op.activation,
        name=name,
        **_kernel(options, name, classifier=op.bias),
    )


def _depthwise(op: ops.DepthwiseConv2D, name: str, options: KerasOptions) -> Any:
    return keras.layers.DepthwiseConv2D(
        op.kernel,
        strides=op.stride,
        dilation_rate=op.dilation,
        padding=op.padding,
        use_bias=op.bias,
        activation=op.activation,
        name=name,
        **_kernel(options, name, classifier=False, prefix="depthwise"),
    )


def _group_conv(op: ops.GroupConv2D, name: str, options: KerasOptions) -> Any:
    if op.kernel[0] != op.kernel[1] or op.stride[0] != op.stride[1] or op.padding != "same":
        raise UsageError(
            f"{name}: a group convolution here is square with SAME padding. Received: {op}"
        )
    start = _start(options, name)
    init = keras.initializers.serialize(start.kernel()) if start else "glorot_uniform"
    return layers.GroupConv2D(
        op.filters,
        op.group_size,
        op.kernel[0],
        strides=op.stride[0],
        activation=op.activation,
        momentum=op.momentum,
        epsilon=op.epsilon,
        kernel_initializer=init,
        kernel_regularizer=keras.regularizers.L2(options.kernel_l2) if options.kernel_l2 else None,
        group_form=options.group_form,
        fake_quant=options.group_fake_quant,
        name=name,
    )


def _dense(op: ops.Dense, name: str, options: KerasOptions) -> Any:
    init = _kernel(options, name, classifier=True)
    return keras.layers.Dense(
        op.units, use_bias=op.bias, activation=op.activation, name=name, **init
    )


def _embedding(op: ops.Embedding, name: str, options: KerasOptions) -> Any:
    init = _table(options, name)
    return text_layers.Lookup(op.rows, op.width, embeddings_initializer=init, name=name)


def _table(options: KerasOptions, name: str) -> Any:
    start = _start(options, name)
    return start.kernel() if start else "uniform"


def _positions(op: ops.PositionEmbedding, name: str, options: KerasOptions) -> Any:
    init = _table(options, name)
    return text_layers.PositionEmbedding(op.rows, embeddings_initializer=init, name=name)


def _tied(op: ops.TiedLogits, name: str, options: KerasOptions) -> Any:
    init = _table(options, name)
    return text_layers.TiedLogits(op.rows, op.width, kernel_initializer=init, name=name)


def _reshape(op: ops.Reshape, name: str, options: KerasOptions) -> Any:
    # A size that a free length leaves open follows from the others.
    open_sizes: Sequence[int | None] = op.shape[1:]
    sizes = tuple(-1 if size is None else size for size in open_sizes)
    return keras.layers.Reshape(sizes, name=name)


def _pool(op: ops.Pool, name: str, options: KerasOptions) -> Any:
    kinds = {"average": keras.layers.AveragePooling2D, "max": keras.layers.MaxPooling2D}
    return kinds[op.mode](op.kernel, strides=op.stride, padding=op.padding, name=name)


def _dropout(op: ops.Dropout, name: str, options: KerasOptions) -> Any:
    noise_shape = (None, 1, 1, 1) if op.per_sample else None
    return keras.layers.Dropout(op.rate, noise_shape=noise_shape, name=name)


def _binary(layer: Callable[..., Any]) -> Callable[..., Any]:
    def make(op: Any, name: str, options: KerasOptions) -> Any:
        merge = layer(name=name)
        activate = keras.activations.get(op.activation)
        return lambda *inputs: activate(merge(list(inputs)))

    return make


def _operation(op: ops.OpType, name: str, options: KerasOptions) -> Any:
    return layers.Operation(type(op).__name__, asdict(op), name=name)


def _norm(layer: Callable[..., Any]) -> Callable[..., Any]:
    def make(op: Any, name: str, options: KerasOptions) -> Any:
        return layer(**asdict(op), name=name)

    return make


_LAYERS: dict[type[ops.OpType], Callable[..., Any]] = {
    ops.Conv2D: _conv,
    ops.DepthwiseConv2D: _depthwise,
    ops.GroupConv2D: _group_conv,
    ops.Dense: _dense,
    ops.Embedding: _embedding,
    ops.PositionEmbedding: _positions,
    ops.TiedLogits: _tied,
    ops.BatchNorm: _norm(keras.layers.BatchNormalization),
    ops.LayerNorm: _norm(text_layers.LayerNormalization),
    ops.ScaleShift: _norm(layers.ScaleShift),
    ops.Activation: lambda op, name, _: keras.layers.Activation(op.function, name=name),
    ops.Softmax: lambda op, name, _: text_layers.Softmax(name=name),
    ops.Add: _binary(keras.layers.Add),
    ops.Mul: _binary(keras.layers.Multiply),
    ops.Concat: lambda op, name, _: _variadic(keras.layers.Concatenate(axis=op.axis, name=name)),
    ops.Pool: _pool,
    ops.GlobalPool: lambda op, name, _: keras.layers.GlobalAveragePooling2D(
        keepdims=op.keep_dims, name=name
    ),
    ops.Resize: lambda op, name, _: keras.layers.Resizing(
        *op.size, interpolation=op.mode, name=name
    ),
    ops.Reshape: _reshape,
    ops.Dropout: _dropout,
    ops.MatMul: _operation,
    ops.Slice: _operation,
    ops.Split: _operation,
    ops.Pad: _operation,
    ops.ArgMax: _operation,
    ops.QuantizedArgMax: lambda op, name, _: layers.QuantizedArgMax(name=name),
    ops.Transpose: _operation,
    ops.Shift: _operation,
    ops.MaskAdder: _operation,
    ops.Rescale: _operation,
    ops.Gather: _operation,
}


def _variadic(layer: Any) -> Callable[..., Any]:
    return lambda *inputs: layer(list(inputs))

"""Keras layers the families need beyond the stock ones; written with `keras.ops` so every backend runs them."""

from typing import Any, Literal

import keras
from keras import ops

from model_zoo.nn import int8_forms

GroupForm = Literal["split", "native"]


@keras.saving.register_keras_serializable(package="model_zoo")
class FakeQuant(keras.layers.Layer):
    """Rounds to `bits` of a range that follows, in training, the moving average of what it sees.

    The output is rounded in training and in use. Source: SpaghettiNet feature extractor of the TensorFlow object
    detection API, at the concatenation of its groups: range 0 to 6 at first, average of 0.999.
    """

    START = (0.0, 6.0)
    DECAY = 0.999

    def __init__(self, bits: int = 8, *, holds_low: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bits = bits
        #: Whether the range begins where it is set to, whatever is seen below.
        self.holds_low = holds_low
        #: Off while ranges are sought.
        self.rounds = True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.low, self.high = (
            self.add_weight(
                shape=(),
                initializer=keras.initializers.Constant(value),
                trainable=False,
                dtype="float32",
                name=name,
            )
            for name, value in zip(("low", "high"), self.START, strict=True)
        )
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        x = ops.cast(inputs, "float32")
        if training:
            seen = ops.stop_gradient(x)
            # The range holds zero, as that of padding must.
            low = self.low if self.holds_low else ops.minimum(ops.min(seen), 0.0)
            for limit, now in ((self.low, low), (self.high, ops.maximum(ops.max(seen), 0.0))):
                limit.assign(self.DECAY * limit + (1 - self.DECAY) * now)
        if not self.rounds:
            return inputs
        rounded = int8_forms.fake_quant(x, self.low.value, self.high.value, self.bits)
        return ops.cast(rounded, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bits": self.bits, "holds_low": self.holds_low}


@keras.saving.register_keras_serializable(package="model_zoo")
class GroupConv2D(keras.layers.Layer):
    """Group convolution: each group of `group_size` filters has its own kernel, batch norm and activation.

    Weights are kept per group, as the published checkpoints keep them. `group_form` chooses how it
    runs: `split` (slices, convolutions, concatenation; fast to train and plain when exported) or `native`
    (one grouped convolution; for targets with such an instruction). Both compute the same function.
    With `fake_quant` what the groups answer is rounded to 8 bits of one range, see `FakeQuant`.

    Input (N, H, W, C), output (N, H', W', filters). Source: Akin et al. 2022, section 4.2.
    """

    def __init__(
        self,
        filters: int,
        group_size: int,
        kernel_size: int,
        *,
        strides: int = 1,
        activation: str | None = "relu",
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        group_form: GroupForm = "split",
        fake_quant: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.group_size = group_size
        self.kernel_size = kernel_size
        self.strides = strides
        self.activation = activation
        self.momentum = momentum
        self.epsilon = epsilon
        #: A name or a config: read anew for each group, since equal initialisers draw equal kernels.
        self.kernel_initializer = kernel_initializer
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.group_form: GroupForm = group_form
        self.fake_quant = FakeQuant(name="fake_quant") if fake_quant else None
        self.groups = filters // group_size
        self.batch_norms = [
            keras.layers.BatchNormalization(
                momentum=momentum, epsilon=epsilon, name=f"batch_norm_{group}"
            )
            for group in range(self.groups)
        ]
        self.kernels: list[keras.Variable] = []

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        fan_in = int(input_shape[-1] or 0) // self.groups
        size = self.kernel_size
        self.kernels = [
            self.add_weight(
                shape=(size, size, fan_in, self.group_size),
                initializer=keras.initializers.get(self.kernel_initializer),
                regularizer=self.kernel_regularizer,
                name=f"kernel_{group}",
            )
            for group in range(self.groups)
        ]
        for norm in self.batch_norms:
            norm.build((*input_shape[:-1], self.group_size))
        if self.fake_quant is not None:
            self.fake_quant.build(self.compute_output_shape(input_shape))
        self.built = True

    def call(self, inputs: Any, training: bool = False) -> Any:
        native = self.group_form == "native" and not training
        outputs = self._call_native(inputs) if native else self._call_split(inputs, training)
        return outputs if self.fake_quant is None else self.fake_quant(outputs, training=training)

    def _call_split(self, inputs: Any, training: bool) -> Any:
        activate = keras.activations.get(self.activation)
        pieces = ops.split(inputs, self.groups, axis=-1)
        branches = []
        for piece, kernel, norm in zip(pieces, self.kernels, self.batch_norms, strict=True):
            x = ops.conv(piece, kernel, strides=self.strides, padding="same")
            branches.append(activate(norm(x, training=training)))
        return ops.concatenate(branches, axis=-1)

    def _call_native(self, inputs: Any) -> Any:
        kernel = ops.concatenate(
            [ops.convert_to_tensor(kernel) for kernel in self.kernels], axis=-1
        )
        scale, shift = self._folded_norm()
        x = ops.conv(inputs, kernel * scale, strides=self.strides, padding="same")
        return keras.activations.get(self.activation)(x + shift)

    def _folded_norm(self) -> tuple[Any, Any]:
        """Scale and shift (filters,) equal to the batch norms in inference mode."""
        scales, shifts = [], []
        for norm in self.batch_norms:
            scale = norm.gamma / ops.sqrt(norm.moving_variance + norm.epsilon)
            scales.append(scale)
            shifts.append(norm.beta - norm.moving_mean * scale)
        return ops.concatenate(scales, axis=-1), ops.concatenate(shifts, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, height, width, _ = input_shape
        return (
            batch,
            None if height is None else -(-height // self.strides),
            None if width is None else -(-width // self.strides),
            self.filters,
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "group_size": self.group_size,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "activation": self.activation,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": self.kernel_initializer,
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "group_form": self.group_form,
            "fake_quant": self.fake_quant is not None,
        }


@keras.saving.register_keras_serializable(package="model_zoo")
class ScaleShift(keras.layers.Layer):
    """Learned scale and shift of the last axis, without statistics (MobileBERT's NoNorm)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.gamma = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(input_shape[-1],), initializer="zeros", name="beta")

    def call(self, inputs: Any) -> Any:
        return inputs * self.gamma + self.beta


@keras.saving.register_keras_serializable(package="model_zoo")
class QuantizedArgMax(keras.layers.Layer):
    """Index of the first of the largest scores, (..., C) to (..., 1).

    `in_steps` computes it as an exported file does, by operations that are exact in int8 as long as the scores'
    scale is `NEAR` or more. Float scores nearer than `NEAR` may then name another class, so it is off until a
    model is exported. TensorFlow alone exports.
    """

    #: int8 scores may have any scale from here to half a million times this by classes, which the subtraction of
    #: the int8 kernels still resolves: ranges from 1 to some thousands.
    NEAR = 4e-3
    in_steps = False

    def call(self, inputs: Any) -> Any:
        if not self.in_steps:
            return ops.cast(ops.expand_dims(int8_forms.argmax(inputs, "int32"), -1), inputs.dtype)
        classes = inputs.shape[-1]
        step = self.NEAR / classes
        distances = int8_forms.rounded(ops.max(inputs, axis=-1, keepdims=True) - inputs, step)
        indexed = int8_forms.rounded(
            distances + ops.arange(classes, dtype=inputs.dtype) * step, step
        )
        least = int8_forms.rounded(ops.min(indexed, axis=-1, keepdims=True), step)
        return int8_forms.rounded(least / step, 1.0)


@keras.saving.register_keras_serializable(package="model_zoo")
class Operation(keras.layers.Layer):
    """A weightless operation on tensors, named by `kind` with its attributes; built for what Keras has no layer for."""

    def __init__(self, kind: str, attributes: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.attributes = attributes

    def call(self, *inputs: Any) -> Any:
        return _OPERATIONS[self.kind](*inputs, **self.attributes)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kind": self.kind, "attributes": self.attributes}


def _matmul(a: Any, b: Any, transpose_b: bool = False) -> Any:
    return ops.matmul(a, ops.swapaxes(b, -1, -2) if transpose_b else b)


def _slice(x: Any, begin: list[int], sizes: list[int | None], strides: list[int]) -> Any:
    """Cuts every axis but the batch; an open size reaches to the end."""
    index = [slice(None)]
    for axis in range(1, len(begin)):
        step, size = strides[axis] if strides else 1, sizes[axis]
        end = None if size is None else begin[axis] + (size - 1) * step + 1
        index.append(slice(begin[axis], end, step))
    return x[tuple(index)]


def _shift(x: Any, steps: int) -> Any:
    """Moves (N, L, C) along L and fills with zeros."""
    if steps > 0:
        return ops.pad(x[:, :-steps], ((0, 0), (steps, 0), (0, 0)))
    return ops.pad(x[:, -steps:], ((0, 0), (0, -steps), (0, 0)))


def _mask_adder(mask: Any, value: float) -> Any:
    """(N, 1, 1, L): 0 where the mask is one, `value` where it is zero.

    Looked up, since a cast would leave floats in an int8 file.
    """
    table = ops.convert_to_tensor([[value], [0.0]], dtype=keras.config.floatx())
    adder = ops.squeeze(int8_forms.rows(table, mask), -1)
    return ops.expand_dims(adder, (1, 2))


_OPERATIONS: dict[str, Any] = {
    "MatMul": _matmul,
    "Slice": _slice,
    "Split": lambda x, parts, axis: ops.split(x, parts, axis=axis),
    "Pad": lambda x, padding: ops.pad(x, padding),
    "ArgMax": int8_forms.argmax,
    "Transpose": lambda x, permutation: ops.transpose(x, permutation),
    "Shift": _shift,
    "MaskAdder": _mask_adder,
    "Rescale": lambda x, factor: x * factor,
    "Gather": int8_forms.gather,
}

"""Keras layers of language networks, written with `keras.ops` so every backend runs them."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from model_zoo.nn import int8_forms


@keras.saving.register_keras_serializable(package="model_zoo")
class Lookup(keras.layers.Embedding):
    """Rows of a table by integer ids, which must not be negative."""

    def call(self, inputs: Any) -> Any:
        return ops.cast(int8_forms.rows(self.embeddings, inputs), self.compute_dtype)


@keras.saving.register_keras_serializable(package="model_zoo")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned row for each position: (N, L, C) to (N, L, C), L at most `rows`."""

    def __init__(
        self, rows: int, *, embeddings_initializer: Any = "uniform", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rows = rows
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.embeddings = self.add_weight(
            shape=(self.rows, input_shape[-1]),
            initializer=self.embeddings_initializer,
            name="embeddings",
        )

    def call(self, inputs: Any) -> Any:
        length = inputs.shape[1]
        if isinstance(length, int) and length > self.rows:
            raise ValueError(
                f"At most {self.rows} positions have a row in the table. Received: {length}"
            )
        return inputs + self.embeddings[: ops.shape(inputs)[1]]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        # Told, because backends try lengths beyond the table where it is open.
        return input_shape

    def get_config(self) -> dict[str, Any]:
        init = keras.initializers.serialize(self.embeddings_initializer)
        return {**super().get_config(), "rows": self.rows, "embeddings_initializer": init}


@keras.saving.register_keras_serializable(package="model_zoo")
class LayerNormalization(keras.layers.LayerNormalization):
    """Keras' own; `in_steps` computes it by differences, since Keras negates the mean, as no int8 kernel does.

    Variances that differ much from word to word do not fit 8 bits: a certificate's signal to noise tells.
    """

    in_steps = False

    def call(self, inputs: Any) -> Any:
        if not self.in_steps:
            return super().call(inputs)
        centred = inputs - ops.mean(inputs, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        return centred * ops.rsqrt(variance + self.epsilon) * self.gamma + self.beta


@keras.saving.register_keras_serializable(package="model_zoo")
class Softmax(keras.layers.Activation):
    """Softmax of the last axis. `bounds` (low, high) make 8 bits of the scores, for an export to set and to unset."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("softmax", **kwargs)
        self.bounds: tuple[float, float] | None = None

    def call(self, inputs: Any) -> Any:
        if self.bounds is not None:
            inputs = int8_forms.fake_quant(inputs, *self.bounds, 8)
        return super().call(inputs)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {key: config[key] for key in config if key != "activation"}


@keras.saving.register_keras_serializable(package="model_zoo")
class TiedLogits(keras.layers.Layer):
    """Scores of `rows` words: products with a table of another layer, widened by columns of its own, and a bias.

    (..., C) to (..., rows). `table` returns the other layer's weight (rows, width), which stays that layer's:
    whoever builds the model says where it is, a config cannot.
    """

    def __init__(
        self,
        rows: int,
        width: int,
        *,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.rows = rows
        self.width = width
        self.table: Callable[[], Any] | None = None
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.extra: Any = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        more = int(input_shape[-1] or 0) - self.width
        if more:
            self.extra = self.add_weight(
                shape=(self.rows, more), initializer=self.kernel_initializer, name="extra"
            )
        self.bias = self.add_weight(shape=(self.rows,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        assert self.table is not None, "the builder names the table"
        table = ops.convert_to_tensor(self.table())
        if self.extra is not None:
            table = ops.concatenate([table, ops.convert_to_tensor(self.extra)], axis=-1)
        return ops.matmul(inputs, ops.transpose(table)) + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.rows)

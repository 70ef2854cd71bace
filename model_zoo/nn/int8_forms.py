"""What the int8 converter can read, on the TensorFlow backend alone; every other backend keeps Keras' own form."""

from typing import Any

import keras
from keras import ops


def rounded(x: Any, step: float) -> Any:
    """The nearest of 0, 1, ... 255 times `step`; the converter takes the scale of an int8 tensor from here."""
    import tensorflow as tf

    return tf.quantization.fake_quant_with_min_max_args(x, min=0.0, max=255 * step)


def rows(table: Any, ids: Any) -> Any:
    """Rows of a (rows, width) table."""
    if keras.backend.backend() != "tensorflow":
        return ops.take(table, ids, axis=0)
    import tensorflow as tf

    # Keras first counts negative ids from the end, by operations no converter to int8 has.
    return tf.gather(ops.convert_to_tensor(table), ids)


def gather(x: Any, positions: Any) -> Any:
    """Rows of (N, L, C) at (N, P), to (N, P, C)."""
    if keras.backend.backend() != "tensorflow":
        return ops.take_along_axis(x, ops.expand_dims(positions, -1), axis=1)
    import tensorflow as tf

    return tf.gather(x, positions, batch_dims=1)


def argmax(x: Any, dtype: str) -> Any:
    """Index of the largest element of the last axis."""
    if keras.backend.backend() != "tensorflow":
        return ops.cast(ops.argmax(x, axis=-1), dtype)
    import tensorflow as tf

    # Keras tells -0.0 from 0.0 first, by operations no converter to int8 has.
    return tf.argmax(x, axis=-1, output_type=dtype)


def fake_quant(x: Any, low: Any, high: Any, bits: int) -> Any:
    """The nearest of 2**bits even steps from `low` to `high`, which are moved so that zero is one of them.

    Gradients pass unchanged within the range and not at all outside; the range has none. The converter takes the
    scale of an int8 tensor from here.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        low, high = (tf.stop_gradient(tf.convert_to_tensor(limit)) for limit in (low, high))
        return tf.quantization.fake_quant_with_min_max_vars(x, low, high, num_bits=bits)
    return stepped(x, low, high, bits)


def stepped(x: Any, low: Any, high: Any, bits: int) -> Any:
    """`fake_quant` by operations that every backend has."""
    low, high = ops.stop_gradient(low), ops.stop_gradient(high)
    steps = 2**bits - 1
    size = (high - low) / steps
    zero = ops.clip(ops.floor(0.5 - low / size), 0, steps)
    inside = ops.clip(x, -zero * size, (steps - zero) * size)
    nearest = (ops.floor(inside / size + zero + 0.5) - zero) * size
    return inside + ops.stop_gradient(nearest - inside)

"""What the int8 converter can read, on the TensorFlow backend alone; every other backend keeps Keras' own form."""

from typing import Any

import keras
from keras import ops


def rounded(x: Any, step: float) -> Any:
    """The nearest of 0, 1, ... 255 times `step`; the converter takes the scale of an int8 tensor from here."""
    import tensorflow as tf

    return tf.quantization.fake_quant_with_min_max_args(x, min=0.0, max=255 * step)


def argmax(x: Any, dtype: str) -> Any:
    """Index of the largest element of the last axis."""
    if keras.backend.backend() != "tensorflow":
        return ops.cast(ops.argmax(x, axis=-1), dtype)
    import tensorflow as tf

    # Keras tells -0.0 from 0.0 first, by operations no converter to int8 has.
    return tf.argmax(x, axis=-1, output_type=dtype)

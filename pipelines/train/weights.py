"""What holds for a model's weights during a block of code: averages in their place, or a penalty on their size."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


@contextmanager
def averaged_weights(model: Any) -> Iterator[None]:
    """Inside the block the model holds the optimizer's averages, if it keeps any."""
    from keras import ops

    optimizer = model.optimizer
    if not optimizer.use_ema:
        yield
        return
    variables = model.trainable_variables
    raw = [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]
    optimizer.finalize_variable_values(variables)
    for variable in variables:
        # Under JAX the weight and its average now share one buffer, which a compiled call would free.
        variable.assign(np.array(ops.convert_to_numpy(variable.value)))
    try:
        yield
    finally:
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)


@contextmanager
def l2_regularised(model: Any, strength: float) -> Iterator[None]:
    """Adds strength * sum(w^2) to the loss for all but normalisation parameters, inside the block."""
    import keras

    if strength == 0:
        yield
        return
    variables = [v for v in model.trainable_variables if v.name not in ("gamma", "beta")]
    before = [variable.regularizer for variable in variables]
    for variable in variables:
        variable.regularizer = keras.regularizers.L2(strength)
    try:
        yield
    finally:
        for variable, regularizer in zip(variables, before, strict=True):
            variable.regularizer = regularizer

"""Tells a trained model from one that still has its initial weights."""

from typing import Any

import numpy as np

from hw_model.errors import UsageError


def require_trained(model: Any) -> str:
    """Where the weights come from, in words.

    Batch norm statistics decide where there are any, because a training step always moves them; without,
    the model's own `weights_origin` does, and last whether every bias is still zero.

    Raises:
        UsageError: the weights are as initialised.
    """
    origin = getattr(model, "weights_origin", None)
    moved = _statistics_moved(model)
    if moved is None:
        moved = origin != "random" if origin is not None else _biases_moved(model)
    if not moved:
        raise UsageError(
            f"{model.name!r} still has random weights: nothing was loaded or trained. Load a preset, "
            "train it, or pass allow_untrained=True to export it all the same"
        )
    return str(origin) if origin not in (None, "random") else "changed since initialisation"


def _statistics_moved(model: Any) -> bool | None:
    """Whether any batch norm has seen data; None for a model without batch norm."""
    import keras

    initial = {"moving_mean": 0.0, "moving_variance": 1.0}
    statistics = [
        (keras.ops.convert_to_numpy(variable), initial[kind])
        for variable in model.non_trainable_variables
        if (kind := variable.path.rpartition("/")[2]) in initial
    ]
    if not statistics:
        return None
    return any(bool(np.any(values != start)) for values, start in statistics)


def _biases_moved(model: Any) -> bool:
    """Whether some bias is not zero any more; True for a model without any."""
    import keras

    biases = [
        keras.ops.convert_to_numpy(variable)
        for variable in model.trainable_variables
        if variable.path.endswith("bias")
    ]
    return not biases or any(bool(values.any()) for values in biases)

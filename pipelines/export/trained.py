"""Tells a trained model from one that still has its initial weights."""

from typing import Any

import numpy as np

from hw_model.errors import UsageError


def require_trained(model: Any) -> str:
    """Where the weights come from, in words.

    Batch norms decide where there are any, because a training step always moves their statistics, and what a file
    without norms is read into has biases there; without, the model's own `weights_origin` does, and last whether
    every bias is still zero.

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
    """Whether any batch norm has seen data, or was given its weights; None for a model without batch norm."""
    import keras

    initial = {"moving_mean": 0.0, "moving_variance": 1.0, "beta": 0.0}
    kinds = {variable.path.rpartition("/")[2] for variable in model.non_trainable_variables}
    if not kinds & set(initial):
        return None
    return any(
        bool(np.any(keras.ops.convert_to_numpy(variable) != initial[kind]))
        for variable in model.variables
        if (kind := variable.path.rpartition("/")[2]) in initial
    )


def _biases_moved(model: Any) -> bool:
    """Whether some bias is not zero any more; True for a model without any."""
    import keras

    biases = [
        keras.ops.convert_to_numpy(variable)
        for variable in model.trainable_variables
        if variable.path.endswith("bias")
    ]
    return not biases or any(bool(values.any()) for values in biases)

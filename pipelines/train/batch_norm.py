"""Measures batch-norm statistics afresh where a run was too short for their moving averages."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.data.batches import Batches
from pipelines.train.freeze import flat_layers, parts_of

# A moving average is settled when its starting value weighs no more than this.
_SETTLED_WEIGHT = 0.01
_IMAGES = 1024


def is_settled(model: Any, steps: int) -> bool:
    """Whether the trained batch norms have forgotten their starting statistics after `steps`.

    With the published momentum of 0.99 that takes 459 steps; before, a network that has learned may
    still evaluate at chance level.
    """
    momenta = [norm.momentum for norm in trained_norms(model)]
    return not momenta or max(momenta) ** steps <= _SETTLED_WEIGHT


class Recalibration:
    """Measures the statistics of all trained batch norms of a model; which those are must not change."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.norms = trained_norms(model)
        self._forward: Callable[[Any], Any] | None = None

    def measure(self, batches: Batches) -> None:
        """Sets the statistics to their mean over about 1,000 images."""
        dropouts = [layer for layer in _all_layers(self.model) if getattr(layer, "rate", None)]
        momenta = [norm.momentum for norm in self.norms]
        rates = [layer.rate for layer in dropouts]
        count = min(len(batches), -(-_IMAGES // batches.batch_size))
        statistics = _statistics(self.norms)
        sums = [np.zeros(variable.shape) for variable in statistics]
        try:
            for layer in dropouts:
                layer.rate = 0.0  # At rate 0 a dropout layer draws nothing, so its seed stays.
            for norm in self.norms:
                norm.momentum = 0.0  # What is left is the last batch's alone.
            self._forward = self._forward or _traced(self.model)
            for index in range(count):
                self._forward(batches[index][0])
                for total, variable in zip(sums, statistics, strict=True):
                    total += _array(variable)
        finally:
            for norm, momentum in zip(self.norms, momenta, strict=True):
                norm.momentum = momentum
            for layer, rate in zip(dropouts, rates, strict=True):
                layer.rate = rate
        for total, variable in zip(sums, statistics, strict=True):
            variable.assign((total / count).astype(variable.dtype))

    @contextmanager
    def measured(self, batches: Batches) -> Iterator[None]:
        """Inside the block the statistics are measured ones; afterwards what they were."""
        variables = _statistics(self.norms)
        before = [_array(variable) for variable in variables]
        self.measure(batches)
        try:
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)


def recalibrate(model: Any, batches: Batches) -> None:
    """Sets the statistics of every trained batch norm to their mean over about 1,000 images."""
    Recalibration(model).measure(batches)


def _traced(model: Any) -> Callable[[Any], Any]:
    """One forward pass of a training step; traced under TensorFlow, where its operations one by one are slow."""
    import keras

    def forward(inputs: Any) -> None:
        model(inputs, training=True)

    if keras.backend.backend() != "tensorflow":
        return forward
    import tensorflow as tf

    traced: Callable[[Any], Any] = tf.function(forward, autograph=False, reduce_retracing=True)
    return traced


def _statistics(norms: list[Any]) -> list[Any]:
    return [variable for norm in norms for variable in (norm.moving_mean, norm.moving_variance)]


def _array(variable: Any) -> npt.NDArray[np.float32]:
    from keras import ops

    return np.array(ops.convert_to_numpy(variable.value))


def _all_layers(model: Any) -> list[Any]:
    return [part for layer in flat_layers(model) for part in (layer, *parts_of(layer))]


def trained_norms(model: Any) -> list[Any]:
    """Layers with running statistics that training updates, inside composite layers too."""
    return [
        layer for layer in _all_layers(model) if hasattr(layer, "moving_mean") and layer.trainable
    ]

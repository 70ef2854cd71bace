"""Losses of distillation as Keras classes, made when Keras is wanted.

Source: Hinton et al. 2015; TensorFlow Model Garden, official/projects/edgetpu/nlp/mobilebert_edgetpu_trainer.py.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

#: Of the fixed layer normalization that features are compared behind. Source: Keras' default, as published.
NORM_EPSILON = 1e-3
# Keeps the logarithm of an attention of 0 finite.
_LEAST = 1e-9


@cache
def loss_classes() -> Any:
    """`SoftLabels`, `Features`, `Layers` and `Attention`."""
    import keras
    from keras import ops

    class SoftLabels(keras.losses.Loss):
        """(1 - alpha) * cross-entropy with the truth + alpha * T^2 * with the teacher, both from logits.

        Targets are (..., width + C): the truth, a class id (width 1, negative where nothing counts) or shares of
        C classes, then the teacher's logits. Mean over what counts, times `weight`.
        """

        def __init__(
            self,
            *,
            alpha: float,
            temperature: float,
            width: int,
            label_smoothing: float = 0.0,
            weight: float = 1.0,
        ) -> None:
            super().__init__()
            self.alpha = alpha
            self.temperature = temperature
            self.width = width
            self.label_smoothing = label_smoothing
            self.weight = weight

        def call(self, y_true: Any, y_pred: Any) -> Any:
            y_true = ops.cast(y_true, y_pred.dtype)
            truth, taught = y_true[..., : self.width], y_true[..., self.width :]
            counted = ops.ones_like(y_pred[..., 0])
            likelihood = ops.log_softmax(y_pred)
            if self.width == 1:
                ids = ops.cast(truth, "int32")
                counted = ops.cast(ids[..., 0] >= 0, y_pred.dtype)
                hard = -ops.take_along_axis(likelihood, ops.maximum(ids, 0), axis=-1)[..., 0]
            else:
                classes = ops.cast(ops.shape(truth)[-1], truth.dtype)
                truth = truth * (1 - self.label_smoothing) + self.label_smoothing / classes
                hard = -ops.sum(truth * likelihood, axis=-1)
            soft = ops.softmax(taught / self.temperature)
            soft = -ops.sum(soft * ops.log_softmax(y_pred / self.temperature), axis=-1)
            each = (1 - self.alpha) * hard + self.alpha * self.temperature**2 * soft
            total = ops.sum(each * counted) / ops.maximum(ops.sum(counted), 1.0)
            return self.weight * total

    class Features(keras.losses.Loss):
        """Mean squared error times `weight`."""

        def __init__(self, weight: float) -> None:
            super().__init__()
            self.weight = weight

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return self.weight * ops.mean((y_true - y_pred) ** 2)

    class Layers(keras.losses.Loss):
        """Features (N, L, C) behind a fixed layer norm, and the means and variances over their channels."""

        def __init__(self, *, hidden: float, mean: float, variance: float, divisor: int) -> None:
            super().__init__()
            self.weights = (hidden, mean, variance)
            self.divisor = divisor

        def call(self, y_true: Any, y_pred: Any) -> Any:
            (wanted, wanted_mean, wanted_variance) = _normalized(y_true)
            (found, found_mean, found_variance) = _normalized(y_pred)
            hidden, mean, variance = self.weights
            total = hidden * ops.mean((wanted - found) ** 2)
            total += mean * ops.mean((found_mean - wanted_mean) ** 2)
            total += variance * ops.mean(ops.abs(found_variance - wanted_variance))
            return total / self.divisor

    class Attention(keras.losses.Loss):
        """Cross-entropy of attention (N, heads, L, L), with the teacher's entropy left in, as published."""

        def __init__(self, *, weight: float, double_softmax: bool, divisor: int) -> None:
            super().__init__()
            self.weight = weight
            self.double_softmax = double_softmax
            self.divisor = divisor

        def call(self, y_true: Any, y_pred: Any) -> Any:
            if self.double_softmax:
                wanted, found = ops.softmax(y_true), ops.log_softmax(y_pred)
            else:
                wanted, found = y_true, ops.log(ops.maximum(y_pred, _LEAST))
            return -self.weight * ops.mean(ops.sum(wanted * found, axis=-1)) / self.divisor

    def _normalized(values: Any) -> tuple[Any, Any, Any]:
        mean = ops.mean(values, axis=-1, keepdims=True)
        variance = ops.var(values, axis=-1, keepdims=True)
        return (values - mean) / ops.sqrt(variance + NORM_EPSILON), mean, variance

    return SimpleNamespace(
        SoftLabels=SoftLabels, Features=Features, Layers=Layers, Attention=Attention
    )

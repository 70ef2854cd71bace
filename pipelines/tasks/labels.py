"""Cross-entropy of class ids of which some do not count, as a Keras loss."""

from functools import cache
from typing import Any


@cache
def counted_labels() -> Any:
    """The loss class, made when Keras is wanted."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package="edgezoo")
    class CountedLabels(keras.losses.Loss):
        """Mean cross-entropy of logits (..., C) over the ids (...) that are not negative, times `weight`."""

        def __init__(self, weight: float = 1.0, **settings: Any) -> None:
            super().__init__(**settings)
            self.weight = weight

        def call(self, y_true: Any, y_pred: Any) -> Any:
            ids = ops.cast(y_true, "int32")
            counted = ops.cast(ids >= 0, y_pred.dtype)
            likelihood = ops.take_along_axis(
                ops.log_softmax(y_pred), ops.maximum(ids, 0)[..., None], axis=-1
            )[..., 0]
            total = -ops.sum(likelihood * counted)
            return self.weight * total / ops.maximum(ops.sum(counted), 1.0)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "weight": self.weight}

    return CountedLabels

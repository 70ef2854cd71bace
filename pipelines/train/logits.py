"""Training on logits: a model that ends in a softmax is trained without it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.train.freeze import flat_layers


@contextmanager
def linear_output(model: Any) -> Iterator[None]:
    """Inside the block a closing softmax is the identity, so that the loss sees logits.

    A loss on probabilities has to clip them; beyond the clip it has no gradient, and nothing holds logits
    back from growing until the network can no longer be quantized.
    """
    import keras

    layers = flat_layers(model)
    last = max((index for index, layer in enumerate(layers) if layer.weights), default=0)
    softmax = keras.activations.softmax
    closing = [layer for layer in layers[last:] if getattr(layer, "activation", None) is softmax]
    for layer in closing:
        layer.activation = keras.activations.linear
    _forget_compiled(model)
    try:
        yield
    finally:
        for layer in closing:
            layer.activation = softmax
        _forget_compiled(model)


def _forget_compiled(model: Any) -> None:
    """Functions compiled before no longer are what the layers say."""
    for name in ("train_function", "test_function", "predict_function"):
        if hasattr(model, name):
            setattr(model, name, None)

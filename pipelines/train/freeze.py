"""Which layers a training stage may change."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hw_model.errors import UnknownNameError
from pipelines.train.recipe import Stage


@contextmanager
def apply_stage(model: Any, stage: Stage) -> Iterator[None]:
    """Inside the block only the stage's layers are trainable; frozen batch norm infers."""
    layers = flat_layers(model)
    before = [layer.trainable for layer in layers]
    first = _first_trainable(layers, stage.trainable)
    if first or not stage.train_batch_norm or stage.freeze_channels:
        for index, layer in enumerate(layers):
            wide = 0 < stage.freeze_channels <= _channels(layer)
            _set_trainable(layer, index >= first and not wide, stage.train_batch_norm)
    try:
        yield
    finally:
        for layer, trainable in zip(layers, before, strict=True):
            layer.trainable = trainable


def flat_layers(model: Any) -> list[Any]:
    """The model's layers in order, with nested models replaced by their own layers."""
    import keras

    layers: list[Any] = []
    for layer in model.layers:
        layers += flat_layers(layer) if isinstance(layer, keras.Model) else [layer]
    return layers


def _first_trainable(layers: list[Any], wanted: str) -> int:
    if wanted == "all":
        return 0
    weighted = [index for index, layer in enumerate(layers) if layer.weights]
    if wanted == "head":
        return weighted[-1]
    for index, layer in enumerate(layers):
        # `stack_1` means the stack and its layers, and not `stack_15`.
        if layer.name == wanted or layer.name.startswith((f"{wanted}/", f"{wanted}_")):
            return index
    known = {layers[index].name.partition("_block_")[0] for index in weighted}
    raise UnknownNameError("layer to train from", wanted, known)


def _channels(layer: Any) -> int:
    """Channels a layer with weights writes; 0 for any other."""
    shape: tuple[Any, ...] = tuple(layer.output.shape) if layer.weights else ()
    return int(shape[3] or 0) if len(shape) == 4 else 0


def _set_trainable(layer: Any, trainable: bool, train_batch_norm: bool) -> None:
    layer.trainable = trainable
    if trainable and not train_batch_norm:
        for part in [layer, *parts_of(layer)]:
            # Any layer with running statistics: Keras' own batch norm or a fused one.
            if hasattr(part, "moving_mean"):
                part.trainable = False


def parts_of(layer: Any) -> list[Any]:
    """Layers inside a composite layer, at any depth."""
    inner = [part for part in getattr(layer, "_layers", []) if part is not layer]
    return inner + [deeper for part in inner for deeper in parts_of(part)]

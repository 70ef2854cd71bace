"""Quantization-aware training by model optimization, which can keep zeros or clusters, and the file of its twin."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hw_model.errors import DataError
from hw_model.files import atomic_path
from hw_model.io import float_operators
from model_zoo.spec.detection import SsdHead
from pipelines.compress.bridge import (
    from_legacy,
    legacy,
    plainly,
    step_class,
    to_legacy,
    unwrapped,
)
from pipelines.compress.course import course_of, fit
from pipelines.compress.methods import Compressed
from pipelines.data.dataset import ImageDataset
from pipelines.train.recipe import Recipe, load_recipe

Keep = Literal["zeros", "clusters"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rounded(Compressed):
    """A network after quantization-aware training; `twin` holds the learned ranges too, for its file."""

    twin: Any


def train_rounded(
    model: Any,
    dataset: ImageDataset,
    recipe: Recipe | str | Path = "quantize_aware",
    *,
    keep: Keep | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Rounded:
    """The network after a training in which weights and activations are rounded; `model` stays as it is.

    With `keep` its zeros stay zeros, or each output channel of a kernel keeps as few different weights as it has.
    Ranges of activations start as those of training images.

    Raises:
        UsageError: as `course_of`, or what the bridge does not know.
        EnvironmentFault: another backend than TensorFlow.
    """
    started = time.monotonic()
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    course = course_of(model, dataset, recipe, seed=seed, progress=progress)
    twin = rounded_twin(to_legacy(model), course.samples(), keep=keep)
    losses = fit(twin, course)
    found = from_legacy(twin, model)
    found.weights_origin = f"trained with rounding on {dataset.name}"
    seconds = round(time.monotonic() - started, 1)
    return Rounded(model=found, losses=losses, seconds=seconds, twin=twin)


def rounded_twin(twin: Any, samples: Sequence[Any], *, keep: Keep | None = None) -> Any:
    """A twin that computes with rounded weights and activations; the ranges of these are those of `samples`."""
    tf_keras, tfmot = legacy()
    quantization, combine = tfmot.quantization.keras, tfmot.experimental.combine
    scheme = {
        None: quantization.default_8bit.Default8BitQuantizeScheme,
        "zeros": combine.Default8BitPrunePreserveQuantizeScheme,
        "clusters": combine.Default8BitClusterPreserveQuantizeScheme,
    }[keep]
    limits = _limits(twin, samples)
    annotated = plainly(tf_keras.models.clone_model, twin, clone_function=_annotation())
    with quantization.quantize_scope({"Step": step_class(), "Untouched": _untouched()}):
        rounded = plainly(quantization.quantize_apply, annotated, scheme())
    _set_limits(rounded, limits)
    return rounded


def write_file(rounded: Rounded, samples: Any, path: str | Path) -> None:
    """Writes the twin as an int8 `.tflite` file with the ranges it learned; `samples` are as of `export_int8`.

    Raises:
        DataError: unfit calibration samples, or operators that stayed in floating point.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    from model_zoo.detection import anchors_of
    from pipelines.export.convert import convert_function, fixed_shape
    from pipelines.export.detector import with_anchors
    from pipelines.export.samples import default_count, model_samples

    model, twin = rounded.model, rounded.twin
    names = list(model.output) if isinstance(model.output, dict) else []

    def call(image: Any) -> Any:
        outputs = twin(image, training=False)
        if not names:
            return outputs
        found = dict(zip(names, outputs, strict=True))
        return [found[name] for name in sorted(names)]

    (image,) = model.inputs
    signature = tf.TensorSpec((1, *fixed_shape(image)), tf.float32, name=image.name)
    traced = tf.function(call, autograph=False).get_concrete_function(signature)
    inputs = model_samples(model, samples, default_count(model.spec.graph()), model.preprocessing)
    frozen = convert_variables_to_constants_v2(traced)
    content = convert_function(frozen, inputs, lambda *_: None, name=model.name).int8
    if stayed := float_operators(content):
        raise DataError(
            f"{len(stayed)} operators stayed in floating point, nothing was written: {', '.join(stayed[:3])}"
        )
    if isinstance(model.spec.head, SsdHead):
        content = with_anchors(content, anchors_of(model.spec))
    with atomic_path(path) as unfinished:
        unfinished.write_bytes(content)


def _annotation() -> Any:
    """What to do with each layer: round it, or leave it alone where model optimization has no rule for it."""
    tf_keras, tfmot = legacy()
    quantization = tfmot.quantization.keras
    rules = quantization.default_8bit.Default8BitQuantizeScheme().get_quantize_registry()

    def annotated(layer: Any) -> Any:
        # Norms have no rule of their own, but one together with the convolution before them.
        norm = isinstance(layer, tf_keras.layers.BatchNormalization)
        config = None if norm or rules.supports(layer) else _untouched()()
        return quantization.quantize_annotate_layer(layer, config)

    return annotated


def _untouched() -> Any:
    """The configuration of a layer whose weights and outputs are not rounded."""
    base: Any = legacy()[1].quantization.keras.QuantizeConfig

    class Untouched(base):
        """Nothing to round."""

        def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def set_quantize_weights(self, layer: Any, quantize_weights: Sequence[Any]) -> None:
            pass

        def set_quantize_activations(self, layer: Any, quantize_activations: Sequence[Any]) -> None:
            pass

        def get_output_quantizers(self, layer: Any) -> list[Any]:
            return []

        def get_config(self) -> dict[str, Any]:
            return {}

    return Untouched


def _limits(twin: Any, samples: Sequence[Any]) -> dict[str, tuple[float, float]]:
    """The least and the largest each layer answers to batches of images, zero included."""
    tf_keras, _ = legacy()
    probe = tf_keras.Model(twin.input, {layer.name: layer.output for layer in twin.layers})
    seen: dict[str, tuple[float, float]] = {}
    for images in samples:
        for name, values in probe.predict_on_batch(images).items():
            low, high = seen.get(name, (0.0, 0.0))
            seen[name] = min(low, float(np.min(values))), max(high, float(np.max(values)))
    return seen


def _set_limits(rounded: Any, limits: dict[str, tuple[float, float]]) -> None:
    """Sets the ranges of all outputs; they would start at -6 to 6, from where training moves them slowly."""
    image = rounded.input_names[0]
    for wrapper in rounded.layers:
        name = unwrapped(wrapper).name
        low, high = limits.get(name, limits[image])
        for variable in wrapper.weights:
            kind = variable.name.rpartition("/")[2].partition(":")[0]
            if kind in ("output_min", "post_activation_min", f"{name}_min"):
                variable.assign(low)
            elif kind in ("output_max", "post_activation_max", f"{name}_max"):
                variable.assign(high)

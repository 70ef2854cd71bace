"""The Model Garden's checkpoints of MobileNetEdgeTPU v1 and v2: their keys and names, and reading one.

Source: key layout of TensorFlow object-based checkpoints as the Model Garden's trainer writes them.
"""

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hw_model.errors import DataError, EnvironmentFault
from model_zoo.spec.image import ModelSpec
from model_zoo.spec.reading import image_spec

if TYPE_CHECKING:
    from model_zoo.nn.model import ZooModel

SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
ROOT = "model/layer_with_weights-"


@dataclass(frozen=True, slots=True)
class PublishedVariable:
    """One variable: our layer and its index among that layer's weights, and where checkpoints keep it."""

    layer: str
    index: int
    key: str
    name: str
    shape: tuple[int, ...]


def published_variables(spec: ModelSpec) -> list[PublishedVariable]:
    """Every variable of a network in the published order, with checkpoint key and variable name.

    Layers with weights are numbered in call order. The norms inside a group convolution have no stable
    published names, only keys.
    """
    found: list[PublishedVariable] = []
    graph = spec.graph()
    number = 0
    for op in graph.ops:
        params = graph.params(op)
        for index, param in enumerate(params):
            part = param.name
            if op.kind == "DepthwiseConv2D" and part == "kernel":
                part = "depthwise_kernel"
            key_part = re.sub(r"^batch_norm_(\d+)/", r"batch_norm_layer/\1/", part)
            found.append(
                PublishedVariable(
                    layer=op.name,
                    index=index,
                    key=f"{ROOT}{number}/{key_part}{SUFFIX}",
                    name=f"{published_layer_name(op.name)}/{part}:0",
                    shape=param.shape,
                )
            )
        number += bool(params)
    return found


def published_layer_name(name: str) -> str:
    """The published spelling of one of our layer names; Keras 3 allows no slash in a name.

    >>> published_layer_name("stack_3_block_0_fused_conv2d")
    'stack_3/block_0/fused_conv2d'
    """
    return re.sub(r"^stack_(\d+)_block_(\d+)_", r"stack_\1/block_\2/", name)


def load_published(
    model: "ZooModel", checkpoint: str | os.PathLike[str], *, averages: bool = False
) -> None:
    """Reads a published checkpoint (path prefix such as `.../ckpt-171600`) into a model of its architecture.

    `averages` takes the optimizer's moving averages where the checkpoint has them: periodic checkpoints
    keep raw weights in the model, best-checkpoint exports the averaged ones. Every variable must be present
    with its shape before anything is changed.

    Raises:
        DataError: unreadable, or of another architecture; names the first variable that is missing or
            has another shape.
        EnvironmentFault: TensorFlow, which reads this format, is not installed.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise EnvironmentFault(
            "Reading a TensorFlow checkpoint needs TensorFlow; install it"
        ) from error
    try:
        reader = tf.train.load_checkpoint(os.fspath(checkpoint))
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        raise DataError(
            f"{checkpoint} is not a readable TensorFlow checkpoint: give its prefix, ckpt-N"
        ) from error
    shapes = reader.get_variable_to_shape_map()
    values: dict[str, list[np.ndarray]] = {}
    for variable in published_variables(image_spec(model.spec)):
        key = _average_key(variable.key, shapes) if averages else variable.key
        if tuple(shapes.get(key, ())) != variable.shape:
            received = shapes.get(key, "nothing")
            raise DataError(
                f"{checkpoint} is of another architecture: {key} must have shape {variable.shape}. "
                f"Received: {received}"
            )
        values.setdefault(variable.layer, []).append(np.asarray(reader.get_tensor(key)))
    for layer, arrays in values.items():
        assign(model.get_layer(layer), arrays)
    model.weights_origin = f"checkpoint:{os.path.basename(os.fspath(checkpoint))}"


def _average_key(key: str, shapes: dict[str, list[int]]) -> str:
    slot = key.removesuffix(SUFFIX) + "/.OPTIMIZER_SLOT/optimizer/average" + SUFFIX
    return slot if slot in shapes else key


def assign(layer: object, arrays: list[np.ndarray]) -> None:
    """Sets a layer's weights from the order of `Graph.params`."""
    variables = getattr(layer, "kernels", [])
    if variables:
        norms = [part for norm in layer.batch_norms for part in _norm_parts(norm)]  # type: ignore[attr-defined]
        variables = [*variables, *norms]
    elif hasattr(layer, "moving_variance"):
        variables = _norm_parts(layer)
    else:
        variables = layer.weights  # type: ignore[attr-defined]
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _norm_parts(norm: object) -> list[object]:
    return [getattr(norm, part) for part in ("gamma", "beta", "moving_mean", "moving_variance")]

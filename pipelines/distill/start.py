"""A teacher's embedding and head as a student's start: copied, or factorised where the student's table is narrower."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import UsageError
from model_zoo.lowering.bert import PROJECTION, WORDS, hidden_layer
from pipelines.distill.settings import Distillation
from pipelines.distill.teachers import Teacher, count_blocks, read_layers

Floats = npt.NDArray[np.float32]


def start_like(teacher: Teacher, model: Any, settings: Distillation) -> None:
    """Gives a student what the settings let it begin with.

    Raises:
        UsageError: as `copy_embedding` and `copy_head`.
    """
    if settings.copy_embedding:
        copy_embedding(model, teacher, swap_gamma_beta=settings.swap_gamma_beta)
    if settings.copy_head:
        copy_head(model, teacher)


def copy_embedding(model: Any, teacher: Teacher, *, swap_gamma_beta: bool) -> None:
    """Gives a student the teacher's layers up to the first block, by their names.

    A narrower table of words behind a projection becomes the best factorisation of the teacher's: its leading
    singular vectors. With `swap_gamma_beta` the two change places where the kinds of norm differ, as upstream
    copies them.

    Raises:
        UsageError: the teacher has other words or another width, or its layers cannot be read.
    """
    theirs = _layers_of(teacher)
    mine = {layer.name: layer for layer in read_layers(model, {"": hidden_layer(-1)}).layers}
    factorised = _is_factorisation(mine, theirs)
    for name, layer in mine.items():
        if not layer.weights or (factorised and name in (WORDS, PROJECTION)):
            continue
        twin = theirs.get(name)
        held = {weight.name: weight for weight in twin.weights} if twin else {}
        if not _are_alike(layer, twin):
            raise UsageError(
                f"The embedding of teacher {teacher.name} is no copy for the student's: {layer.name} is not of shape "
                f"{tuple(layer.weights[0].shape)} there; set distillation.copy_embedding to false"
            )
        swapped = swap_gamma_beta and type(twin) is not type(layer)
        others = {"gamma": "beta", "beta": "gamma"} if swapped else {}
        for weight in layer.weights:
            weight.assign(held[others.get(weight.name, weight.name)].value)
    if factorised:
        _factorise(mine, theirs)


def copy_head(model: Any, teacher: Teacher) -> None:
    """Gives a student the teacher's layers behind the last block, by their names.

    Raises:
        UsageError: the teacher's are others, or cannot be read.
    """
    theirs = _layers_of(teacher)
    body = {
        layer.name
        for layer in read_layers(model, {"": hidden_layer(count_blocks(model) - 1)}).layers
    }
    for layer in model.layers:
        if layer.name in body or not layer.weights:
            continue
        twin = theirs.get(layer.name)
        if twin is None or not _are_alike(layer, twin):
            raise UsageError(
                f"The head of teacher {teacher.name} is no copy for the student's: {layer.name} is not of shape "
                f"{tuple(layer.weights[0].shape)} there; set distillation.copy_head to false"
            )
        layer.set_weights(twin.get_weights())


def _layers_of(teacher: Teacher) -> dict[str, Any]:
    return {layer.name: layer for layer in teacher.model.layers} if teacher.model else {}


def _are_alike(layer: Any, twin: Any | None) -> bool:
    """Whether both layers have weights of the same names and shapes."""
    mine, theirs = (
        {weight.name: tuple(weight.shape) for weight in each.weights} if each else {}
        for each in (layer, twin)
    )
    return mine == theirs


def _is_factorisation(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether the student has a table of fewer channels for the same words, and a projection to the teacher's width."""
    if not {WORDS, PROJECTION} <= set(mine) or PROJECTION in theirs or WORDS not in theirs:
        return False
    table, whole = mine[WORDS].embeddings.shape, theirs[WORDS].embeddings.shape
    return bool(
        table[0] == whole[0]
        and table[1] < whole[1]
        and mine[PROJECTION].kernel.shape[1] == whole[1]
    )


def _factorise(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """table @ kernel + bias is the teacher's table as nearly as the width allows; neighbours weigh nothing yet."""
    words = _array(theirs[WORDS].embeddings)
    mean = words.mean(axis=0)
    width = mine[WORDS].embeddings.shape[1]
    left, values, right = np.linalg.svd(words - mean, full_matrices=False)
    # The table's entries are as large as the teacher's, for optimizers whose steps are.
    scale = np.float32(np.std(words) / np.std(left[:, :width] * values[:width]))
    mine[WORDS].embeddings.assign(left[:, :width] * values[:width] * scale)
    projection = mine[PROJECTION]
    kernel = np.zeros(projection.kernel.shape, np.float32)
    # Of three words side by side, the one itself stands in the middle.
    first = (kernel.shape[0] - width) // 2
    kernel[first : first + width] = right[:width] / scale
    projection.kernel.assign(kernel)
    projection.bias.assign(mean)
    norm, twin = mine[hidden_layer(-1)], theirs[hidden_layer(-1)]
    if type(norm) is not type(twin):
        # A norm that does not divide by a word's deviation is given the usual one.
        positions = _array(theirs["position_embedding"].embeddings).mean(axis=0)
        usual = np.sqrt(np.mean(np.var(words + positions, axis=1)))
        norm.gamma.assign(_array(norm.gamma) / usual)


def _array(variable: Any) -> Floats:
    from keras import ops

    return np.array(ops.convert_to_numpy(variable.value), np.float32)

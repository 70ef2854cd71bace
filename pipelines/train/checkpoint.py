"""Checkpoints of a training run: everything an exact continuation needs, in one atomic file."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import DataError
from hw_model.files import atomic_path

FILE_NAME = "checkpoint.npz"
_META = "meta"


def model_state(model: Any) -> list[Any]:
    """The model's variables that outlive an epoch: weights, statistics and dropout seeds."""
    metrics = {id(variable) for variable in model.metrics_variables}
    return [variable for variable in model.variables if id(variable) not in metrics]


def seed_state(model: Any) -> list[Any]:
    """The variables that drive the model's random layers."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model_state(model) if id(variable) not in weights]


def save(path: Path, model: Any, optimizer: Any, meta: dict[str, Any], fitted: Any = None) -> None:
    """Writes weights, optimizer (with its averages) and `meta`; the old file stays until this is whole.

    `fitted` is another model of the same layers that is trained in its place, perhaps with some of its own.
    """
    from keras import ops

    arrays: dict[str, Any] = {}
    for prefix, variables in _groups(model, optimizer, fitted):
        for index, variable in enumerate(variables):
            arrays[f"{prefix}{index}"] = np.asarray(ops.convert_to_numpy(variable.value))
    described = {**meta, "layout": _layout(model, optimizer, fitted)}
    arrays[_META] = np.frombuffer(json.dumps(described).encode(), dtype=np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def read_meta(path: Path) -> dict[str, Any]:
    """What `save` was given as `meta`."""
    try:
        # Opened here and not by NumPy, which leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            meta: dict[str, Any] = json.loads(arrays[_META].tobytes())
            return meta
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"Checkpoint {path} is damaged ({error}). Delete it to start that run again."
        ) from error


def restore(path: Path, model: Any, optimizer: Any, fitted: Any = None) -> None:
    """Puts a saved state back into a model and its built optimizer."""
    meta = read_meta(path)
    if meta["layout"] != _layout(model, optimizer, fitted):
        raise DataError(
            f"Checkpoint {path} belongs to another model or optimizer: its variables differ in "
            "number or shape. Choose another run folder."
        )
    with np.load(path, allow_pickle=False) as arrays:
        for prefix, variables in _groups(model, optimizer, fitted):
            for index, variable in enumerate(variables):
                variable.assign(arrays[f"{prefix}{index}"])


def _groups(model: Any, optimizer: Any, fitted: Any) -> list[tuple[str, list[Any]]]:
    state = model_state(model)
    groups = [("model/", state)]
    if fitted is not None and fitted is not model:
        held = {id(variable) for variable in state}
        own = [variable for variable in model_state(fitted) if id(variable) not in held]
        groups.append(("fitted/", own))
    # A learning rate that is a plain number is a variable of the optimizer too.
    return [*groups, ("optimizer/", list(optimizer.variables))]


def _layout(model: Any, optimizer: Any, fitted: Any) -> list[list[Any]]:
    return [
        [prefix, list(variable.shape)]
        for prefix, variables in _groups(model, optimizer, fitted)
        for variable in variables
    ]

"""Pruning and clustering: a trained network learns on with weights that become zero, or few different ones."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.compress.bridge import from_legacy, legacy, plainly, to_legacy
from pipelines.compress.course import course_of, fit
from pipelines.data.dataset import ImageDataset
from pipelines.train.recipe import Recipe, load_recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Compressed:
    """A new Keras network with the weights a method left, and the mean training loss of each epoch."""

    model: Any
    losses: tuple[float, ...]
    seconds: float


def prune(
    model: Any,
    dataset: ImageDataset,
    recipe: Recipe | str | Path = "prune",
    *,
    seed: int = 0,
    progress: bool = True,
) -> Compressed:
    """The network with the smallest weights of each kernel cut, as `recipe.pruning` says; `model` stays as it is.

    Raises:
        UsageError: as `course_of`, or what the bridge does not know.
        EnvironmentFault: another backend than TensorFlow.
    """
    recipe, started = _read(recipe), time.monotonic()
    course = course_of(model, dataset, recipe, seed=seed, progress=progress)
    sparsity = legacy()[1].sparsity.keras
    wanted = recipe.pruning
    begin, end, every = wanted.steps(course.steps)
    schedule = sparsity.PolynomialDecay(
        wanted.initial_sparsity, wanted.sparsity, begin, end, power=wanted.power, frequency=every
    )
    twin = _wrapped(
        to_legacy(model),
        wanted.skip,
        lambda layer: sparsity.prune_low_magnitude(layer, pruning_schedule=schedule),
    )
    losses = fit(twin, course, (sparsity.UpdatePruningStep(),))
    return _result(from_legacy(twin, model), "pruned", dataset, losses, started)


def cluster(
    model: Any,
    dataset: ImageDataset,
    recipe: Recipe | str | Path = "cluster",
    *,
    seed: int = 0,
    progress: bool = True,
) -> Compressed:
    """The network with few different weights in each kernel, as `recipe.clustering` says; `model` stays as it is.

    Raises:
        UsageError: as `course_of`, or what the bridge does not know.
        EnvironmentFault: another backend than TensorFlow.
    """
    recipe, started = _read(recipe), time.monotonic()
    course = course_of(model, dataset, recipe, seed=seed, progress=progress)
    clustering = legacy()[1].clustering.keras
    wanted = recipe.clustering

    def clustered(layer: Any) -> Any:
        if layer.kernel.shape.num_elements() <= wanted.clusters:
            return layer
        return clustering.experimental.cluster.cluster_weights(
            layer,
            number_of_clusters=wanted.clusters,
            cluster_centroids_init=clustering.CentroidInitialization[wanted.start.upper()],
            preserve_sparsity=wanted.keep_zeros,
        )

    twin = _wrapped(to_legacy(model), wanted.skip, clustered)
    losses = fit(twin, course)
    stripped = plainly(clustering.strip_clustering, twin)
    return _result(from_legacy(stripped, model), "clustered", dataset, losses, started)


def _read(recipe: Recipe | str | Path) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else load_recipe(recipe)


def _wrapped(twin: Any, skip: tuple[str, ...], wrap: Callable[[Any], Any]) -> Any:
    """The twin with its kernels wrapped; the layers inside are the same."""
    tf_keras, _ = legacy()
    kinds = (tf_keras.layers.Conv2D, tf_keras.layers.Dense)

    def wrapped(layer: Any) -> Any:
        whole = not isinstance(layer, kinds) or layer.name.startswith(skip)
        return layer if whole else wrap(layer)

    return plainly(tf_keras.models.clone_model, twin, clone_function=wrapped)


def _result(
    model: Any, done: str, dataset: ImageDataset, losses: tuple[float, ...], started: float
) -> Compressed:
    model.weights_origin = f"{done} on {dataset.name}"
    return Compressed(model=model, losses=losses, seconds=round(time.monotonic() - started, 1))

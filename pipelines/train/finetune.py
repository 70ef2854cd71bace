"""Fits a pretrained model to other classes, or trains it further on its own; stages from frozen to free."""

from pathlib import Path
from typing import Any

from hw_model.errors import UsageError
from pipelines.data.batches import Preprocess
from pipelines.data.dataset import ImageDataset
from pipelines.tasks import task_of
from pipelines.train.loop import TrainResult, train
from pipelines.train.recipe import Recipe


def finetune(
    model: Any,
    dataset: ImageDataset,
    recipe: Recipe | str | Path | None = None,
    *,
    run_dir: str | Path,
    preprocessing: Preprocess | None = None,
    resume: bool = False,
    seed: int = 0,
    verbose: int | None = None,
) -> tuple[Any, TrainResult]:
    """A model for `dataset` that starts from `model`'s body, and what it reached; `model` is unchanged.

    A zoo model gets a fresh classifier, unless its classes are the data set's own: then it goes on with the
    one it has. A plain Keras model is trained in place and must have the right number of classes already.
    Without a recipe it is the one the task has for fine-tuning.

    Raises:
        UsageError: as `train`.
    """
    import keras

    keras.utils.set_random_seed(seed)
    if hasattr(model, "with_head"):
        source = model
        model = source.with_head(dataset.num_classes, class_names=dataset.class_names)
        if source.class_names == dataset.class_names:
            model.set_weights(source.get_weights())
    elif task_of(dataset.train).classes_of(model) != dataset.num_classes:
        raise UsageError(
            f"The model's output shape is {model.output_shape} and data set {dataset.name!r} has "
            f"{dataset.num_classes} classes for {dataset.task}; replace its last layer first."
        )
    result = train(
        model,
        dataset,
        recipe or task_of(dataset.train).FINETUNE_RECIPE,
        run_dir=run_dir,
        preprocessing=preprocessing,
        resume=resume,
        seed=seed,
        verbose=verbose,
    )
    return model, result

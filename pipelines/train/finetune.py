"""Fits a pretrained model to other classes, or trains it further on its own; stages from frozen to free."""

from pathlib import Path
from typing import Any

from hw_model.errors import UsageError
from pipelines.data.dataset import ImageDataset
from pipelines.data.text.splits import TextDataset
from pipelines.tasks import task_of
from pipelines.train.loop import TrainResult, train
from pipelines.train.recipe import Recipe


def finetune(
    model: Any,
    dataset: ImageDataset | TextDataset,
    recipe: Recipe | str | Path | None = None,
    *,
    run_dir: str | Path,
    preprocessing: Any = None,
    teacher: Any = None,
    resume: bool = False,
    seed: int = 0,
    verbose: int | None = None,
) -> tuple[Any, TrainResult]:
    """A model for `dataset` that starts from `model`'s body, and what it reached; `model` is unchanged.

    A zoo model gets a fresh classifier, unless its classes are the data set's own: then it goes on with the
    one it has. One that reads text gets the head of the data set's task, unless it has it. A plain Keras model
    is trained in place and must have the right number of classes already.
    Without a recipe it is the one the task has for fine-tuning.

    Raises:
        UsageError: as `train`.
    """
    import keras

    keras.utils.set_random_seed(seed)
    if isinstance(dataset, TextDataset):
        model = _for_text(model, dataset)
    elif hasattr(model, "with_head"):
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
        teacher=teacher,
        resume=resume,
        seed=seed,
        verbose=verbose,
    )
    return model, result


def _for_text(model: Any, dataset: TextDataset) -> Any:
    """A copy of a text model, with a fresh head where it has none for the data set's task."""
    if getattr(model, "spec", None) is None:
        return model
    from model_zoo.nn.model import ZooModel, copy_weights
    from model_zoo.spec.heads import replace_head, text_head
    from model_zoo.spec.reading import text_spec

    spec = text_spec(model.spec)
    if task_of(dataset.train).classes_of(model) is None:
        name = "span" if dataset.task == "answering" else "masked_lm"
        spec = text_spec(replace_head(spec, text_head(name, hidden=spec.encoder.hidden)))
    fresh = ZooModel(spec, free_length=model.free_length, name=model.name)
    copy_weights(model, fresh)
    return fresh

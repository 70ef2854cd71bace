"""Quantization-aware training of a trained network: it goes on learning with weights and activations rounded."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.data.dataset import ImageDataset
from pipelines.data.text.splits import TextDataset
from pipelines.export.mask import floors_of
from pipelines.tasks import task_of
from pipelines.train.loop import TrainResult, train
from pipelines.train.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from model_zoo.nn.model import ZooModel

#: The recipe of those who name none.
RECIPE = "quantize_aware"
_BATCHES, _BATCH = 8, 16


def train_quantize_aware(
    model: "ZooModel",
    dataset: ImageDataset | TextDataset,
    recipe: Recipe | str | Path = RECIPE,
    *,
    run_dir: str | Path,
    preprocessing: Any = None,
    output: str | None = None,
    resume: bool = False,
    seed: int = 0,
    verbose: int | None = None,
    **rounding: Any,
) -> tuple[Any, TrainResult]:
    """The network that `export_int8` turns into a file with the ranges it learned, and what it reached.

    `model` has the trained weights afterwards. `output` is what a segmentation network's file returns; it is
    trained on its logits. `rounding` are settings of `quantize_aware`, such as `weight_bits`.

    Raises:
        UsageError: as `train`, or no network of the zoo.
    """
    from model_zoo.nn.quantize_aware import copy_ranges, quantize_aware

    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    task = task_of(dataset.train)
    task.check_fit(model, dataset)
    batches = task.batches(
        dataset.train,
        model=model,
        num_classes=dataset.num_classes,
        preprocessing=task.preprocessing_of(model, preprocessing),
        batch_size=_BATCH,
        training=False,
        seed=seed,
    )
    samples = [batches[index][0] for index in range(min(_BATCHES, len(batches)))]
    if isinstance(dataset, TextDataset):
        rounding = {"floors": floors_of(model, samples), **rounding}
    aware = quantize_aware(model, samples, **rounding)
    result = train(
        aware,
        dataset,
        recipe,
        run_dir=run_dir,
        preprocessing=preprocessing,
        resume=resume,
        seed=seed,
        verbose=verbose,
    )
    if output is None:
        return aware, result
    other = quantize_aware(model.with_output(output), samples, **rounding)
    copy_ranges(aware, other)
    return other, result

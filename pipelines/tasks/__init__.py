"""Tasks: what the kinds of answers a network gives change in training, evaluation and export."""

from typing import Any

from pipelines.data import dataset
from pipelines.data.dataset import Examples
from pipelines.tasks.answer import Answering
from pipelines.tasks.base import Metrics, Task, input_shape_of, preprocessing_of
from pipelines.tasks.classify import Classification, is_probabilities, predict, score
from pipelines.tasks.detect import Detection
from pipelines.tasks.masked_words import MaskedWords
from pipelines.tasks.segment import Segmentation

__all__ = [
    "METRIC_WORDS",
    "TASKS",
    "Answering",
    "Classification",
    "Detection",
    "MaskedWords",
    "Segmentation",
    "Task",
    "evaluate",
    "input_shape_of",
    "is_probabilities",
    "predict",
    "preprocessing_of",
    "score",
    "task_of",
]

#: Every task by its name.
TASKS: dict[str, Task] = {
    task.NAME: task
    for task in (Classification(), Segmentation(), Detection(), Answering(), MaskedWords())
}


#: Every metric by its key, in words.
METRIC_WORDS: dict[str, str] = {
    key: words for task in TASKS.values() for key, words in task.METRICS.items()
} | {"exp_loss": "e to the minus loss"}


def task_of(split: Examples) -> Task:
    """The task a split has answers for."""
    return TASKS[dataset.task_of(split)]


def evaluate(
    model: Any,
    split: Examples,
    preprocessing: Any = None,
    *,
    batch_size: int = 256,
    verbose: int = 0,
) -> Metrics:
    """The metrics of the split's task for `model`: fractions, and `loss` in nats.

    {"top1", "top5", "loss"} where each image has a class, {"miou", "pixel_accuracy", "loss"} where each
    pixel has one, {"ap", "ap50", "ap75", "loss"} where each object has a box, {"f1", "exact_match", "loss"} for
    questions, {"masked_accuracy", "loss"} and perhaps {"next_sentence_accuracy"} for masked words. What a network
    that reads text needs to read it is `preprocessing`.
    """
    return task_of(split).evaluate(
        model, split, preprocessing, batch_size=batch_size, verbose=verbose
    )

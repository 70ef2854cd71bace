"""Classification: top-1, top-5 and cross-entropy."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipelines.data.batches import Batches, LabelBatches, Preprocess, as_keras, plain_errors
from pipelines.data.dataset import LabelSplit
from pipelines.tasks.base import Metrics, Task, input_shape_of, preprocessing_of


class Classification(Task):
    """One class for the whole image; the model answers with scores or probabilities (N, classes)."""

    NAME = "classification"
    METRICS = {"top1": "top-1", "top5": "top-5", "loss": "loss"}
    HEADLINE = "top1"
    FINETUNE_RECIPE = "finetune_small"
    SOFT_OUTPUTS = frozenset({""})

    def batches(self, split: LabelSplit, *, model: Any, **settings: Any) -> Batches:
        return LabelBatches(split, input_shape=input_shape_of(model, split), **settings)

    def classes_of(self, model: Any) -> int | None:
        shape = model.output_shape
        return shape[1] if isinstance(shape, tuple) and len(shape) == 2 else None

    def loss(self, *, from_logits: bool, label_smoothing: float) -> Any:
        import keras

        return keras.losses.CategoricalCrossentropy(
            from_logits=from_logits, label_smoothing=label_smoothing
        )

    def training_metrics(self) -> list[Any]:
        import keras

        return [keras.metrics.CategoricalAccuracy(name="top1")]

    def evaluate(
        self,
        model: Any,
        split: LabelSplit,
        preprocessing: Preprocess | None = None,
        *,
        batch_size: int = 256,
        verbose: int = 0,
    ) -> Metrics:
        scores = predict(model, split, preprocessing, batch_size=batch_size, verbose=verbose)
        return score(scores, split.labels)

    def evaluate_file(
        self,
        path: str | Path,
        split: LabelSplit,
        preprocessing: Preprocess,
        *,
        batch_size: int = 256,
        progress: bool = True,
    ) -> Metrics:
        from tqdm import tqdm

        from pipelines.export.runner import Int8Runner

        with Int8Runner(path) as runner:
            batches = LabelBatches(
                split,
                batch_size=batch_size,
                num_classes=runner.output.shape[-1],
                preprocessing=preprocessing,
                input_shape=runner.input.shape[1:],
            )
            steps = tqdm(
                range(len(batches)), desc="int8", leave=False, disable=None if progress else True
            )
            outputs = np.concatenate([runner(batches[step][0]) for step in steps])
            if (
                runner.output.scale == 1 / 256
            ):  # a softmax in steps of 1/256 does not quite sum to 1
                outputs /= np.maximum(outputs.sum(axis=-1, keepdims=True), 1 / 256)
        return score(outputs, split.labels)


def predict(
    model: Any,
    split: LabelSplit,
    preprocessing: Preprocess | None = None,
    *,
    batch_size: int = 256,
    verbose: int = 0,
) -> npt.NDArray[np.float32]:
    """The model's outputs for every image of `split`, (N, classes)."""
    batch_size = min(batch_size, len(split))
    # Whole batches only, the last one filled up from the start: compiled code likes one shape.
    count = -(-len(split) // batch_size) * batch_size
    filled = split.part(np.arange(count) % len(split))
    batches = LabelBatches(
        filled,
        batch_size=batch_size,
        num_classes=int(model.output_shape[-1]),
        preprocessing=preprocessing_of(model, preprocessing),
        input_shape=input_shape_of(model, split),
    )
    with plain_errors(batches):
        outputs = model.predict(as_keras(batches), verbose=verbose)
    return np.asarray(outputs, dtype=np.float32)[: len(split)]


def score(scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> dict[str, float]:
    """Metrics of (N, classes) probabilities or logits against (N,) labels.

    >>> score(np.array([[.1, .9], [.6, .4]], np.float32), np.array([1, 1]))["top1"]
    0.5
    """
    own = scores[np.arange(len(labels)), labels][:, np.newaxis]
    # The label's rank: how many classes score higher. A tie counts as a miss by its position, so a
    # constant output does not look right.
    ahead = (scores > own) | (
        (scores == own) & (np.arange(scores.shape[1]) < labels[:, np.newaxis])
    )
    rank = ahead.sum(axis=1)
    if is_probabilities(scores):
        log_likelihood = np.log(np.clip(own[:, 0].astype(np.float64), 1e-7, 1.0))
    else:
        wide = scores.astype(np.float64)
        peak = wide.max(axis=1)
        total = peak + np.log(np.exp(wide - peak[:, np.newaxis]).sum(axis=1))
        log_likelihood = own[:, 0] - total
    return {
        "top1": float(np.mean(rank < 1)),
        "top5": float(np.mean(rank < 5)),
        "loss": float(-np.mean(log_likelihood)),
    }


def is_probabilities(scores: npt.NDArray[np.float32]) -> bool:
    """Whether every row is a distribution, i.e. the model ends in a softmax."""
    return bool(scores.min() >= 0.0 and np.allclose(scores.sum(axis=-1), 1.0, atol=1e-3))

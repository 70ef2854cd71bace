"""Top-1, top-5 and cross-entropy of a classifier on a split."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import UsageError
from pipelines.data.batches import Batches, Preprocess, as_keras, plain_errors
from pipelines.data.dataset import Split, SubSplit


def evaluate(
    model: Any,
    split: Split,
    preprocessing: Preprocess | None = None,
    *,
    batch_size: int = 256,
    verbose: int = 0,
) -> dict[str, float]:
    """{"top1", "top5", "loss"} of `model` on all of `split`, as fractions and nats."""
    scores = predict(model, split, preprocessing, batch_size=batch_size, verbose=verbose)
    return score(scores, split.labels)


def predict(
    model: Any,
    split: Split,
    preprocessing: Preprocess | None = None,
    *,
    batch_size: int = 256,
    verbose: int = 0,
) -> npt.NDArray[np.float32]:
    """The model's outputs for every image of `split`, (N, classes)."""
    batch_size = min(batch_size, len(split))
    # Whole batches only, the last one filled up from the start: compiled code likes one shape.
    count = -(-len(split) // batch_size) * batch_size
    filled = SubSplit(split, np.arange(count) % len(split))
    batches = Batches(
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


def input_shape_of(model: Any, split: Split) -> tuple[int, int, int]:
    """(H, W, C) the model takes; a free height or width is the split's own."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise UsageError(f"An image classifier takes one (N, H, W, C) input. Received: {shape}")
    height, width, channels = (
        int(wanted or own) for wanted, own in zip(shape[1:], split.image_shape, strict=True)
    )
    return height, width, channels


def preprocessing_of(model: Any, given: Preprocess | None) -> Preprocess:
    """`given`, or the preprocessing that travels with the model."""
    own: Preprocess | None = given or getattr(model, "preprocessing", None)
    if own is None:
        raise UsageError(
            "The model carries no preprocessing; pass preprocessing= (uint8 images to model input)."
        )
    return own

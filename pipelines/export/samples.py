"""Calibration samples from whatever a user has: a split of images or questions, an array, a generator."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, UsageError
from hw_model.graph import Graph
from model_zoo.text import QuestionPreprocessor
from pipelines.data.calibration import calibration_samples, check_distinct
from pipelines.data.dataset import ImageDataset, Split
from pipelines.data.text.batches import question_inputs
from pipelines.data.text.splits import QuestionSplit, TextDataset
from pipelines.export.convert import Sample, fixed_shape

#: Samples that settle the ranges; published post-training quantization uses 100 to 500.
USUAL_COUNT = 100
LEAST_COUNT = 16
#: Multiply-adds the calibration may cost: about one second on one core.
MACS_LIMIT = 10_000_000_000


def default_count(graph: Graph | None) -> int:
    """How many samples a calibration takes when nobody says: 100, fewer for a network that runs slowly."""
    if graph is None or not graph.macs:
        return USUAL_COUNT
    return max(LEAST_COUNT, min(USUAL_COUNT, MACS_LIMIT // graph.macs))


def model_samples(model: Any, samples: Any, count: int, preprocessing: Any) -> list[Sample]:
    """At most `count` different samples as the model takes them.

    `samples` is a data set (its training split), a split, an array of images (N, H, W, C), or any
    iterable of images or batches. Integer images are preprocessed; float arrays are taken as they are.
    Of questions one window each is taken; a model of several inputs takes lists of arrays as well.

    Raises:
        DataError: no sample, one that comes twice, or one of the wrong shape.
        UsageError: questions, and no vocabulary to read them with.
    """
    if isinstance(samples, ImageDataset | TextDataset):
        samples = samples.train
    if isinstance(samples, QuestionSplit):
        return check_distinct(question_samples(model, samples, count, preprocessing))
    if isinstance(samples, Split):
        samples = calibration_samples(samples, min(count, len(samples)))
    if len(model.inputs) != 1:
        prepared = [[np.asarray(part) for part in sample] for sample in islice(samples, count)]
        return check_distinct(prepared)
    shape = fixed_shape(model.inputs[0])
    images = check_distinct(list(islice(_single_images(samples), count)))
    return [[_prepared(image, shape, preprocessing)] for image in images]


def question_samples(
    model: Any, split: QuestionSplit, count: int, preprocessing: Any
) -> list[Sample]:
    """Windows of `count` questions drawn evenly from a split, as the inputs of `model` in their order.

    Of a context that needs several windows one is drawn: ranges must hold for its end as for its beginning.
    """
    if not isinstance(preprocessing, QuestionPreprocessor):
        raise UsageError(
            "Questions are read with a vocabulary; pass preprocessing=QuestionPreprocessor(...). "
            f"Received: {type(preprocessing).__name__}"
        )
    rng = np.random.default_rng(0)
    found: dict[bytes, Sample] = {}  # a question asked twice counts once
    for place in rng.permutation(len(split)):
        example = split.examples[place]
        windows = preprocessing.windows([(example.question, example.context)])
        inputs = question_inputs(preprocessing, [windows[rng.integers(len(windows))]])
        sample = [inputs[tensor.name] for tensor in model.inputs]
        found.setdefault(b"".join(part.tobytes() for part in sample), sample)
        if len(found) == count:
            break
    return list(found.values())


def _single_images(samples: Iterable[Any]) -> Iterator[npt.NDArray[Any]]:
    """Images one by one, from arrays, batches, and lists holding one array as converters take them."""
    for item in samples:
        while isinstance(item, list | tuple) and len(item) == 1:
            item = item[0]
        image = np.asarray(item)
        if image.dtype.kind not in "uif" or not 2 <= image.ndim <= 4:
            raise DataError(
                "A calibration sample must be an image (H, W, C) or a batch (N, H, W, C). "
                f"Received: {image.dtype} {image.shape}"
            )
        yield from image if image.ndim == 4 else (image,)


def _prepared(
    image: npt.NDArray[Any], shape: tuple[int, ...], preprocessing: Any
) -> npt.NDArray[np.float32]:
    if image.dtype.kind == "f":
        batch = image[None].astype(np.float32)
    elif preprocessing is None:
        raise UsageError(
            "The model carries no preprocessing; pass preprocessing=, or float images as the model takes "
            f"them. Received: {image.dtype} images"
        )
    else:
        batch = np.asarray(preprocessing(image[None] if image.ndim == 3 else image), np.float32)
    if batch.shape != (1, *shape):
        raise DataError(f"The model takes images of shape {shape}. Received: {batch.shape[1:]}")
    if not np.isfinite(batch).all():
        raise DataError("A calibration sample holds NaN or infinity; give images as they are used")
    return batch

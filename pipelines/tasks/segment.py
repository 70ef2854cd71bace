"""Segmentation: a class for every pixel; mean intersection over union, pixel accuracy, cross-entropy."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import UsageError
from pipelines.data.batches import Batches, Preprocess, plain_errors
from pipelines.data.dataset import IGNORED, ImageDataset, MaskSplit
from pipelines.data.mask_batches import MaskBatches
from pipelines.data.text.splits import TextDataset
from pipelines.tasks.base import Metrics, Task, input_shape_of, preprocessing_of

Floats = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
#: Resized scores held at once while evaluating, in numbers; bounds the batch for large images.
_SCORES = 1 << 26


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationScore:
    """Counts of (true, predicted) class pairs over all counted pixels, and what follows from them."""

    confusion: npt.NDArray[np.float64]
    loss: float | None = None

    @property
    def iou(self) -> npt.NDArray[np.float64]:
        """Intersection over union of each class; NaN for one that neither mask nor prediction holds."""
        hits = np.diag(self.confusion)
        union = self.confusion.sum(axis=0) + self.confusion.sum(axis=1) - hits
        return np.where(union > 0, hits / np.maximum(union, 1), np.nan)

    @property
    def miou(self) -> float:
        """Mean over the classes that occur, background included."""
        return float(np.nanmean(self.iou)) if self.confusion.any() else float("nan")

    @property
    def pixel_accuracy(self) -> float:
        """Share of counted pixels with the right class."""
        return float(np.trace(self.confusion) / max(1.0, self.confusion.sum()))

    def metrics(self) -> Metrics:
        """As `evaluate` returns them."""
        found = {"miou": self.miou, "pixel_accuracy": self.pixel_accuracy}
        return found if self.loss is None else {**found, "loss": self.loss}


class Segmentation(Task):
    """A class for every pixel; the model answers with logits at its own stride, or with class ids."""

    NAME = "segmentation"
    METRICS = {"miou": "mIoU", "pixel_accuracy": "pixel accuracy", "loss": "loss"}
    HEADLINE = "miou"
    FINETUNE_RECIPE = "finetune_segment"

    def batches(self, split: MaskSplit, *, model: Any, **settings: Any) -> Batches:
        return MaskBatches(split, input_shape=input_shape_of(model, split), **settings)

    def classes_of(self, model: Any) -> int | None:
        spec = getattr(model, "spec", None)
        if spec is not None:
            return spec.head.num_classes if spec.task == self.NAME else None
        shape = model.output_shape
        return shape[3] if isinstance(shape, tuple) and len(shape) == 4 else None

    def check_fit(self, model: Any, dataset: ImageDataset | TextDataset) -> None:
        super().check_fit(model, dataset)
        if len(model.output_shape) != 4 or model.output_shape[3] != dataset.num_classes:
            raise UsageError(
                "A segmentation network is trained on its logits and gets another output afterwards: build it "
                f"with output='logits'. Received output shape: {model.output_shape}"
            )

    def loss(self, *, from_logits: bool, label_smoothing: float) -> Any:
        if label_smoothing:
            raise UsageError("Segmentation trains without label smoothing; set it to 0")
        return _loss_class()(from_logits=from_logits)

    def training_metrics(self) -> list[Any]:
        return []  # any metric would resize all scores a second time

    def evaluate(
        self,
        model: Any,
        split: MaskSplit,
        preprocessing: Preprocess | None = None,
        *,
        batch_size: int = 256,
        verbose: int = 0,
    ) -> Metrics:
        return score_model(
            model, split, preprocessing, batch_size=batch_size, progress=bool(verbose)
        ).metrics()

    def evaluate_file(
        self,
        path: str | Path,
        split: MaskSplit,
        preprocessing: Preprocess,
        *,
        batch_size: int = 256,
        progress: bool = True,
    ) -> Metrics:
        return score_file(path, split, preprocessing, progress=progress).metrics()


def score_model(
    model: Any,
    split: MaskSplit,
    preprocessing: Preprocess | None = None,
    *,
    batch_size: int = 256,
    progress: bool = False,
    num_classes: int | None = None,
) -> SegmentationScore:
    """How well a Keras model segments all of a split, at the size of its masks.

    `num_classes` is needed where the model answers with class ids.
    """
    classes = num_classes or Segmentation().classes_of(model)
    if classes is None:
        raise UsageError(
            "A segmentation model answers with (N, h, w, classes). "
            f"Received output shape: {model.output_shape}"
        )
    height, width, _ = split.image_shape
    batches = MaskBatches(
        split,
        batch_size=max(1, min(batch_size, _SCORES // (height * width * classes))),
        num_classes=classes,
        preprocessing=preprocessing_of(model, preprocessing),
        input_shape=input_shape_of(model, split),
    )
    return _score(batches, lambda inputs: np.asarray(model.predict_on_batch(inputs)), progress)


def score_file(
    path: str | Path,
    split: MaskSplit,
    preprocessing: Preprocess,
    *,
    progress: bool = True,
    num_classes: int | None = None,
) -> SegmentationScore:
    """How well a `.tflite` file segments all of a split, at the size of its masks."""
    from pipelines.export.runner import Int8Runner

    with Int8Runner(path) as runner:
        shape = runner.output.shape
        scores = len(shape) == 4 and shape[3] > 1
        batches = MaskBatches(
            split,
            batch_size=32,
            num_classes=shape[3] if scores else num_classes or IGNORED,
            preprocessing=preprocessing,
            input_shape=runner.input.shape[1:],
        )
        return _score(batches, runner, progress)


def _score(
    batches: MaskBatches, answer: Callable[[Floats], Floats], progress: bool
) -> SegmentationScore:
    from keras import ops
    from tqdm import tqdm

    classes = batches.num_classes
    confusion = np.zeros((classes, classes))
    losses, pixels = 0.0, 0
    with_loss = True
    with plain_errors(batches):
        for step in tqdm(
            range(len(batches)), desc="segment", leave=False, disable=None if progress else True
        ):
            inputs, masks = batches[step]
            outputs = answer(inputs)
            with_loss = outputs.ndim == 4 and outputs.shape[3] > 1
            counted = masks != IGNORED
            if with_loss:
                scores = resized(outputs, masks.shape[1:3])
                losses += float(cross_entropy(masks, scores)) * int(counted.sum())
                pixels += int(counted.sum())
                found = np.asarray(ops.convert_to_numpy(ops.argmax(scores, axis=-1)))
            else:
                found = class_maps(outputs, masks.shape[1:3])
            pairs = classes * masks[counted] + found[counted]
            confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    return SegmentationScore(
        confusion=confusion, loss=losses / max(1, pixels) if with_loss else None
    )


def class_maps(outputs: npt.NDArray[Any], size: tuple[int, ...]) -> Ids:
    """Class ids (N, H, W) at `size` (H, W) from a model's answer: scores (N, h, w, classes) or ids."""
    from keras import ops

    outputs = np.asarray(outputs)
    if outputs.ndim == 4 and outputs.shape[3] > 1:
        found = ops.convert_to_numpy(ops.argmax(resized(outputs, size), axis=-1))
        return np.asarray(found, np.int64)
    ids = np.rint(outputs.reshape(outputs.shape[:3])).astype(np.int64)
    if ids.shape[1:] == tuple(size):
        return ids
    rows, columns = (
        ((np.arange(wanted) + 0.5) * have / wanted).astype(np.int64)
        for wanted, have in zip(size, ids.shape[1:], strict=True)
    )
    nearest: Ids = ids[:, rows[:, None], columns[None, :]]
    return nearest


def resized(scores: Any, size: tuple[int, ...]) -> Any:
    """Scores (N, h, w, classes) bilinearly at `size` (H, W), as a tensor of the backend."""
    from keras import ops

    height, width = size
    if tuple(scores.shape[1:3]) == (height, width):
        return ops.convert_to_tensor(scores)
    return ops.image.resize(
        scores, (height, width), interpolation="bilinear", data_format="channels_last"
    )


def cross_entropy(masks: Any, scores: Any, *, from_logits: bool | None = None) -> Any:
    """Mean negative log likelihood, in nats, of the counted pixels (N, H, W) under scores (N, H, W, classes)."""
    from keras import ops

    from pipelines.tasks.classify import is_probabilities

    if from_logits is None:
        from_logits = not is_probabilities(np.asarray(ops.convert_to_numpy(scores)))
    ids = ops.cast(masks, "int32")
    counted = ops.not_equal(ids, IGNORED)
    weight = ops.cast(counted, "float32")
    losses = ops.sparse_categorical_crossentropy(
        ops.where(counted, ids, 0), scores, from_logits=from_logits
    )
    return ops.sum(losses * weight) / ops.maximum(ops.sum(weight), 1.0)


@cache
def _loss_class() -> Any:
    """The loss as a Keras class, made when Keras is wanted."""
    import keras

    @keras.saving.register_keras_serializable(package="edgezoo")
    class SegmentationCrossentropy(keras.losses.Loss):
        """Cross-entropy of scores resized to their masks, over pixels that are not ignored."""

        def __init__(self, *, from_logits: bool = True, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.from_logits = from_logits

        def call(self, y_true: Any, y_pred: Any) -> Any:
            scores = resized(y_pred, tuple(y_true.shape[1:3]))
            return cross_entropy(y_true, scores, from_logits=self.from_logits)

        def get_config(self) -> dict[str, Any]:
            return {**super().get_config(), "from_logits": self.from_logits}

    return SegmentationCrossentropy

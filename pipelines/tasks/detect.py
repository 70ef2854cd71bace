"""Detection: objects with boxes and classes; average precision as COCO has it, focal loss and smooth L1."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import UsageError
from model_zoo.detection import Detections, anchors_of, detect
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import ModelSpec
from pipelines.data.batches import Batches, Preprocess, plain_errors
from pipelines.data.box_batches import BACKGROUND, UNCOUNTED, BoxBatches
from pipelines.data.dataset import BoxSplit
from pipelines.tasks.base import Metrics, Task, input_shape_of, preprocessing_of

if TYPE_CHECKING:
    from pipelines.tasks.average_precision import BoxScore

#: Constants of the published detectors' configs.
FOCAL_ALPHA, FOCAL_GAMMA = 0.75, 2.0
#: Numbers a box is told by; its loss is their mean.
_CODES = 4

Outputs = dict[str, npt.NDArray[np.float32]]


class Detection(Task):
    """Objects with boxes; the model answers with `box_codes` and `class_logits` for each of its anchors."""

    NAME = "detection"
    METRICS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "loss": "loss"}
    HEADLINE = "ap"
    ALSO_STATED = ("ap50",)
    FINETUNE_RECIPE = "finetune_detect"

    def batches(self, split: BoxSplit, *, model: Any, **settings: Any) -> Batches:
        anchors = anchors_of(_spec_of(model))
        return BoxBatches(
            split, anchors=anchors, input_shape=input_shape_of(model, split), **settings
        )

    def classes_of(self, model: Any) -> int | None:
        spec = getattr(model, "spec", None)
        return spec.head.num_classes if spec is not None and spec.task == self.NAME else None

    def loss(self, *, from_logits: bool, label_smoothing: float) -> Any:
        if label_smoothing:
            raise UsageError("Detection trains without label smoothing; set it to 0")
        boxes, classes = loss_classes()
        return {"box_codes": boxes(), "class_logits": classes()}

    def training_metrics(self) -> list[Any]:
        return []

    def evaluate(
        self,
        model: Any,
        split: BoxSplit,
        preprocessing: Preprocess | None = None,
        *,
        batch_size: int = 256,
        verbose: int = 0,
    ) -> Metrics:
        score, loss = score_model(
            model, split, preprocessing, batch_size=batch_size, progress=bool(verbose)
        )
        return metrics_of(score, loss)

    def evaluate_file(
        self,
        path: str | Path,
        split: BoxSplit,
        preprocessing: Preprocess,
        *,
        batch_size: int = 256,
        progress: bool = True,
    ) -> Metrics:
        score, loss = score_file(path, split, preprocessing, progress=progress)
        return metrics_of(score, loss)


def metrics_of(score: "BoxScore", loss: float | None) -> Metrics:
    """As `evaluate` returns them."""
    found = {"ap": score.ap, "ap50": score.ap50, "ap75": score.ap75}
    return found if loss is None else {**found, "loss": loss}


def score_model(
    model: Any,
    split: BoxSplit,
    preprocessing: Preprocess | None = None,
    *,
    batch_size: int = 256,
    progress: bool = False,
) -> tuple["BoxScore", float | None]:
    """How well a Keras model detects on all of a split, and its loss."""
    spec = _spec_of(model)
    assert isinstance(spec.head, SsdHead)
    batches = BoxBatches(
        split,
        anchors=anchors_of(spec),
        batch_size=min(batch_size, 64),
        num_classes=spec.head.num_classes,
        preprocessing=preprocessing_of(model, preprocessing),
        input_shape=input_shape_of(model, split),
    )

    def answer(inputs: npt.NDArray[np.float32]) -> Outputs:
        return {name: np.asarray(row) for name, row in model.predict_on_batch(inputs).items()}

    return _score(batches, answer, progress)


def score_file(
    path: str | Path,
    split: BoxSplit,
    preprocessing: Preprocess,
    *,
    progress: bool = True,
    num_classes: int | None = None,
) -> tuple["BoxScore", float | None]:
    """How well a `.tflite` file detects on all of a split; no loss for one that post-processes.

    `num_classes` are those of the data.

    Raises:
        UsageError: the file is no detector, has other classes, or its anchors are not known.
    """
    from pipelines.export.detector import DetectorRunner

    with DetectorRunner(path) as runner:
        if num_classes not in (None, runner.num_classes):
            raise UsageError(
                f"{path} tells {runner.num_classes} classes apart, the data has {num_classes}; they must agree"
            )
        if runner.anchors is None and not runner.postprocesses:
            raise UsageError(
                f"{path} holds no anchors, so its box codes mean nothing; export the model again"
            )
        batches = BoxBatches(
            split,
            anchors=np.zeros((0, _CODES), np.float32) if runner.anchors is None else runner.anchors,
            batch_size=32,
            num_classes=runner.num_classes,
            preprocessing=preprocessing,
            input_shape=runner.input.shape[1:],
        )
        return _score(batches, runner, progress)


def _score(
    batches: BoxBatches, answer: Callable[[npt.NDArray[np.float32]], Outputs], progress: bool
) -> tuple["BoxScore", float | None]:
    from tqdm import tqdm

    from pipelines.tasks.average_precision import AveragePrecision

    precision = AveragePrecision(batches.num_classes, image_size=batches.split.image_shape[:2])
    losses = []
    with plain_errors(batches):
        for step in tqdm(
            range(len(batches)), desc="detect", leave=False, disable=None if progress else True
        ):
            images, objects = batches.read(batches.indices(step))
            outputs = answer(batches.inputs(images))
            precision.add(found_in(outputs, batches.anchors), objects)
            if "box_codes" in outputs:
                losses.append(len(images) * loss_of(batches.targets(objects), outputs))
    loss = float(np.sum(losses) / len(batches.split)) if losses else None
    return precision.score(progress=progress), loss


def found_in(outputs: Outputs, anchors: npt.NDArray[np.float32]) -> list[Detections]:
    """The objects in a detector's outputs, post-processed or not, for each image."""
    if "box_codes" not in outputs:
        from pipelines.export.detector import detections_of

        return detections_of(outputs)
    return detect(outputs["box_codes"], outputs["class_logits"], anchors)


def loss_of(targets: dict[str, npt.NDArray[Any]], outputs: Outputs) -> float:
    """The training loss of outputs without regularisation."""
    from keras import ops

    boxes, classes = loss_classes()
    parts = [
        boxes()(targets["box_codes"], outputs["box_codes"]),
        classes()(targets["class_logits"], outputs["class_logits"]),
    ]
    return sum(float(ops.convert_to_numpy(part)) for part in parts)


def _spec_of(model: Any) -> ModelSpec:
    spec = getattr(model, "spec", None)
    if spec is None or spec.task != Detection.NAME:
        raise UsageError(
            "A detector is trained and judged by its anchors, which only a detection model of this zoo carries. "
            f"Received: {getattr(model, 'name', model)!r}"
        )
    found: ModelSpec = spec
    return found


@cache
def loss_classes() -> tuple[Any, Any]:
    """The losses of boxes and of classes as Keras classes, made when Keras is wanted."""
    import keras
    from keras import ops

    @keras.saving.register_keras_serializable(package="edgezoo")
    class BoxLoss(keras.losses.Loss):
        """Smooth L1 of the codes of matched anchors, by the number of those and of codes.

        Source: Liu et al. 2016 as configured for the published detectors.
        """

        def call(self, y_true: Any, y_pred: Any) -> Any:
            matched = y_true[..., _CODES]
            away = ops.abs(y_pred - y_true[..., :_CODES])
            losses = ops.where(away < 1, away**2 / 2, away - 0.5)
            total = ops.sum(ops.mean(losses, axis=-1) * matched)
            return total / ops.maximum(ops.sum(matched), 1.0)

    @keras.saving.register_keras_serializable(package="edgezoo")
    class FocalLoss(keras.losses.Loss):
        """Sigmoid focal loss of all slots of all counted anchors, by the number of matched ones.

        An anchor on the background is to answer 0 in every slot. Source: Lin et al. 2017.
        """

        def call(self, y_true: Any, y_pred: Any) -> Any:
            slots = ops.cast(y_true, "int32")
            counted = ops.cast(ops.not_equal(slots, UNCOUNTED), y_pred.dtype)
            positive = ops.cast(slots > BACKGROUND, y_pred.dtype)
            wanted = ops.one_hot(ops.maximum(slots, 0), y_pred.shape[-1], dtype=y_pred.dtype)
            wanted = wanted * positive[..., None]
            # log(1 + e**x) - x * wanted, without overflow.
            entropy = ops.softplus(y_pred) - y_pred * wanted
            missing = ops.abs(wanted - ops.sigmoid(y_pred))
            weight = FOCAL_ALPHA * wanted + (1 - FOCAL_ALPHA) * (1 - wanted)
            losses = ops.sum(weight * missing**FOCAL_GAMMA * entropy, axis=-1)
            return ops.sum(losses * counted) / ops.maximum(ops.sum(positive), 1.0)

    return BoxLoss, FocalLoss

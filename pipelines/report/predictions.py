"""What a model sees in test images of a data set, whatever its task."""

from typing import Any

import numpy as np

from hw_model.errors import UsageError
from pipelines.data.dataset import BoxSplit, ImageDataset, LabelSplit, MaskSplit, subset
from pipelines.predict import LEAST_SCORE, Predictor
from pipelines.report.classify import classify_section
from pipelines.report.detect import detect_section
from pipelines.report.page import Section
from pipelines.report.segment import segment_section
from pipelines.tasks import detect, segment

_SHOWN = 12
_CLASSIFIED = 24
#: Images a page's figures are measured on: enough for two digits, and some seconds.
_COUNTED = 400


def predictions_section(model: Any, predictor: Predictor, dataset: ImageDataset) -> Section:
    """A section with test images and the model's answers.

    Raises:
        UsageError: the data is for another task than the model.
    """
    if dataset.task != predictor.task:
        raise UsageError(
            f"{dataset.name} is for {dataset.task}, the model for {predictor.task}; give data of its own task"
        )
    title = f"Test images of {dataset.name}"
    test = dataset.test
    if isinstance(test, MaskSplit):
        part = subset(test, _COUNTED)
        images, masks = part.read_pairs(np.arange(min(_SHOWN, len(part))))
        return segment_section(
            title=title,
            lead="Each row: the image, its true mask, and the mask the float model finds.",
            images=images,
            masks=masks,
            found=np.stack([predictor.mask(image) for image in images]),
            class_names=dataset.class_names,
            score=segment.score_model(model, part, num_classes=dataset.num_classes),
            counted=len(part),
        )
    if isinstance(test, BoxSplit):
        boxed = subset(test, _COUNTED)
        images, objects = boxed.read_boxed(np.arange(min(_SHOWN, len(boxed))))
        return detect_section(
            title=title,
            lead="Each row: the image with its objects, and with those that the float model finds with a score of "
            f"at least {LEAST_SCORE:g}.",
            images=images,
            objects=objects,
            found=[predictor.detections(image).above(LEAST_SCORE) for image in images],
            class_names=dataset.class_names,
            score=detect.score_model(model, boxed)[0],
        )
    assert isinstance(test, LabelSplit)
    shown = subset(test, _CLASSIFIED)
    images = shown.read(np.arange(len(shown)))
    return classify_section(
        title=title,
        lead="Test images with the class the float model gives them.",
        images=images,
        labels=shown.labels.tolist(),
        scores=np.stack([predictor.scores(image) for image in images]),
        class_names=dataset.class_names,
    )

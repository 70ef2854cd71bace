"""Average precision of found boxes, computed by the COCO evaluation itself (pycocotools)."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, EnvironmentFault
from model_zoo.detection.nms import Detections
from pipelines.data.dataset import Objects

Floats = npt.NDArray[np.float64]
#: Areas by which COCO tells objects apart, in the order of its own parameters.
_AREAS = ("all", "small", "medium", "large")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxScore:
    """Average precisions as COCO defines them, shares from 0 to 1; NaN where no object asks for an answer.

    `ap` is the mean over classes and over IoU thresholds .50, .55 ... .95; small, medium and large are
    objects of up to 32 x 32 and 96 x 96 pixels of the boxes, and larger ones.
    """

    ap: float
    ap50: float
    ap75: float
    ap_small: float
    ap_medium: float
    ap_large: float
    #: (classes,), NaN for a class without objects.
    per_class_ap: Floats
    per_class_ap50: Floats
    images: int
    objects: int

    def metrics(self) -> dict[str, float]:
        """The headline figures by key."""
        return {"ap": self.ap, "ap50": self.ap50, "ap75": self.ap75}


class AveragePrecision:
    """Collects what a detector found in images and what is in them, in shares of the image."""

    def __init__(self, num_classes: int, *, image_size: tuple[int, int] = (1, 1)) -> None:
        """`image_size` (H, W) in pixels tells small objects from large ones and is of no other effect."""
        self._num_classes = num_classes
        height, width = image_size
        self._pixels = np.array([height, width, height, width], np.float64)
        self._truth: list[dict[str, Any]] = []
        self._found: list[dict[str, Any]] = []
        self._images = 0

    def add(self, detections: Sequence[Detections], objects: Sequence[Objects]) -> None:
        """What was found in some images, and what is there; one of each per image.

        Raises:
            DataError: a class that is none of `num_classes`, or not one answer per image.
        """
        if len(detections) != len(objects):
            raise DataError(
                f"Every image needs one list of detections. Received: {len(detections)} for {len(objects)} images"
            )
        for found, present in zip(detections, objects, strict=True):
            self._images += 1
            here = self._annotations(found, self._found)
            for entry, score in zip(here, found.scores.tolist(), strict=True):
                entry.update(score=score, iscrowd=0)
            self._found += here
            here = self._annotations(present, self._truth)
            for entry, crowd in zip(here, present.crowd.tolist(), strict=True):
                entry["iscrowd"] = int(crowd)
            self._truth += here

    def score(self, *, progress: bool = False) -> BoxScore:
        """The average precisions over all images added so far.

        Raises:
            EnvironmentFault: pycocotools is not installed.
        """
        precision = _precision(self._truth, self._found, self._images, self._num_classes, progress)
        everywhere = precision[:, :, 0]
        return BoxScore(
            ap=_mean(everywhere),
            ap50=_mean(everywhere[0]),
            ap75=_mean(everywhere[5]),
            ap_small=_mean(precision[:, :, 1]),
            ap_medium=_mean(precision[:, :, 2]),
            ap_large=_mean(precision[:, :, 3]),
            per_class_ap=everywhere.mean(axis=0),
            per_class_ap50=everywhere[0],
            images=self._images,
            objects=sum(not entry["iscrowd"] for entry in self._truth),
        )

    def _annotations(
        self, boxed: Detections | Objects, earlier: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Boxes of the latest image as COCO's records; ids start from 1, for COCO takes 0 as 'not matched'."""
        if len(boxed.classes) and not (
            boxed.classes.min() >= 0 and boxed.classes.max() < self._num_classes
        ):
            raise DataError(
                f"Classes are numbered from 0 to {self._num_classes - 1}. "
                f"Received: {boxed.classes.min()} to {boxed.classes.max()}"
            )
        corners = np.asarray(boxed.boxes, np.float64) * self._pixels
        sizes = corners[:, 2:] - corners[:, :2]
        boxes = np.concatenate([corners[:, 1::-1], sizes[:, ::-1]], axis=1)  # left, top, w, h
        rows = zip(boxes.tolist(), sizes.prod(axis=1).tolist(), boxed.classes.tolist(), strict=True)
        return [
            {
                "id": len(earlier) + number,
                "image_id": self._images,
                "category_id": label + 1,
                "bbox": box,
                "area": area,
            }
            for number, (box, area, label) in enumerate(rows, start=1)
        ]


def _precision(
    truth: list[dict[str, Any]],
    found: list[dict[str, Any]],
    images: int,
    num_classes: int,
    progress: bool,
) -> Floats:
    """Precision averaged over recall (IoU thresholds, classes, areas), NaN where there is no object."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise EnvironmentFault(
            "Average precision needs pycocotools: pip install 'edgezoo[detection]'"
        ) from error
    if not images:
        return np.full((10, num_classes, len(_AREAS)), np.nan)
    from tqdm import tqdm

    class Evaluation(COCOeval):
        """COCO's evaluation, which moves a bar on."""

        def evaluateImg(self, *arguments: Any) -> Any:  # noqa: N802 - COCO's name
            bar.update()
            return super().evaluateImg(*arguments)

    def indexed(annotations: list[dict[str, Any]]) -> Any:
        data = COCO()
        data.dataset = {
            "images": [{"id": number} for number in range(1, images + 1)],
            "categories": [{"id": number} for number in range(1, num_classes + 1)],
            "annotations": annotations,
        }
        data.createIndex()
        return data

    calls = images * num_classes * len(_AREAS)
    with (
        tqdm(total=calls, desc="AP", leave=False, disable=None if progress else True) as bar,
        contextlib.redirect_stdout(io.StringIO()),  # it prints what it does
    ):
        evaluation = Evaluation(indexed(truth), indexed(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # (thresholds, recalls, classes, areas, most detections); the last is 100 per image.
    precision: Floats = evaluation.eval["precision"][..., -1].mean(axis=1)
    return np.where(precision < 0, np.nan, precision)


def _mean(precision: Floats) -> float:
    """The mean over what is there; NaN where nothing is."""
    counted = precision[~np.isnan(precision)]
    return float(counted.mean()) if counted.size else float("nan")

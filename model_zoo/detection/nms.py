"""From a detector's outputs to the objects it found: decoding, scores, and suppression of what is found twice.

Source: SSD post-processing of the TensorFlow object detection API with the constants of the published configs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError
from model_zoo.detection.boxes import decode
from model_zoo.detection.matching import iou

#: Scores that are looked at, overlap from which two boxes are one object, and most objects of an image.
SCORE_THRESHOLD = 1e-8
IOU_THRESHOLD = 0.6
MAX_DETECTIONS = 100
#: (anchor, class) pairs of an image that are looked at, the best ones; many more than an image may have objects.
_CANDIDATES = 400


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Detections:
    """What was found in one image, the surest first.

    `boxes` (n, 4) are top, left, bottom, right as shares 0..1 of the image, `classes` (n,) class ids from 0,
    `scores` (n,) shares of certainty.
    """

    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.classes)

    def above(self, score: float) -> "Detections":
        """Those with at least this score."""
        return self.first(int(np.count_nonzero(self.scores >= score)))

    def first(self, count: int | None) -> "Detections":
        """The `count` surest; all of them for None."""
        return Detections(
            boxes=self.boxes[:count], classes=self.classes[:count], scores=self.scores[:count]
        )


def detect(
    box_codes: npt.ArrayLike,
    class_logits: npt.ArrayLike,
    anchors: npt.NDArray[np.float32],
    *,
    score_threshold: float = SCORE_THRESHOLD,
    iou_threshold: float = IOU_THRESHOLD,
    max_detections: int = MAX_DETECTIONS,
) -> list[Detections]:
    """What a detector found in each image, from its `box_codes` (N, anchors, 4) and `class_logits`
    (N, anchors, classes + 1) and its `anchors` (anchors, 4). Classes do not suppress each other.

    Raises:
        DataError: the outputs are not of these anchors.
    """
    codes, logits = np.asarray(box_codes, np.float32), np.asarray(class_logits, np.float32)
    if codes.shape[1:] != anchors.shape or logits.shape[:2] != codes.shape[:2]:
        raise DataError(
            f"A detector with {len(anchors)} anchors answers with (N, {len(anchors)}, 4) and "
            f"(N, {len(anchors)}, classes + 1). Received: {codes.shape} and {logits.shape}"
        )
    # Slot 0 is the background: it has no say, as every class has a score of its own.
    scores = 1 / (1 + np.exp(-np.clip(logits[..., 1:], -80, 80)))
    return [
        _of_image(boxes, own, score_threshold, iou_threshold, max_detections)
        for boxes, own in _decoded(codes, scores, anchors)
    ]


def _decoded(codes: Any, scores: Any, anchors: Any) -> Iterator[tuple[Any, Any]]:
    for image, own in enumerate(scores):
        yield np.clip(decode(codes[image], anchors), 0, 1), own


def _of_image(
    boxes: npt.NDArray[np.float32],
    scores: npt.NDArray[np.float32],
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
) -> Detections:
    flat = scores.ravel()
    count = min(_CANDIDATES, len(flat))
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[np.lexsort((best, -flat[best]))]  # equal scores in the order of the anchors
    anchor, label = np.divmod(best, scores.shape[1])
    area = np.prod(boxes[anchor, 2:] - boxes[anchor, :2], axis=-1)
    wanted = (flat[best] >= score_threshold) & (area > 0)
    best, anchor, label = best[wanted], anchor[wanted], label[wanted]
    kept = suppress(boxes[anchor], label, iou_threshold)[:max_detections]
    return Detections(
        boxes=boxes[anchor[kept]], classes=label[kept].astype(np.int64), scores=flat[best[kept]]
    )


def suppress(
    boxes: npt.NDArray[np.float32], classes: npt.NDArray[Any], threshold: float
) -> npt.NDArray[np.int64]:
    """Which of these boxes (n, 4), the surest first, stay: those that no surer one of their class overlaps by more
    than `threshold`."""
    rivals = (iou(boxes, boxes) > threshold) & (classes[:, None] == classes[None, :])
    alive = np.ones(len(boxes), np.bool_)
    for place in range(len(boxes)):
        if alive[place]:
            alive[place + 1 :] &= ~rivals[place, place + 1 :]
    return np.flatnonzero(alive)

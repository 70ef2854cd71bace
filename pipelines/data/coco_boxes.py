"""Boxes of a COCO file against the sizes of their images: formats told apart, clipped, refused, as shares."""

import sys
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError
from pipelines.data.coco_json import CocoFile
from pipelines.data.dataset import Objects

#: Annotation tools round; up to so many pixels beyond the image nobody is told.
_ROUNDING = 1.0
#: From this share of boxes beyond their image on they are rather in another format.
_MANY = 0.1


def objects_of(
    coco: CocoFile, sizes: npt.NDArray[np.int64], class_of: Mapping[int, int]
) -> list[Objects]:
    """The objects of each image; `sizes` (images, 2) are heights and widths, `class_of` classes by category.

    Boxes that reach beyond their image are clipped to it. Boxes without width or height are left out: COCO's
    own training file has some. One line on stderr counts either.

    Raises:
        DataError: boxes outside their image, of negative size, as corners or as shares.
    """
    _check_format(coco, sizes)
    left, top, width, height = coco.boxes.T
    tall, wide = sizes[coco.image].T
    empty = (width == 0) | (height == 0)
    _refuse(coco, sizes, (width < 0) | (height < 0), "a negative width or height")
    outside = (left >= wide) | (top >= tall) | (left + width <= 0) | (top + height <= 0)
    _refuse(coco, sizes, outside & ~empty, "a box wholly outside its image")
    over = _beyond(coco.boxes, tall, wide) > _ROUNDING
    _warn(coco, over & ~empty, "reach beyond their image and are clipped to it")
    corners = np.stack([top / tall, left / wide, (top + height) / tall, (left + width) / wide], 1)
    shares = np.clip(corners, 0, 1).astype(np.float32)
    empty |= (shares[:, 2:] <= shares[:, :2]).any(axis=1)
    _warn(coco, empty, "have no width or no height and are left out")
    (kept,) = np.nonzero(~empty)
    kept = kept[np.argsort(coco.image[kept], kind="stable")]
    classes = np.array([class_of[label] for label in coco.category[kept].tolist()], dtype=np.int64)
    ends = np.searchsorted(coco.image[kept], np.arange(len(sizes) + 1))
    return [
        Objects(
            boxes=shares[kept[first:last]],
            classes=classes[first:last],
            crowd=coco.crowd[kept[first:last]],
        )
        for first, last in zip(ends[:-1], ends[1:], strict=True)
    ]


def _beyond(
    boxes: npt.NDArray[np.float64], tall: npt.NDArray[np.int64], wide: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """By how many pixels each box reaches beyond its image, at most 0 where it does not."""
    left, top, width, height = boxes.T
    return np.max([-left, -top, left + width - wide, top + height - tall], axis=0)


def _check_format(coco: CocoFile, sizes: npt.NDArray[np.int64]) -> None:
    """Refuses boxes that make sense in another format only."""
    boxes = coco.boxes
    if not len(boxes):
        return
    if np.abs(boxes).max() <= 1:
        raise DataError(
            f"Boxes in {coco.path} look like shares of their image: none has a value above "
            f"{np.abs(boxes).max():g}. COCO boxes are pixels; multiply them by the image's width and height."
        )
    tall, wide = sizes[coco.image].T
    over = _beyond(boxes, tall, wide) > _ROUNDING
    sides = boxes[:, 2:] - boxes[:, :2]
    as_corners = np.concatenate([boxes[:, :2], sides], axis=1)
    fit = (sides > 0).all(axis=1) & (_beyond(as_corners, tall, wide) <= _ROUNDING)
    if over.mean() > _MANY and fit.all():
        place = int(np.argmax(over))
        raise DataError(
            f"Boxes in {coco.path} look like [left, top, right, bottom]: {over.mean():.0%} of them reach beyond "
            "their image as [left, top, width, height], and all fit as corners. COCO boxes have a width and a "
            f"height; subtract left and top. Received: {coco.called(place)} {_shown(coco, sizes, place)}"
        )


def _refuse(
    coco: CocoFile, sizes: npt.NDArray[np.int64], wrong: npt.NDArray[np.bool_], what: str
) -> None:
    if wrong.any():
        place = int(np.argmax(wrong))
        others = f" and {wrong.sum() - 1} more" if wrong.sum() > 1 else ""
        raise DataError(
            f"{coco.path}: {coco.called(place)}{others} has {what}; correct or delete it. "
            f"Received: {_shown(coco, sizes, place)}"
        )


def _shown(coco: CocoFile, sizes: npt.NDArray[np.int64], place: int) -> str:
    box = ", ".join(f"{value:g}" for value in coco.boxes[place])
    index = coco.image[place]
    height, width = sizes[index]
    return f"bbox [{box}] in {coco.file_names[index]} of {width}x{height} pixels"


def _warn(coco: CocoFile, found: npt.NDArray[np.bool_], what: str) -> None:
    if found.any():
        print(
            f"{coco.path}: {found.sum()} of {len(found)} boxes {what}, the first {coco.called(int(np.argmax(found)))}.",
            file=sys.stderr,
        )

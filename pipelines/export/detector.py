"""Runs a detector's `.tflite` file: box codes and class logits, or the detections of one that post-processes."""

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, UsageError
from hw_model.io import read_metadata
from hw_model.io.tflite_file import TFLiteFile, load
from model_zoo.detection.nms import Detections, detect
from pipelines.export.edit import Edit
from pipelines.export.postprocess import OPERATOR, OUTPUTS, RAW_OUTPUTS, name_outputs
from pipelines.export.runner import FileRunner, Floats

#: Under this name a file keeps its anchors: float32, little-endian, (anchors, 4): top, left, bottom, right.
ANCHORS = "detector_anchors"


class DetectorRunner(FileRunner):
    """A detector's `.tflite` file, with or without post-processing, called on batches of float images.

    `anchors` (anchors, 4) as corners are those in the file unless given; a file of other makers needs them
    for `detections`, if it does not post-process itself.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        anchors: npt.NDArray[np.float32] | None = None,
        workers: int | None = None,
    ) -> None:
        super().__init__(path, workers=workers)
        self._path = os.fspath(path)
        self.anchors = anchors if anchors is not None else _anchors_in(path)

    def _output_names(self, path: str | os.PathLike[str]) -> tuple[str, ...]:
        file = load(path)
        names = _postprocessed(file) or _raw(file)
        if len(file.inputs) != 1 or names is None:
            shapes = ", ".join(f"{name} {list(shape)}" for name, shape in _ports(file))
            raise UsageError(
                f"{path} is no detector: it must answer with box codes (1, anchors, 4) and class logits "
                f"(1, anchors, classes + 1), or end in {OPERATOR}. Received: {shapes}"
            )
        self.postprocesses = set(names) == set(OUTPUTS)
        self.num_classes = _num_classes(file, names)
        return names

    def __call__(self, images: npt.ArrayLike) -> dict[str, Floats]:
        """Real outputs by name: `box_codes` and `class_logits`, or `boxes`, `classes`, `scores` and `count`."""
        return self.answers(images)

    def detections(self, images: npt.ArrayLike, **settings: Any) -> list[Detections]:
        """What the file finds in each preprocessed float image; `settings` are those of `detect`.

        Raises:
            UsageError: settings for a file that has its own, or no anchors for one that needs them.
        """
        if self.postprocesses:
            if settings:
                raise UsageError(
                    f"{self._path} post-processes with settings of its own. Received: {', '.join(settings)}"
                )
            return detections_of(self.answers(images))
        if self.anchors is None:
            raise UsageError(
                f"{self._path} holds no anchors, so its box codes mean nothing; pass anchors="
            )
        found = self.answers(images)
        return detect(found["box_codes"], found["class_logits"], self.anchors, **settings)


def is_detector(path: str | os.PathLike[str]) -> bool:
    """Whether a `.tflite` file answers as detectors do.

    Raises:
        DataError: the file is missing, is no `.tflite` file, or is truncated or corrupt.
    """
    file = load(path)
    return (_postprocessed(file) or _raw(file)) is not None


def detections_of(outputs: dict[str, Floats]) -> list[Detections]:
    """The answers of a file that post-processes; boxes are clipped to the image."""
    found = []
    for boxes, classes, scores, count in zip(*(outputs[name] for name in OUTPUTS), strict=True):
        valid = int(np.ravel(count)[0])  # what lies behind is left from earlier images
        inside = np.clip(boxes[:valid], 0, 1)
        kept = np.all(inside[:, 2:] > inside[:, :2], axis=-1)
        found.append(
            Detections(
                boxes=inside[kept],
                classes=np.rint(classes[:valid][kept]).astype(np.int64),
                scores=scores[:valid][kept],
            )
        )
    return found


def with_anchors(content: bytes, anchors: npt.NDArray[np.float32]) -> bytes:
    """A detector's file that says which output is which, and that holds its anchors."""
    edit = Edit(content)
    name_outputs(edit)
    edit.add_metadata(ANCHORS, anchors.astype("<f4").tobytes())
    return edit.content()


def _anchors_in(path: str | os.PathLike[str]) -> npt.NDArray[np.float32] | None:
    data = read_metadata(os.fspath(path), ANCHORS)
    if data is None:
        return None
    if len(data) % 16:
        raise DataError(f"{path}: its anchors are damaged ({len(data)} bytes); export it again")
    return np.frombuffer(data, "<f4").astype(np.float32).reshape(-1, 4)


def _ports(file: TFLiteFile) -> list[tuple[str, tuple[int, ...]]]:
    tensors = [file.tensors[index] for index in file.outputs]
    return [(tensor.name, tensor.shape) for tensor in tensors]


def _postprocessed(file: TFLiteFile) -> tuple[str, ...] | None:
    """Names of the outputs that the post-processing operator writes, whatever order the file has them in."""
    operator = next((op for op in file.operators if op.code == OPERATOR), None)
    if operator is None or sorted(operator.outputs) != sorted(file.outputs):
        return None
    return tuple(OUTPUTS[operator.outputs.index(index)] for index in file.outputs)


def _raw(file: TFLiteFile) -> tuple[str, ...] | None:
    """Names of the outputs by what the file calls them, or by their shapes where these tell."""
    ports = _ports(file)
    shapes = [shape for _, shape in ports]
    if (
        len(ports) != 2
        or any(len(shape) != 3 for shape in shapes)
        or shapes[0][:2] != shapes[1][:2]
    ):
        return None
    called = tuple(name for name, _ in ports)
    if set(called) == set(RAW_OUTPUTS):
        widths = dict(zip(called, (shape[2] for shape in shapes), strict=True))
        return called if widths["box_codes"] == 4 and widths["class_logits"] > 1 else None
    boxes = [shape[2] == 4 for shape in shapes]
    if boxes[0] == boxes[1] or min(shape[2] for shape in shapes) < 2:
        return None
    return RAW_OUTPUTS if boxes[0] else RAW_OUTPUTS[::-1]


def _num_classes(file: TFLiteFile, names: tuple[str, ...]) -> int:
    """How many classes a detector tells apart, without the background."""
    if "class_logits" in names:
        return file.tensors[file.outputs[names.index("class_logits")]].shape[2] - 1
    operator = next(op for op in file.operators if op.code == OPERATOR)
    return file.tensors[operator.inputs[1]].shape[-1] - 1

"""What a model says about single images of any size: a probability for each class, a class for each pixel, or
the objects in it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

from hw_model.errors import DataError, UsageError
from model_zoo.detection import Detections, anchors_of, detect
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec.text import TextSpec
from pipelines.data.dataset import Images, Masks
from pipelines.data.encoded import open_image, to_mode, unreadable
from pipelines.report.palette import colours, overlay
from pipelines.tasks.segment import class_maps

#: Pixels of an image that is read at all; a picture of 100 megapixels is a mistake more often than a wish.
MOST_PIXELS = 100_000_000
#: An object is shown and named from this score on, unless somebody asks for others.
LEAST_SCORE = 0.3
_SWATCH = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictor:
    """A model, or a `.tflite` file, that answers for one image (H, W, 3) uint8 of any size.

    `run` takes prepared images and gives scores or a map for each, or a list of `Detections`.
    """

    run: Callable[[npt.NDArray[np.float32]], Any]
    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    task: Literal["classification", "segmentation", "detection"]

    def scores(self, image: Images) -> npt.NDArray[np.float32]:
        """A probability for each class, (classes,)."""
        row = np.asarray(self.run(self.preprocessing(image)), np.float32)
        # An int8 softmax does not quite sum to 1, and scores may do so by chance but for their signs.
        if row.min() < 0 or abs(row.sum() - 1) > 0.05:
            row = np.exp(row - row.max())
        share: npt.NDArray[np.float32] = row[0] / row.sum()
        return share

    def mask(self, image: Images) -> Masks:
        """A class id for each pixel, (H, W)."""
        outputs = np.asarray(self.run(self.preprocessing(image)))
        return class_maps(outputs, image.shape[:2])[0].astype(np.uint8)

    def detections(self, image: Images) -> Detections:
        """The objects in the image, the surest first; boxes as shares of the image."""
        found: list[Detections] = self.run(self.preprocessing(image))
        return found[0]

    def name_of(self, label: int) -> str:
        """A class by its name, or by its number where nobody named it."""
        return self.class_names[label] if label < len(self.class_names) else f"class {label}"


def predictor_of(model: Any, *, name: str | None = None) -> Predictor:
    """The predictor of a zoo model with weights; `name` is what errors call it.

    Raises:
        UsageError: the model's weights are random, or it has no answer for images.
    """
    if model.weights_origin == "random":
        raise UsageError(
            f"{name or model.name} is an architecture without weights; name a preset, a weights folder or a .keras file"
        )
    if isinstance(model.spec, TextSpec):
        raise UsageError(
            f"{name or model.name} reads text and sees no images; ask it with edgezoo answer"
        )
    if model.spec.head is None:
        raise UsageError(
            f"{name or model.name} is a backbone: it gives feature maps and no classes"
        )
    return Predictor(
        run=_detector(model) if model.spec.task == "detection" else _network(model),
        preprocessing=model.preprocessing,
        class_names=tuple(model.class_names),
        task=model.spec.task,
    )


def _network(model: Any) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]:
    return lambda inputs: np.asarray(model.predict_on_batch(inputs))


def _detector(model: Any) -> Callable[[npt.NDArray[np.float32]], list[Detections]]:
    anchors = anchors_of(model.spec)

    def run(inputs: npt.NDArray[np.float32]) -> list[Detections]:
        outputs = model.predict_on_batch(inputs)
        codes, logits = (np.asarray(outputs[name]) for name in ("box_codes", "class_logits"))
        return detect(codes, logits, anchors)

    return run


def predictor_of_file(
    path: str | os.PathLike[str], preprocessing: Preprocessing, class_names: tuple[str, ...] = ()
) -> Predictor:
    """The predictor of a `.tflite` file: one vector of scores is a classification, a map a segmentation."""
    from pipelines.export.detector import DetectorRunner, is_detector
    from pipelines.export.runner import Int8Runner

    known: dict[str, Any] = {"preprocessing": preprocessing, "class_names": class_names}
    if is_detector(path):
        return Predictor(run=DetectorRunner(path, workers=1).detections, task="detection", **known)
    runner = Int8Runner(path, workers=1)
    maps = len(runner.output.shape) > 2
    return Predictor(run=runner, task="segmentation" if maps else "classification", **known)


def read_image(path: str | os.PathLike[str]) -> Images:
    """A picture as RGB (H, W, 3), upright, whatever its format.

    Raises:
        DataError: no file, no image, a damaged one, or one of more than `MOST_PIXELS`.
    """
    name = os.fspath(path)
    if not Path(path).is_file():
        raise DataError(f"There is no image {name}")
    try:
        with open_image(Path(path), name) as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{name} has {image.width} x {image.height} pixels; scale it to at most {MOST_PIXELS:,}"
                )
            upright = ImageOps.exif_transpose(image)
            return np.asarray(to_mode(upright, "RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise unreadable(name, error) from error


def shares(mask: Masks) -> list[tuple[int, float]]:
    """(class id, share of the pixels), the largest first."""
    counts = np.bincount(mask.ravel(), minlength=1)
    order = np.argsort(-counts, kind="stable")
    return [(int(label), float(counts[label] / mask.size)) for label in order if counts[label]]


def segmentation_picture(image: Images, mask: Masks, predictor: Predictor) -> Images:
    """The mask over its image, with the colour and name of every class in it below; RGB."""
    labels = [label for label, _ in shares(mask) if label > 0]
    shown = overlay(image, mask)
    if not labels:
        return shown
    height, width = mask.shape
    page = Image.new("RGB", (max(width, 160), height + 4 + 18 * len(labels)), "white")
    page.paste(Image.fromarray(shown), (0, 0))
    pen = ImageDraw.Draw(page)
    for row, label in enumerate(labels):
        top = height + 6 + 18 * row
        red, green, blue = colours()[label].tolist()
        pen.rectangle((4, top, 4 + _SWATCH, top + _SWATCH), fill=(red, green, blue))
        pen.text((10 + _SWATCH, top + 1), predictor.name_of(label), fill="black")
    return np.asarray(page)

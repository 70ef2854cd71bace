"""What a segmentation network returns: scores, or the class of each pixel of its input."""

from typing import TypeVar

from hw_model.graph import Builder, ops
from model_zoo.spec.image import ImageInput
from model_zoo.spec.segmentation import SegmentationOutput

H = TypeVar("H")
R = TypeVar("R")


def lower_output(output: SegmentationOutput, image: ImageInput, b: Builder[H, R], scores: H) -> H:
    """The output a head's scores (N, h, w, num_classes) become; shapes are those of `SegmentationOutput`."""
    whole = (image.height, image.width)
    if output.kind == "logits":
        return scores
    if output.kind == "argmax":
        x = _resize(b, scores, "bilinear", whole, "output_resize")
        return b.emit(ops.ArgMax(), (x,), name="output_argmax")[0]
    assert output.size is not None
    x = _resize(b, scores, "bilinear", (output.size, output.size), "output_resize")
    x = b.emit(ops.QuantizedArgMax(), (x,), name="output_argmax")[0]
    return _resize(b, x, "nearest", whole, "output_enlarge")


def _resize(b: Builder[H, R], x: H, mode: ops.ResizeMode, size: tuple[int, int], name: str) -> H:
    if b.shape(x)[1:3] == size:
        return x
    return b.emit(ops.Resize(mode=mode, size=size), (x,), name=name)[0]

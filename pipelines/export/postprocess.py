"""The post-processing of a detector inside its `.tflite` file: LiteRT's own operator, behind the int8 network."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_model.errors import UsageError
from hw_model.graph import Graph, Op, Tensor, ops
from model_zoo.detection.boxes import FACTORS, centres_of
from model_zoo.detection.nms import IOU_THRESHOLD, MAX_DETECTIONS, SCORE_THRESHOLD
from pipelines.export.edit import Edit

#: The custom operator every LiteRT runtime knows; it takes float32.
OPERATOR = "TFLite_Detection_PostProcess"
#: What a detector's network answers with, in the order of an exported file.
RAW_OUTPUTS = ("box_codes", "class_logits")
#: What a file with post-processing answers with, in the operator's order.
OUTPUTS = ("boxes", "classes", "scores", "count")
#: The only quantization LiteRT's int8 sigmoid writes.
_SCORES = (1 / 256, -128)
#: LOGISTIC and DEQUANTIZE read int8 since their second version.
_INT8_VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class PostProcess:
    """How boxes are chosen inside a file.

    Without `regular_nms` each anchor counts with its best class alone and boxes suppress each other whatever
    their class: fast, and what published files for phones do. With it every class is suppressed on its own.
    """

    max_detections: int = MAX_DETECTIONS
    iou_threshold: float = IOU_THRESHOLD
    score_threshold: float = SCORE_THRESHOLD
    regular_nms: bool = False

    def __post_init__(self) -> None:
        if self.max_detections < 1:
            raise UsageError(f"max_detections must be at least 1. Received: {self.max_detections}")
        for name in ("iou_threshold", "score_threshold"):
            value = getattr(self, name)
            if not 0 < value <= 1:
                raise UsageError(f"{name} must be above 0 and at most 1. Received: {value}")

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Shapes of `OUTPUTS`."""
        count = self.max_detections
        return (1, count, 4), (1, count), (1, count), (1,)

    def options(self, num_classes: int) -> dict[str, int | float | bool]:
        """The operator's options by the names it knows."""
        return {
            "max_detections": self.max_detections,
            "max_classes_per_detection": 1,
            "detections_per_class": self.max_detections,
            "use_regular_nms": self.regular_nms,
            "nms_score_threshold": self.score_threshold,
            "nms_iou_threshold": self.iou_threshold,
            "num_classes": num_classes,
            **dict(zip(("y_scale", "x_scale", "h_scale", "w_scale"), FACTORS, strict=True)),
        }


def name_outputs(edit: Edit) -> None:
    """Writes into a detector's file which output is which."""
    for tensor, name in zip(edit.outputs, RAW_OUTPUTS, strict=True):
        edit.rename(tensor, name)


def append(content: bytes, anchors: npt.NDArray[np.float32], settings: PostProcess) -> bytes:
    """A detector's int8 file (box codes, class logits) that answers with detections instead.

    Its outputs are `boxes` (1, n, 4), top, left, bottom and right as shares of the image, which they may leave;
    `classes` (1, n), ids from 0 as floats; `scores` (1, n), falling; `count` (1,), how many of the n are valid.
    """
    from flatbuffers import flexbuffers

    edit = Edit(content)
    codes, logits = edit.outputs
    name_outputs(edit)
    shape = edit.shape(logits)
    scores = edit.add_tensor("class_scores", shape, "INT8", quantization=_SCORES)
    edit.add_operator("LOGISTIC", [logits], [scores], version=_INT8_VERSION)
    reals = []
    for tensor, name in ((codes, "box_codes_real"), (scores, "class_scores_real")):
        reals.append(edit.add_tensor(name, edit.shape(tensor), "FLOAT32"))
        edit.add_operator("DEQUANTIZE", [tensor], reals[-1:], version=_INT8_VERSION)
    centres = centres_of(anchors).astype(np.float32)
    grid = edit.add_tensor("anchors", centres.shape, "FLOAT32", values=centres)
    found = [
        edit.add_tensor(name, each, "FLOAT32")
        for name, each in zip(OUTPUTS, settings.shapes, strict=True)
    ]
    options = bytes(flexbuffers.Dumps(settings.options(shape[-1] - 1)))
    edit.add_operator(OPERATOR, [*reals, grid], found, custom_options=options)
    edit.outputs = found
    return edit.content()


def predicted(graph: Graph, settings: PostProcess) -> Graph:
    """The inference graph of a detector with what `append` puts behind it."""
    codes, logits = graph.outputs
    first = len(graph.tensors)
    tensors = [
        Tensor("class_scores", graph.tensors[logits].shape, "int8"),
        Tensor("box_codes_real", graph.tensors[codes].shape, "float32"),
        Tensor("class_scores_real", graph.tensors[logits].shape, "float32"),
        *(Tensor(*pair) for pair in zip(OUTPUTS, settings.shapes, strict=True)),
    ]
    found = tuple(range(first + 3, first + 3 + len(OUTPUTS)))
    real = ops.Quantize(dtype="float32")
    tail = (
        Op("class_scores", ops.Activation(function="sigmoid"), (logits,), (first,)),
        Op("box_codes_real", real, (codes,), (first + 1,)),
        Op("class_scores_real", real, (first,), (first + 2,)),
        Op(
            OUTPUTS[0],
            ops.Opaque(code=OPERATOR, output_shapes=settings.shapes),
            (first + 1, first + 2),
            found,
        ),
    )
    return Graph(
        (*graph.tensors, *tensors),
        (*graph.ops, *tail),
        graph.inputs,
        found,
        graph.name,
        graph.notes,
    )

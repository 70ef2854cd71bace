"""What surrounds a detector without being its network: anchors, codes of boxes, matching, suppression. NumPy only."""

from model_zoo.detection.anchors import anchor_boxes, anchors_of, map_sizes
from model_zoo.detection.boxes import centres_of, corners_of, decode, encode
from model_zoo.detection.matching import iou, match
from model_zoo.detection.nms import Detections, detect, suppress

__all__ = [
    "Detections", "anchor_boxes", "anchors_of", "centres_of", "corners_of", "decode", "detect", "encode", "iou",
    "map_sizes", "match", "suppress",
]  # fmt: skip

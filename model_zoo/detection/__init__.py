"""What surrounds a detector without being its network: anchors and the codes of boxes. NumPy only."""

from model_zoo.detection.anchors import anchor_boxes, anchors_of, map_sizes
from model_zoo.detection.boxes import centres_of, corners_of, decode, encode

__all__ = [
    "anchor_boxes", "anchors_of", "centres_of", "corners_of", "decode", "encode", "map_sizes",
]  # fmt: skip

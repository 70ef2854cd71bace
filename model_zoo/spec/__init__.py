"""Architectures as values: frozen specs, strict JSON, and spaces of them."""

from hw_model.graph import diff_values as diff
from model_zoo.spec.base import Node, OneOf, is_open
from model_zoo.spec.choices import Choice, Space, one_of
from model_zoo.spec.detection import AnchorGrid, SsdHead
from model_zoo.spec.image import (
    BLOCK_KINDS,
    FAMILIES,
    NODE_FAMILIES,
    Backbone,
    Block,
    BlockKind,
    ClassifierHead,
    Head,
    ImageInput,
    ModelSpec,
    Stack,
    Stem,
    from_json,
)
from model_zoo.spec.nodes import LAYER_KINDS, Edge, Layer, LayerKind, MapNode, NodeBackbone
from model_zoo.spec.scaling import fit_strides, round_filters, scale_width
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead, SegmentationOutput, output_named

__all__ = [
    "BLOCK_KINDS", "FAMILIES", "LAYER_KINDS", "NODE_FAMILIES", "AnchorGrid", "Backbone", "BifpnHead", "Block",
    "BlockKind", "Choice", "ClassifierHead", "DeepLabHead", "Edge", "Head", "ImageInput", "Layer", "LayerKind",
    "MapNode", "ModelSpec", "Node", "NodeBackbone", "OneOf", "SegmentationOutput", "Space", "SsdHead", "Stack",
    "Stem", "diff", "fit_strides", "from_json", "is_open", "one_of", "output_named", "round_filters",
    "scale_width",
]  # fmt: skip

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
)
from model_zoo.spec.nodes import LAYER_KINDS, Edge, Layer, LayerKind, MapNode, NodeBackbone
from model_zoo.spec.reading import Spec, from_data, from_json, image_spec, text_spec
from model_zoo.spec.scaling import fit_strides, round_filters, scale_width
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead, SegmentationOutput, output_named
from model_zoo.spec.text import (
    TEXT_FAMILIES,
    MaskedLmHead,
    SentenceHead,
    SpanHead,
    TextEncoder,
    TextHead,
    TextInput,
    TextSpec,
)

__all__ = [
    "BLOCK_KINDS", "FAMILIES", "LAYER_KINDS", "NODE_FAMILIES", "TEXT_FAMILIES", "AnchorGrid", "Backbone", "BifpnHead",
    "Block", "BlockKind", "Choice", "ClassifierHead", "DeepLabHead", "Edge", "Head", "ImageInput", "Layer", "LayerKind",
    "MapNode", "MaskedLmHead", "ModelSpec", "Node", "NodeBackbone", "OneOf", "SegmentationOutput", "SentenceHead",
    "Space", "SpanHead", "Spec", "SsdHead", "Stack", "Stem", "TextEncoder", "TextHead", "TextInput", "TextSpec",
    "diff", "fit_strides", "from_data", "from_json", "image_spec", "is_open", "one_of", "output_named",
    "round_filters", "scale_width", "text_spec",
]  # fmt: skip

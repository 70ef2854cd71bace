"""Architectures as values: frozen specs, strict JSON, and spaces of them."""

from hw_model.graph import diff_values as diff
from model_zoo.spec.base import Node, OneOf, is_open
from model_zoo.spec.choices import Choice, Space, one_of
from model_zoo.spec.image import (
    BLOCK_KINDS,
    FAMILIES,
    Backbone,
    Block,
    BlockKind,
    ClassifierHead,
    ImageInput,
    ModelSpec,
    Stack,
    Stem,
    from_json,
)
from model_zoo.spec.scaling import fit_strides, round_filters, scale_width

__all__ = [
    "BLOCK_KINDS", "FAMILIES", "Backbone", "Block", "BlockKind", "Choice", "ClassifierHead", "ImageInput",
    "ModelSpec", "Node", "OneOf", "Space", "Stack", "Stem", "diff", "fit_strides", "from_json", "is_open",
    "one_of", "round_filters", "scale_width",
]  # fmt: skip

"""Lowering: from a spec to operations, spoken to any builder, so that graph and Keras model cannot differ."""

from collections.abc import Mapping
from functools import partial
from typing import TypeVar

from hw_model.errors import SpecError
from hw_model.graph import Builder
from model_zoo.lowering.backbone import lower_backbone, lower_block
from model_zoo.lowering.bert import lower_text
from model_zoo.lowering.bifpn import lower_bifpn, lower_pyramid
from model_zoo.lowering.classify import lower_classifier
from model_zoo.lowering.deeplab import lower_deeplab
from model_zoo.lowering.nodes import lower_nodes
from model_zoo.lowering.outputs import lower_output
from model_zoo.lowering.ssd import lower_ssd
from model_zoo.spec.base import is_open
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import NODE_FAMILIES, ClassifierHead, Head, ImageInput, ModelSpec
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead
from model_zoo.spec.text import TextSpec

__all__ = ["lower", "lower_block"]
H = TypeVar("H")
R = TypeVar("R")


def lower(spec: ModelSpec | TextSpec, builder: Builder[H, R], *, name: str | None = None) -> R:
    """Speaks the network to `builder` and returns what it finishes: a graph or a Keras model.

    A classifier returns (N, num_classes), a segmentation head what its `output` says, an SSD head its
    `box_codes` and `class_logits`. A spec without head returns its stride levels `P1`, `P2`, ..., where `Pk`
    has 1 / 2**k of the input's resolution, rounded up, or the maps of its output nodes by their names. What
    language networks return is told by their heads.
    """
    if is_open(spec):
        raise SpecError("", "a space has open choices; bind it to a spec first")
    if isinstance(spec, TextSpec):
        return builder.finish(lower_text(spec, builder), name=name or spec.family)
    size = (1, spec.input.height, spec.input.width, spec.input.channels)
    lower_maps = lower_nodes if spec.family in NODE_FAMILIES else lower_backbone
    levels = lower_maps(spec, builder, builder.input(size))
    outputs: H | Mapping[str, H] = levels
    if spec.head is not None:
        outputs = _lower_head(spec, spec.head, builder, levels)
    return builder.finish(outputs, name=name or spec.family)


def _lower_head(
    spec: ModelSpec, head: Head, builder: Builder[H, R], levels: Mapping[str, H]
) -> H | Mapping[str, H]:
    if isinstance(head, SsdHead):
        return lower_ssd(head, builder, levels)
    if isinstance(head, ClassifierHead):
        last = list(levels.values())[-1]
        return builder.part(head, last, partial(lower_classifier, head))
    # Parts are kept small where many networks share them: pyramids differ, what follows them seldom does.
    if isinstance(head, BifpnHead):
        pyramid = lower_pyramid(head, builder, levels)
        return builder.join((head, spec.input), pyramid, partial(_lower_bifpn, head, spec.input))
    read = {name: x for name, x in levels.items() if int(name[1:]) >= head.low_level}
    lower_maps = partial(_lower_deeplab, head, spec.input, tuple(read))
    return builder.join((head, spec.input, tuple(read)), tuple(read.values()), lower_maps)


def _lower_bifpn(
    head: BifpnHead, image: ImageInput, builder: Builder[H, R], pyramid: tuple[H, ...]
) -> H:
    return lower_output(head.output, image, builder, lower_bifpn(head, builder, pyramid))


def _lower_deeplab(
    head: DeepLabHead,
    image: ImageInput,
    names: tuple[str, ...],
    builder: Builder[H, R],
    maps: tuple[H, ...],
) -> H:
    scores = lower_deeplab(head, builder, dict(zip(names, maps, strict=True)))
    return lower_output(head.output, image, builder, scores)

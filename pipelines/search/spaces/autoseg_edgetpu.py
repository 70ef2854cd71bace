"""The space around AutoSeg-EdgeTPU: EfficientNet-B0's sixteen layers with kind, kernel, expansion and width open,
and a BiFPN head with its levels, width and number of cells.

All three published sizes are points of it. Every genotype is a legal network: no choice excludes another.
A spec of the space returns what it is deployed with, a fused argmax at half of the image's size, so that costs
are those of a whole network; it is trained on its logits.

Source: Akin et al., "Searching for Efficient Neural Architectures for On-Device ML on Edge TPUs", 2022. The paper
lists the channel multipliers 1/4, 1/2, 3/4, 1 and 2; the published networks also have 3/2, so it is here too.
Choices of the head's width and number of cells: assumed, around the published 96 and 4.
"""

from dataclasses import dataclass, replace
from typing import Literal, cast

from hw_model.errors import UsageError
from model_zoo.spec import (
    Backbone,
    BifpnHead,
    ImageInput,
    ModelSpec,
    Node,
    SegmentationOutput,
    Space,
    Stack,
    Stem,
    fit_strides,
    one_of,
    round_filters,
)
from pipelines.search.spaces.plan import PlanSpace

#: Raised whenever a genotype would come to mean another network.
VERSION = 1
#: Channels are multiples of it. Source: published configs.
DIVISOR = 4
STEM_FILTERS = 32
#: (width, layers, stride) of each stage. Source: Tan and Le, "EfficientNet", 2019, table 1.
STAGES = ((16, 1, 1), (24, 2, 2), (40, 2, 2), (80, 3, 2), (112, 3, 1), (192, 4, 2), (320, 1, 1))
MULTIPLIERS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
KERNELS = (3, 5, 7)
EXPANSIONS = (3, 6)
MIN_LEVELS = (2, 3, 4)
HEAD_FILTERS = (48, 64, 96, 128)
HEAD_REPEATS = (2, 3, 4, 5, 6)
DROP_CONNECT = (0.2, 0.3)

#: dw, fused, project: a block of that kind. dw_first: a depthwise block without expansion, then a 1x1 fused one.
LayerKind = Literal["dw", "fused", "dw_first", "project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer(Node):
    """One layer of the plan: one or two blocks. Without expansion a block has no residual, as published."""

    kind: LayerKind
    kernel: int
    expansion: int
    filters: int
    stride: int = 1

    def stacks(self, channels: int) -> tuple[Stack, ...]:
        """The layer behind `channels` channels."""
        if self.kind == "project":
            return (Stack(kind="project", kernel=1, filters=self.filters),)
        if self.kind == "dw_first":
            first = Stack(
                kind="dw", kernel=self.kernel, stride=self.stride, filters=channels, residual=False
            )
            second = Stack(
                kind="fused",
                kernel=1,
                expansion=self.expansion,
                filters=self.filters,
                residual=False,
            )
            return first, second
        only = Stack(
            kind=self.kind,
            kernel=self.kernel,
            stride=self.stride,
            expansion=self.expansion,
            filters=self.filters,
            residual=self.expansion > 1,
        )
        return (only,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Node):
    """A network as its layers; the space is a plan with open leaves."""

    input: ImageInput
    stem: Stem
    layers: tuple[Layer, ...]
    drop_connect: float
    head: BifpnHead

    def spec(self) -> ModelSpec:
        """The network; equal blocks in a row are one stack."""
        stacks: list[Stack] = []
        channels = self.stem.filters
        for layer in self.layers:
            for stack in layer.stacks(channels):
                if stacks and replace(stacks[-1], repeats=1) == stack and stack.stride == 1:
                    stacks[-1] = replace(stack, repeats=stacks[-1].repeats + 1)
                else:
                    stacks.append(stack)
            channels = layer.filters
        return ModelSpec(
            family="autoseg_edgetpu",
            input=self.input,
            backbone=Backbone(stem=self.stem, stacks=tuple(stacks), drop_connect=self.drop_connect),
            head=self.head,
        )


def plan_of(spec: ModelSpec) -> Plan | None:
    """The plan whose network is `spec`, if there is one; a kernel without effect is the smallest."""
    if not isinstance(spec.head, BifpnHead):
        return None
    layers: list[Layer] = []
    blocks = list(spec.stacked.blocks())
    while blocks:
        block = blocks.pop(0)
        kind, kernel, stride = block.kind, block.kernel, block.stride
        if kind not in ("dw", "fused", "project"):
            return None
        pair = bool(layers) and kind == "dw" and block.mid_filters == block.in_filters
        if pair and blocks:
            block = blocks.pop(0)
        layers.append(
            Layer(
                kind="dw_first" if pair else cast(LayerKind, kind),
                kernel=KERNELS[0] if kind == "project" else kernel,
                expansion=block.mid_filters // block.in_filters,
                filters=block.filters,
                stride=stride,
            )
        )
    return Plan(
        input=spec.input,
        stem=spec.stacked.stem,
        layers=tuple(layers),
        drop_connect=spec.stacked.drop_connect,
        head=spec.head,
    )


def make_space(
    *, image_size: int, channels: int, num_classes: int, width: float = 1.0
) -> Space[ModelSpec]:
    """The space for square images of `image_size`; small ones lose strides as published networks do.

    `width` multiplies every width; choices that then coincide become one.
    """
    image = ImageInput(height=image_size, width=image_size, channels=channels)
    backbone = _fitted(image_size)
    if len(backbone.levels) < 2:
        raise UsageError(
            f"The space needs images of at least 5 pixels a side. Received: {image_size}"
        )
    last = backbone.levels[-1]
    levels = [level for level in MIN_LEVELS if level <= last] or [last]
    layers = [
        _layer(base, stack.stride, width, first=not index)
        for index, (base, stack) in enumerate(zip(_bases(), backbone.stacks, strict=True))
    ]
    return PlanSpace(
        Plan(
            input=image,
            stem=Stem(kernel=3, filters=_scaled(STEM_FILTERS, width), stride=backbone.stem.stride),
            layers=tuple(layers),
            drop_connect=one_of(*DROP_CONNECT),
            head=BifpnHead(
                num_classes=num_classes,
                min_level=one_of(*levels),
                filters=one_of(*dict.fromkeys(_scaled(each, width) for each in HEAD_FILTERS)),
                repeats=one_of(*HEAD_REPEATS),
                output=SegmentationOutput(kind="fused_argmax", size=-(-image_size // 2)),
            ),
        ),
        plan_of,
    )


def _bases() -> list[int]:
    """The width that each layer's multiplier is of."""
    return [base for base, layers, _ in STAGES for _ in range(layers)]


def _fitted(image_size: int) -> Backbone:
    """One stack for each layer, with the strides an image of that size can afford."""
    strides = [
        stride if not index else 1 for _, layers, stride in STAGES for index in range(layers)
    ]
    stacks = tuple(Stack(kind="dw", filters=1, stride=stride) for stride in strides)
    backbone = Backbone(stem=Stem(kernel=3, filters=1), stacks=stacks)
    side = max(image_size, backbone.total_stride)
    roomy = ModelSpec(
        family="autoseg_edgetpu", input=ImageInput(height=side, width=side), backbone=backbone
    )
    return fit_strides(roomy, side=image_size).stacked


def _layer(base: int, stride: int, width: float, *, first: bool) -> Layer:
    """A layer with its choices; the first one has no expansion."""
    filters = dict.fromkeys(
        _scaled(round_filters(base * multiplier, DIVISOR), width) for multiplier in MULTIPLIERS
    )
    kinds: tuple[LayerKind, ...] = ("project", "dw") if first else ("dw", "fused", "dw_first")
    return Layer(
        kind=one_of(*kinds),
        kernel=one_of(*KERNELS),
        expansion=1 if first else one_of(*EXPANSIONS),
        filters=one_of(*filters),
        stride=stride,
    )


def _scaled(filters: int, width: float) -> int:
    return filters if width == 1.0 else round_filters(filters * width, DIVISOR)

"""The same network at another scale: width multipliers, and strides that suit a small image."""

from dataclasses import replace

from hw_model.errors import UsageError
from model_zoo.spec.image import Backbone, ClassifierHead, Head, ModelSpec, Stack
from model_zoo.spec.nodes import NodeBackbone, clip_levels, scale_nodes
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead

MIN_GROUP_SIZE = 32
#: What widths are multiples of, where a family has another rule than eights. Source: published configs.
_DIVISORS = {"autoseg_edgetpu": 4}


def round_filters(filters: float, divisor: int = 8) -> int:
    """The multiple of `divisor` nearest to `filters`, never more than 10 % below it.

    Source: MobileNet and EfficientNet reference code; facts of every family here.

    >>> round_filters(24 * 0.75), round_filters(32 * 0.75), round_filters(16 * 1.25)
    (24, 24, 24)
    """
    rounded = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * filters else rounded


def scale_width(
    spec: ModelSpec, multiplier: float, *, divisor: int | None = None, scale_top: bool = True
) -> ModelSpec:
    """Multiplies every width of a network by `multiplier`, stem and head included.

    Widths become multiples of `divisor`, the family's own where none is given.
    A group convolution keeps groups of at least 32 channels; where they no longer divide the width, the
    block becomes a plain fused one.
    """
    if not 0 < multiplier <= 16:
        raise UsageError(f"A width multiplier is above 0 and at most 16. Received: {multiplier}")
    divisor = divisor or _DIVISORS.get(spec.family, 8)
    backbone: Backbone | NodeBackbone
    if isinstance(spec.backbone, NodeBackbone):
        backbone = scale_nodes(
            spec.backbone, lambda filters: round_filters(filters * multiplier, divisor)
        )
    else:
        backbone = _scale_stacks(spec.backbone, multiplier, divisor)
    head = spec.head
    if head is not None and scale_top:
        head = _scale_head(head, multiplier, divisor)
    return replace(spec, backbone=backbone, head=head)


def _scale_stacks(backbone: Backbone, multiplier: float, divisor: int) -> Backbone:
    stem = replace(
        backbone.stem, filters=round_filters(backbone.stem.filters * multiplier, divisor)
    )
    stacks: list[Stack] = []
    channels = stem.filters
    for stack in backbone.stacks:
        scaled = replace(
            _scale_groups(stack, multiplier, channels, divisor),
            filters=round_filters(stack.filters * multiplier, divisor),
        )
        if stack.mid_filters is not None:
            scaled = replace(
                scaled, mid_filters=round_filters(stack.mid_filters * multiplier, divisor)
            )
        stacks.append(scaled)
        channels = scaled.filters
    return Backbone(stem=stem, stacks=tuple(stacks), drop_connect=backbone.drop_connect)


def _scale_head(head: Head, multiplier: float, divisor: int) -> Head:
    if isinstance(head, ClassifierHead):
        return replace(head, top_filters=round_filters(head.top_filters * multiplier, divisor))
    if isinstance(head, BifpnHead):
        return replace(head, filters=round_filters(head.filters * multiplier, divisor))
    if isinstance(head, DeepLabHead):
        return replace(
            head,
            pyramid_filters=round_filters(head.pyramid_filters * multiplier, divisor),
            low_filters=round_filters(head.low_filters * multiplier, divisor),
            filters=round_filters(head.filters * multiplier, divisor),
        )
    extra = tuple(round_filters(filters * multiplier, divisor) for filters in head.extra_filters)
    return replace(head, extra_filters=extra)


def _scale_groups(stack: Stack, multiplier: float, channels: int, divisor: int) -> Stack:
    """The stack with a group size that fits its scaled width, or fused when none does."""
    if stack.group_size is None:
        return stack
    size = max(MIN_GROUP_SIZE, round_filters(stack.group_size * multiplier, divisor))
    inputs = [channels]
    if stack.repeats > 1:
        inputs.append(round_filters(stack.filters * multiplier, divisor))
    fits = all(
        (width * stack.expansion) % size == 0
        and (width * stack.expansion) // size > 1
        and width % ((width * stack.expansion) // size) == 0
        for width in inputs
    )
    return (
        replace(stack, group_size=size) if fits else replace(stack, kind="fused", group_size=None)
    )


MIN_LAST_MAP = 3


def fit_strides(spec: ModelSpec, *, side: int | None = None) -> ModelSpec:
    """Removes strides until the last feature map of the spec's own input has at least 3 pixels a side.

    Networks designed for 224 px reduce by 32, which leaves nothing of a 28 px image. The stem's stride
    goes first, then those of the stacks from the last on; parameters do not change. In networks of nodes
    only levels of less than one pixel go.
    `side` replaces the short side of the spec's input.
    """
    side = side or min(spec.input.height, spec.input.width)
    if isinstance(spec.backbone, NodeBackbone):
        return replace(spec, backbone=clip_levels(spec.backbone, side.bit_length() - 1))
    backbone = spec.backbone
    if -(-side // backbone.total_stride) >= MIN_LAST_MAP:
        return spec
    backbone = replace(backbone, stem=replace(backbone.stem, stride=1))
    for index in reversed(range(len(backbone.stacks))):
        if -(-side // backbone.total_stride) >= MIN_LAST_MAP:
            break
        stacks = list(backbone.stacks)
        stacks[index] = replace(stacks[index], stride=1)
        backbone = replace(backbone, stacks=tuple(stacks))
    return replace(spec, backbone=backbone)

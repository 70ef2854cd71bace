"""Stem and inverted-bottleneck stacks of every family of image networks."""

from functools import partial
from typing import TypeVar

from hw_model.graph import Builder
from hw_model.graph.ops import ActivationName
from model_zoo.spec.image import Block, Family, ModelSpec, Stem

H = TypeVar("H")
R = TypeVar("R")


def lower_backbone(spec: ModelSpec, b: Builder[H, R], image: H) -> dict[str, H]:
    """Feature maps by stride level, coarsest last.

    The stem's level holds the stem's own output, every later one the last block at that stride.
    Source: published backbone mode of MobileNetEdgeTPUv2.
    """
    backbone = spec.stacked
    stem = backbone.stem
    function = _function(spec.family)
    x = b.part((stem, function), image, partial(_stem, stem, function))
    stride = stem.stride
    levels = {_level(stride): x}
    for number, stack in enumerate(backbone.stacks):
        stride *= stack.stride
        x = b.part((stack, function), x, partial(_stack, spec, number))
        if stride != stem.stride:
            levels[_level(stride)] = x
    if stride == stem.stride:
        levels["last"] = x
    return levels


def _level(stride: int) -> str:
    return f"P{stride.bit_length() - 1}"


def _function(family: Family) -> ActivationName:
    """ReLU, but for the one network here that was made for other chips."""
    return "relu6" if family == "deeplabv3plus_mobilenet_v2" else "relu"


def _stem(stem: Stem, function: ActivationName, b: Builder[H, R], image: H) -> H:
    x = b.conv(image, stem.filters, stem.kernel, stride=stem.stride, name="stem_conv2d")
    return _norm_activation(b, x, "stem", function)


def _stack(spec: ModelSpec, number: int, b: Builder[H, R], x: H) -> H:
    for block in spec.stacked.blocks_of(number):
        x = lower_block(b, x, block, spec.family)
    return x


def _norm_activation(b: Builder[H, R], x: H, prefix: str, function: ActivationName) -> H:
    x = b.batch_norm(x, name=f"{prefix}_bn")
    return b.activation(x, function, name=f"{prefix}_activation")


def lower_block(b: Builder[H, R], x: H, block: Block, family: Family) -> H:
    """One inverted bottleneck behind `x`."""
    prefix = f"stack_{block.stack}_block_{block.index}_"
    skip = x
    function = _function(family)
    late = block.kind == "fused_late_stride"
    project_stride = block.stride if late else 1
    if block.kind == "dw":
        x = _depthwise(b, x, block, prefix, function)
    elif block.kind == "group_fused":
        assert block.group_size is not None
        x = b.group_conv(
            x,
            block.mid_filters,
            block.kernel,
            group_size=block.group_size,
            stride=block.stride,
            name=f"{prefix}fused_groupconv2d",
        )
    elif block.kind != "project":
        name = prefix + _fused_name(block, family)
        stride = 1 if late else block.stride
        x = b.conv(x, block.mid_filters, block.kernel, stride=stride, name=f"{name}_conv2d")
        x = _norm_activation(b, x, name, function)
    x = b.conv(x, block.filters, 1, stride=project_stride, name=f"{prefix}project_conv2d")
    x = b.batch_norm(x, name=f"{prefix}project_bn")
    if block.residual:
        x = b.dropout(x, block.drop_rate, per_sample=True, name=f"{prefix}drop")
        x = b.add(x, skip, name=f"{prefix}add")
    return x


def _fused_name(block: Block, family: Family) -> str:
    """Version 1 calls the k x k convolution of its stride-1 blocks `expand`; its checkpoints say so."""
    return "expand" if family == "mobilenet_edgetpu_v1" and block.stride == 1 else "fused"


def _depthwise(b: Builder[H, R], x: H, block: Block, prefix: str, function: ActivationName) -> H:
    if block.mid_filters != block.in_filters:
        x = b.conv(x, block.mid_filters, 1, name=f"{prefix}expand_conv2d")
        x = _norm_activation(b, x, f"{prefix}expand", function)
    x = b.depthwise(x, block.kernel, stride=block.stride, name=f"{prefix}depthwise_conv2d")
    return _norm_activation(b, x, f"{prefix}depthwise", function)

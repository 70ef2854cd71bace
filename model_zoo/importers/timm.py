"""State dicts of timm (PyTorch Image Models) with the config.json they are published with.

timm pads its strided convolutions on all sides alike where TensorFlow pads the far ones alone, divides by another
epsilon, and activates the output of MobileNetEdgeTPU's first block. Named, a network is changed so that it computes
the same: strided kernels get a last row and column of zeros, scales take the epsilon, the first block a projection
that changes nothing. The `tf_` models are TensorFlow's own weights and need none of that.
Sources: timm/models/efficientnet.py, _efficientnet_blocks.py and _efficientnet_builder.py of
huggingface/pytorch-image-models.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hw_model.errors import DataError
from hw_model.graph import Op
from hw_model.graph.ops import GroupConv2D
from hw_model.graph.types import Param
from model_zoo.importers.published import Layout, Piece, Pieces, weights_of
from model_zoo.importers.sources import Array, Shape, Source
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec.image import Block, ImageInput, ModelSpec, Stack

CONFIG_FILE = "config.json"
#: PyTorch's epsilon, and that of the networks here.
_EPSILON, _OURS = 1e-5, 1e-3
_STATISTICS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
#: Their convolution and norm by our part of a block or of the ends.
_DEEP = {
    "expand": ("conv_pw", "bn1"),
    "depthwise": ("conv_dw", "bn2"),
    "project": ("conv_pwl", "bn3"),
}
_WIDE = {"fused": ("conv_exp", "bn1"), "project": ("conv_pwl", "bn2")}
_FIRST = {"fused": ("conv", "bn1"), "project": ("", "bn1")}
_ENDS = {"stem": ("conv_stem", "bn1"), "top": ("conv_head", "bn2"), "logits": ("classifier", "")}


def _config(source: Source) -> Mapping[str, Any]:
    """What timm says of a model beside its weights.

    Raises:
        DataError: missing or damaged.
    """
    path = source.path.with_name(CONFIG_FILE)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{source.path} needs the {CONFIG_FILE} it was published with beside it: it says how the weights "
            "expect pixels and padding"
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or not isinstance(found.get("architecture"), str):
        raise DataError(f"{path} must name timm's architecture. Received: {str(found)[:80]}")
    return found


def _of_tensorflow(source: Source) -> bool:
    return str(_config(source)["architecture"]).startswith("tf_")


def _settle(spec: ModelSpec, source: Source, root: str) -> ModelSpec:
    """The network of this architecture that computes what timm's does."""
    stem = source.shape("conv_stem.weight") or (0, 0, spec.stacked.stem.kernel)
    kernel = stem[2]
    backbone = replace(spec.stacked, stem=replace(spec.stacked.stem, kernel=kernel))
    if not _of_tensorflow(source):
        stacks = [part for stack in backbone.stacks for part in _padded_alike(stack)]
        if stacks[0].kind == "project":
            width = stacks[0].filters
            stacks[0] = replace(stacks[0], kind="fused", mid_filters=width)
        backbone = replace(
            backbone, stem=replace(backbone.stem, kernel=kernel + 1), stacks=tuple(stacks)
        )
    size = _published(source).get("input_size", (3, spec.input.height, spec.input.width))
    image = ImageInput(channels=size[0], height=size[1], width=size[2])
    return replace(spec, input=image, backbone=backbone)


def _padded_alike(stack: Stack) -> tuple[Stack, ...]:
    """The stack with a strided kernel one larger, in its first block alone."""
    if stack.stride == 1 or stack.kind == "fused_late_stride":
        return (stack,)
    first = replace(stack, kernel=stack.kernel + 1, repeats=1)
    if stack.repeats == 1:
        return (first,)
    return first, replace(stack, stride=1, repeats=stack.repeats - 1)


def _published(source: Source) -> Mapping[str, Any]:
    found = _config(source).get("pretrained_cfg", {})
    return found if isinstance(found, dict) else {}


def _preprocessing(spec: ModelSpec, source: Source) -> Preprocessing | None:
    found = _published(source)
    if "mean" not in found or "std" not in found:
        return None
    mean, scale = (_pixels(found[key]) for key in ("mean", "std"))
    return Preprocessing(
        height=spec.input.height,
        width=spec.input.width,
        channels=spec.input.channels,
        mean=mean,
        scale=scale,
        crop=float(found.get("crop_pct", 1.0)),
    )


def _pixels(shares: Any) -> float | tuple[float, ...]:
    """One number for every channel where all are alike; 255 is a whole pixel."""
    values = tuple(255.0 * float(share) for share in shares)
    return values[0] if len(set(values)) == 1 else values


def _pieces(spec: ModelSpec, source: Source, root: str) -> Pieces:
    scaled = not _of_tensorflow(source)
    places = _places(spec, source)
    for op, param in weights_of(spec.graph()):
        layer = re.sub(r"_(conv2d|bn|groupconv2d)$", "", op.name)
        conv, norm = places.get(layer, (layer, layer))
        if not conv:
            yield _no_change(op, param, norm)
        elif op.kind == "GroupConv2D":
            yield _group(op, param, conv, norm, scaled=scaled)
        elif op.kind == "BatchNorm":
            yield _norm(op, param, norm, scaled=scaled)
        else:
            yield _convolution(op, param, conv)


def _places(spec: ModelSpec, source: Source) -> dict[str, tuple[str, str]]:
    """Part of our network -> their convolution and norm; no convolution where theirs has none."""
    modules = sorted(
        {
            (int(found[1]), int(found[2]))
            for found in (re.match(r"blocks\.(\d+)\.(\d+)\.", name) for name in source.names)
            if found
        }
    )
    theirs = [f"blocks.{stage}.{index}." for stage, index in modules]
    places = dict(_ENDS)
    for number, block in enumerate(spec.stacked.blocks()):
        module = theirs[number] if number < len(theirs) else f"blocks.{number}."
        ours = f"stack_{block.stack}_block_{block.index}_"
        for part, (conv, norm) in _parts(block, module, source).items():
            place = (conv and module + conv, module + norm)
            places[ours + part] = place
            if part == "fused":
                # Version 1 calls some of them so.
                places[f"{ours}expand"] = place
    return places


def _parts(block: Block, module: str, source: Source) -> dict[str, tuple[str, str]]:
    if block.kind == "dw":
        return _DEEP
    if block.kind == "project":
        raise DataError(
            f"{source.path}: timm activates the output of {module}conv, which this architecture does not; "
            "name a published architecture"
        )
    first = source.shape(f"{module}conv.weight") is not None
    return _FIRST if first else _WIDE


def _convolution(op: Op, param: Param, conv: str) -> Piece:
    """Kernels are (out, in, height, width) there; of even ones, which they do not have, the last lines are zeros."""
    name = f"{conv}.{'bias' if param.name == 'bias' else 'weight'}"
    ours = param.shape
    if param.name == "bias":
        shape, make = ours, _alone
    elif op.name == "logits":
        shape, make = ours[:-3:-1], lambda array: array.T.reshape(ours)
    else:
        axes = (2, 3, 0, 1) if op.kind == "DepthwiseConv2D" else (2, 3, 1, 0)
        shape, make = _theirs(ours, axes), partial(_kernel, axes=axes, shape=ours)
    return Piece(layer=op.name, names=(name,), shapes=(shape,), make=make)


def _theirs(shape: Shape, axes: tuple[int, ...]) -> Shape:
    """The shape in the file of a kernel that is (height, width, ...) here."""
    theirs = [0] * len(axes)
    for ours, axis in enumerate(axes):
        size = shape[ours]
        theirs[axis] = size - (size % 2 == 0) if ours < 2 else size
    return tuple(theirs)


def _kernel(array: Array, *, axes: tuple[int, ...], shape: Shape) -> Array:
    turned = array.transpose(axes)
    more = [(0, size - have) for size, have in zip(shape, turned.shape, strict=True)]
    return np.pad(turned, more)


def _alone(array: Array) -> Array:
    return array


def _norm(op: Op, param: Param, norm: str, *, scaled: bool) -> Piece:
    return _statistic(op, param, norm, param.name, param.shape, slice(None), scaled=scaled)


def _group(op: Op, param: Param, conv: str, norm: str, *, scaled: bool) -> Piece:
    """A part of what is one grouped convolution and one norm there."""
    kind = op.type
    assert isinstance(kind, GroupConv2D)
    part, _, statistic = param.name.partition("/")
    group = int(part.rpartition("_")[2])
    rows = slice(group * kind.group_size, (group + 1) * kind.group_size)
    if statistic:
        return _statistic(op, param, norm, statistic, (kind.filters,), rows, scaled=scaled)
    axes = (2, 3, 1, 0)
    _, fan_in, *window = _theirs(param.shape, axes)
    return Piece(
        layer=op.name,
        names=(f"{conv}.weight",),
        shapes=((kind.filters, fan_in, *window),),
        make=lambda array: _kernel(array[rows], axes=axes, shape=param.shape),
    )


def _statistic(
    op: Op, param: Param, norm: str, part: str, shape: Shape, rows: slice, *, scaled: bool
) -> Piece:
    names: tuple[str, ...] = (f"{norm}.{_STATISTICS[part]}",)
    if part == "gamma" and scaled:
        # (variance + epsilon) ** -0.5 with another epsilon is another scale.
        return Piece(
            layer=op.name,
            names=(*names, f"{norm}.running_var"),
            shapes=(shape, shape),
            make=lambda gamma, variance: (
                gamma * np.sqrt((variance + _OURS) / (variance + _EPSILON))
            )[rows],
        )
    return Piece(layer=op.name, names=names, shapes=(shape,), make=lambda array: array[rows])


def _no_change(op: Op, param: Param, norm: str) -> Piece:
    """What makes a projection and its norm hand on what they read."""
    values = {"gamma": np.sqrt(1 + _OURS), "moving_variance": 1.0}
    width = param.shape[-1]
    same = np.eye(width).reshape(1, 1, width, width)
    value = same if param.name == "kernel" else np.full(width, values.get(param.name, 0.0))
    return Piece(layer=op.name, names=(f"{norm}.weight",), shapes=((width,),), make=lambda _: value)


LAYOUTS = (
    Layout(
        title="timm",
        families=("mobilenet_edgetpu_v1", "mobilenet_edgetpu_v2", "efficientnet_edgetpu"),
        mark="conv_stem.weight",
        pieces=_pieces,
        settle=_settle,
        preprocessing=_preprocessing,
        whole=True,
    ),
)

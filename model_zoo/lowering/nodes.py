"""Backbones that are graphs of nodes: SpaghettiNet-EdgeTPU and MobileDet-EdgeTPU.

Sources: published SpaghettiNet and MobileDet feature extractors of the TensorFlow object detection API; merges as in
MnasFPN (Chen et al. 2020).
"""

from functools import partial
from typing import TypeVar

from hw_model.graph import Builder, ops
from model_zoo.spec.image import Family, ModelSpec
from model_zoo.spec.nodes import STEM, EdgeKind, Layer, MapNode, NodeBackbone
from model_zoo.spec.stem import Stem

H = TypeVar("H")
R = TypeVar("R")
_NORMS: dict[Family, ops.BatchNorm] = {
    "spaghettinet_edgetpu": ops.BatchNorm(momentum=0.97, epsilon=1e-3),
    "ssdlite_mobiledet_edgetpu": ops.BatchNorm(momentum=0.99, epsilon=1e-2),
}


def lower_nodes(spec: ModelSpec, b: Builder[H, R], image: H) -> dict[str, H]:
    """The maps of the backbone's output nodes, by name."""
    backbone = spec.backbone
    assert isinstance(backbone, NodeBackbone)
    norm = _NORMS[spec.family]
    maps = {STEM: b.part((backbone.stem, norm), image, partial(_stem, backbone.stem, norm))}
    for node, levels, _ in backbone.inputs():
        kinds = tuple(edge.kind for edge in node.edges)
        sources = tuple(maps[edge.source] for edge in node.edges)
        side = 1 << node.level
        size = (-(-spec.input.height // side), -(-spec.input.width // side))
        # Names aside, this is all a node depends on.
        key = (node.filters, node.level, node.layers, kinds, levels, size, norm)
        maps[node.name] = b.join(key, sources, partial(_node, node, levels, size, norm))
    return {name: maps[name] for name in backbone.outputs}


def _stem(stem: Stem, norm: ops.BatchNorm, b: Builder[H, R], image: H) -> H:
    x = b.conv(image, stem.filters, stem.kernel, stride=stem.stride, name="stem_conv2d")
    return norm_relu6(b, x, norm, "stem")


def norm_relu6(b: Builder[H, R], x: H, norm: ops.BatchNorm, prefix: str) -> H:
    """Batch norm and ReLU6."""
    x = b.emit(norm, (x,), name=f"{prefix}_bn")[0]
    return b.activation(x, "relu6", name=f"{prefix}_activation")


def _node(
    node: MapNode,
    levels: tuple[int, ...],
    size: tuple[int, int],
    norm: ops.BatchNorm,
    b: Builder[H, R],
    sources: tuple[H, ...],
) -> H:
    kind: EdgeKind = node.edges[0].kind
    if kind == "pass":
        x, stride = sources[0], 1 << (node.level - levels[0])
    else:
        x, stride = _merge(node, levels, size, norm, b, sources), 1
    for index, layer in enumerate(node.layers):
        prefix = f"{node.name}_{index}"
        y = _layer(b, x, layer, node.filters, stride if index == 0 else 1, norm, prefix)
        x = b.add(y, x, name=f"{prefix}_add") if index else y
    return x


def _merge(
    node: MapNode,
    levels: tuple[int, ...],
    size: tuple[int, int],
    norm: ops.BatchNorm,
    b: Builder[H, R],
    sources: tuple[H, ...],
) -> H:
    """Maps at the size of the node: one as it is, two added, with ReLU6.

    Published as cropped to the map that comes from the lowest level, which has this size in every published net.
    """
    maps = []
    for index, (x, level) in enumerate(zip(sources, levels, strict=True)):
        prefix = f"{node.name}_edge_{index}"
        x = _resample(b, x, node.filters, node.level - level, norm, prefix)
        maps.append(_crop(b, x, size, f"{prefix}_crop"))
    if len(maps) == 1:
        return maps[0]
    x = b.add(maps[0], maps[1], name=f"{node.name}_merge")
    return b.activation(x, "relu6", name=f"{node.name}_merge_activation")


def _resample(
    b: Builder[H, R], x: H, filters: int, coarser: int, norm: ops.BatchNorm, prefix: str
) -> H:
    """A map at another width and `coarser` levels further; its way back may be longer than it came."""
    scale = 1 << abs(coarser)
    if coarser > 0:
        window = (scale + 1, scale + 1)
        pool = ops.Pool(mode="max", kernel=window, stride=(scale, scale), padding="same")
        x = b.emit(pool, (x,), name=f"{prefix}_pool")[0]
    x = b.conv(x, filters, 1, name=f"{prefix}_conv2d")
    x = b.emit(norm, (x,), name=f"{prefix}_bn")[0]
    if coarser < 0:
        height, width = b.shape(x)[1:3]
        grown = ops.Resize(mode="nearest", size=(height * scale, width * scale))
        x = b.emit(grown, (x,), name=f"{prefix}_resize")[0]
    return x


def _crop(b: Builder[H, R], x: H, size: tuple[int, int], name: str) -> H:
    batch, height, width, channels = b.shape(x)
    if (height, width) == size:
        return x
    cut = ops.Slice(begin=(0, 0, 0, 0), sizes=(batch, *size, channels))
    return b.emit(cut, (x,), name=name)[0]


def _layer(
    b: Builder[H, R],
    x: H,
    layer: Layer,
    filters: int,
    stride: int,
    norm: ops.BatchNorm,
    prefix: str,
) -> H:
    """One layer to `filters` channels; `LayerKind` says what each kind is."""
    channels, size = b.shape(x)[-1], layer.kernel
    if layer.kind == "separable":
        wide = ops.DepthwiseConv2D(kernel=(size, size), stride=(stride, stride), bias=True)
        x = b.emit(wide, (x,), name=f"{prefix}_depthwise")[0]
        x = b.conv(x, filters, 1, name=f"{prefix}_project_conv2d")
        return norm_relu6(b, x, norm, f"{prefix}_project")
    if layer.kind in ("ibn", "dw"):
        mid = layer.expansion * (filters if layer.kind == "ibn" else channels)
        x = b.conv(x, mid, 1, name=f"{prefix}_expand_conv2d")
        x = norm_relu6(b, x, norm, f"{prefix}_expand")
        x = b.depthwise(x, size, stride=stride, name=f"{prefix}_depthwise")
        x = norm_relu6(b, x, norm, f"{prefix}_depthwise")
    elif layer.kind == "gc_ibn":
        x = _group_conv(b, x, layer, stride, norm, f"{prefix}_group")
    elif layer.kind == "fused":
        x = b.conv(
            x, channels * layer.expansion, size, stride=stride, name=f"{prefix}_fused_conv2d"
        )
        x = norm_relu6(b, x, norm, f"{prefix}_fused")
    else:
        assert layer.in_ratio is not None
        assert layer.out_ratio is not None
        x = b.conv(x, _eighths(channels * layer.in_ratio), 1, name=f"{prefix}_squeeze_conv2d")
        x = norm_relu6(b, x, norm, f"{prefix}_squeeze")
        core = _eighths(filters * layer.out_ratio)
        x = b.conv(x, core, size, stride=stride, name=f"{prefix}_core_conv2d")
        x = norm_relu6(b, x, norm, f"{prefix}_core")
    x = b.conv(x, filters, 1, name=f"{prefix}_project_conv2d")
    return b.emit(norm, (x,), name=f"{prefix}_project_bn")[0]


def _group_conv(
    b: Builder[H, R], x: H, layer: Layer, stride: int, norm: ops.BatchNorm, name: str
) -> H:
    assert layer.groups is not None
    filters = b.shape(x)[-1] * layer.expansion
    wide = ops.GroupConv2D(
        filters=filters,
        group_size=filters // layer.groups,
        kernel=(layer.kernel, layer.kernel),
        stride=(stride, stride),
        activation="relu6",
        epsilon=norm.epsilon,
        momentum=norm.momentum,
    )
    return b.emit(wide, (x,), name=name)[0]


def _eighths(filters: float) -> int:
    """The nearest multiple of 8, half up, at least 8. Source: published MobileDet."""
    return max(8, int(filters / 8 + 0.5) * 8)

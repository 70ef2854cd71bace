"""Checkpoints of TensorFlow 1, whose variables have names: slim MobileNetEdgeTPU, EfficientNet-EdgeTPU and detectors.

Sources: research/slim/nets/mobilenet and research/object_detection of the TensorFlow models repository (extractors
of MobileDet and SpaghettiNet, feature maps, box predictor and its heads), tensorflow/tpu models/official/
efficientnet. Names in logs of users agree: tensorflow/models #9721, tensorflow/tpu #460 (whose older archives call
the root edgetpunet-S), lukemelas/EfficientNet-PyTorch #315.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from hw_model.graph import Op
from hw_model.graph.types import Param
from model_zoo.importers.published import Layout, Piece, Pieces, piece
from model_zoo.importers.sources import Source
from model_zoo.lowering.ssd import BOXES, CLASSES, EXTRA
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import ClassifierHead, ModelSpec
from model_zoo.spec.nodes import STEM, LayerKind, MapNode, NodeBackbone

#: The scope of an operation that is no norm.
Scope = Callable[[Op], str]
_BLOCK = r"(stack_\d+_block_\d+)_(\w+)_(?:conv2d|bn)"
_LAYER = r"([A-Za-z0-9]+)_(\d+)_(\w+?)(?:_conv2d)?"


def _numbered(name: str, number: int) -> str:
    """How TensorFlow tells the layers of one name apart.

    >>> _numbered("Conv", 0), _numbered("Conv", 1)
    ('Conv', 'Conv_1')
    """
    return f"{name}_{number}" if number else name


def _slim(
    spec: ModelSpec, source: Source, root: str, *, scopes: Callable[[ModelSpec, str], Scope]
) -> Pieces:
    """Slim's variables; a norm is inside the scope of the convolution before it."""
    scope_of = scopes(spec, root)
    scope = ""
    graph = spec.graph()
    for op in graph.ops:
        params = graph.params(op)
        if params and op.kind != "BatchNorm":
            scope = scope_of(op)
        for param in params:
            yield piece(op, param, f"{scope}/{_variable(op, param)}")
        if op.kind == "GroupConv2D" and source.shape(f"{scope}/concat/min") is not None:
            # The range what the groups answer is rounded to.
            for end in ("min", "max"):
                name = f"{scope}/concat/{end}"
                yield Piece(layer=op.name, names=(name,), shapes=((),), trainable=False)


def _variable(op: Op, param: Param) -> str:
    if op.kind == "BatchNorm":
        return f"BatchNorm/{param.name}"
    if group := re.fullmatch(r"batch_norm_(\d+)/(\w+)", param.name):
        return f"slice_{group[1]}/BatchNorm/{group[2]}"
    if group := re.fullmatch(r"kernel_(\d+)", param.name):
        return f"slice_{group[1]}/weights"
    if param.name == "bias":
        return "biases"
    return "depthwise_weights" if op.kind == "DepthwiseConv2D" else "weights"


def _mobilenet(spec: ModelSpec, root: str) -> Scope:
    blocks: dict[str, int] = {}
    plain = {"stem_conv2d": "Conv", "top_conv2d": "Conv_1", "logits": "Logits/Conv2d_1c_1x1"}

    def scope_of(op: Op) -> str:
        found = re.fullmatch(_BLOCK, op.name)
        if found is None:
            return root + plain.get(op.name, op.name)
        block = _numbered("expanded_conv", blocks.setdefault(found[1], len(blocks)))
        part = "expand" if found[2] == "fused" else found[2]
        return f"{root}{block}/{part}"

    return scope_of


def _top_in(spec: ModelSpec, source: Source, root: str) -> ModelSpec:
    """Slim leaves the top of narrow networks as wide as the top of the others."""
    top = source.shape(f"{root}Conv_1/weights")
    if top is None or not isinstance(spec.head, ClassifierHead):
        return spec
    return replace(spec, head=replace(spec.head, top_filters=top[-1]))


#: Layers EfficientNet leaves unnamed, as TensorFlow numbers them in each scope.
_UNNAMED = {
    "Conv2D": "conv2d",
    "DepthwiseConv2D": "depthwise_conv2d",
    "BatchNorm": "tpu_batch_normalization",
    "Dense": "dense",
}


def _efficientnet(spec: ModelSpec, source: Source, root: str) -> Pieces:
    graph = spec.graph()
    blocks: dict[str, int] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for op in graph.ops:
        params = graph.params(op)
        if not params:
            continue
        found = re.fullmatch(_BLOCK, op.name)
        scope = "stem" if op.name.startswith("stem_") else "head"
        if found is not None:
            scope = f"blocks_{blocks.setdefault(found[1], len(blocks))}"
        kind = _UNNAMED.get(op.kind, op.kind)
        layer = _numbered(kind, seen[scope, kind])
        seen[scope, kind] += 1
        for param in params:
            deep = op.kind == "DepthwiseConv2D"
            yield piece(op, param, f"{root}{scope}/{layer}/{'depthwise_' * deep}{param.name}")


#: Blocks of MobileDet, numbered over the whole network.
_MOBILEDET: dict[LayerKind, str] = {"tucker": "TuckerConv", "fused": "FusedConv", "dw": "IBN"}


def _mobiledet(spec: ModelSpec, root: str) -> Scope:
    nodes = _nodes(spec)
    blocks: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    inside: Counter[tuple[str, str]] = Counter()

    def scope_of(op: Op) -> str:
        found = re.fullmatch(_LAYER, op.name)
        if op.name == "stem_conv2d":
            return f"{root}Conv"
        if found is None or found[1] not in nodes:
            return _ssd(spec, op.name, root)
        block = f"{found[1]}_{found[2]}"
        if block not in blocks:
            layer = nodes[found[1]].layers[int(found[2])].kind
            kind = _MOBILEDET.get(layer, layer)
            blocks[block] = _numbered(kind, kinds[kind])
            kinds[kind] += 1
        layer_kind = "SeparableConv2d" if op.kind == "DepthwiseConv2D" else "Conv"
        number = inside[block, layer_kind]
        inside[block, layer_kind] += 1
        return f"{root}{blocks[block]}/{_numbered(layer_kind, number)}"

    return scope_of


def _spaghettinet(spec: ModelSpec, root: str) -> Scope:
    nodes = _nodes(spec)
    levels = {name: node.level for name, node in nodes.items()}
    parts = {"expand": "expansion", "project": "projection"}

    def edge(name: str, index: int) -> str:
        read = nodes[name].edges[index].source
        further = levels[name] - levels.get(read, 0)
        way = "1x1_after_downsampling" if further > 0 else "1x1_before_upsample"
        way = way if further else "1x1_no_resampling"
        return f"{root}edge_{'s0' if read == STEM else read}_{name}/{way}"

    def scope_of(op: Op) -> str:
        if op.name == "stem_conv2d":
            return f"{root}spaghetti_net/stem_node/stem"
        if found := re.fullmatch(r"([A-Za-z0-9]+)_edge_(\d+)_conv2d", op.name):
            return edge(found[1], int(found[2]))
        found = re.fullmatch(_LAYER, op.name)
        if found is None or found[1] not in nodes:
            return _ssd(spec, op.name, root)
        layer = f"{root}spaghetti_net/{found[1]}_{found[2]}"
        if found[3] == "group":
            return layer
        plain = nodes[found[1]].layers[int(found[2])].kind == "separable"
        part = "pointwise" if plain and found[3] == "project" else parts.get(found[3], found[3])
        return f"{layer}/{part}"

    return scope_of


def _nodes(spec: ModelSpec) -> dict[str, MapNode]:
    assert isinstance(spec.backbone, NodeBackbone)
    return {node.name: node for node in spec.backbone.nodes}


def _ssd(spec: ModelSpec, layer: str, root: str) -> str:
    """The scope of an extra map or of a predictor; the latter are outside the extractor's."""
    assert isinstance(spec.backbone, NodeBackbone)
    if (found := re.fullmatch(rf"{EXTRA}_(\d+)_(\w+)", layer)) and isinstance(spec.head, SsdHead):
        index, last = int(found[1]), spec.backbone.outputs[-1]
        width, number = spec.head.extra_filters[index], index + len(spec.backbone.outputs)
        if found[2] == "squeeze_conv2d":
            return f"{root}{last}_1_Conv2d_{number}_1x1_{width // 2}"
        deep = "_depthwise" if found[2] == "depthwise" else ""
        return f"{root}{last}_2_Conv2d_{number}_3x3_s2_{width}{deep}"
    if found := re.fullmatch(rf"({BOXES}|{CLASSES})_(\d+)_(\w+)", layer):
        name = "BoxEncodingPredictor" if found[1] == BOXES else "ClassPredictor"
        deep = "_depthwise" if found[3] == "depthwise" else ""
        return f"BoxPredictor_{found[2]}/{name}{deep}"
    return layer


LAYOUTS = (
    Layout(
        title="slim MobileNetEdgeTPU",
        families=("mobilenet_edgetpu_v1",),
        mark="Conv/weights",
        roots=("MobilenetEdgeTPU/",),
        pieces=partial(_slim, scopes=_mobilenet),
        settle=_top_in,
    ),
    Layout(
        title="TensorFlow 1 EfficientNet",
        families=("efficientnet_edgetpu",),
        mark="stem/conv2d/kernel",
        roots=(),
        anywhere=True,
        pieces=_efficientnet,
    ),
    Layout(
        title="MobileDet detector",
        families=("ssdlite_mobiledet_edgetpu",),
        mark="Conv/weights",
        roots=("FeatureExtractor/MobileDetEdgeTPU/",),
        pieces=partial(_slim, scopes=_mobiledet),
    ),
    Layout(
        title="SpaghettiNet detector",
        families=("spaghettinet_edgetpu",),
        mark="spaghetti_net/stem_node/stem/weights",
        roots=(),
        anywhere=True,
        pieces=partial(_slim, scopes=_spaghettinet),
    ),
)

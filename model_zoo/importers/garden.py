"""Checkpoints of the TensorFlow Model Garden's edgetpu project: variables by the path from object to object.

Sources: official/projects/edgetpu (vision and nlp), official/vision/modeling (SegmentationModel, ASPP,
SegmentationHead) and official/nlp/modeling of the Model Garden. Keys were listed from checkpoints that the released
ASPP, SegmentationHead, MobileBERTEncoder, BertSpanLabeler and MobileBertMaskedLM write.
"""

import re
from dataclasses import replace
from functools import partial

from hw_model.graph import Op
from hw_model.graph.types import Param
from model_zoo.importers.published import Layout, Piece, Pieces, piece, turned, weights_of
from model_zoo.importers.sources import Source
from model_zoo.lowering.bert import PROJECTION, SPANS, WORDS
from model_zoo.lowering.bifpn import CLASSIFIER, LATERAL
from model_zoo.lowering.deeplab import ATROUS, DECODER, PYRAMID
from model_zoo.spec.image import ModelSpec
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead
from model_zoo.spec.text import MaskedLmHead, SpanHead, TextSpec

#: A model saved as such, or as the root itself.
_ROOTS = ("model/", "")
#: Encoders saved beside a model, inside one, or alone.
_ENCODERS = (
    "encoder/",
    "model/_network/",
    "model/encoder_network/",
    "model/layer_with_weights-0/",
    *_ROOTS,
)


def _images(spec: ModelSpec, source: Source, root: str, *, body: str = "") -> Pieces:
    """Layers with weights are numbered in call order; those of segmentation heads have names of their own."""
    paths = _head_paths(spec)
    numbers: dict[str, int] = {}
    for op, param in weights_of(spec.graph()):
        path = paths.get(op.name)
        if path is None:
            path = f"{body}layer_with_weights-{numbers.setdefault(op.name, len(numbers))}"
        yield piece(op, param, f"{root}{path}/{_part(op, param, path)}")


def _part(op: Op, param: Param, path: str) -> str:
    if param.name == "kernel":
        separable = path.endswith(("/conv_op", "/classes"))
        if op.kind == "DepthwiseConv2D":
            return "depthwise_kernel"
        return "pointwise_kernel" if separable else "kernel"
    # A group convolution is one layer with a list of norms inside.
    return re.sub(r"^batch_norm_(\d+)/", r"batch_norm_layer/\1/", param.name)


def _head_paths(spec: ModelSpec) -> dict[str, str]:
    """Our layers of a segmentation head -> their paths."""
    if isinstance(spec.head, DeepLabHead):
        return _deeplab_paths(spec.head)
    if isinstance(spec.head, BifpnHead):
        return _bifpn_paths(spec.head, beyond=max(spec.stacked.levels) + 1)
    return {}


def _deeplab_paths(head: DeepLabHead) -> dict[str, str]:
    first, last = "layer_with_weights-0", "layer_with_weights-1"
    branches = "decoder/aspp/aspp_layers"
    pool = f"{branches}/{len(head.rates) + 1}/{first}"
    paths = {
        f"{PYRAMID}_point_conv2d": f"{branches}/0/{first}",
        f"{PYRAMID}_point_bn": f"{branches}/0/{last}",
        f"{PYRAMID}_pool_conv2d": f"{pool}/{first}",
        f"{PYRAMID}_pool_bn": f"{pool}/{last}",
        f"{PYRAMID}_project_conv2d": f"decoder/aspp/projection/{first}",
        f"{PYRAMID}_project_bn": f"decoder/aspp/projection/{last}",
        f"{DECODER}_low_conv2d": "head/_dlv3p_conv",
        f"{DECODER}_low_bn": "head/_dlv3p_norm",
        f"{CLASSIFIER}_conv2d": "head/_classifier",
    }
    for branch, rate in enumerate(head.rates, start=1):
        paths[f"{ATROUS}_{rate}_depthwise"] = f"{branches}/{branch}/{first}"
        paths[f"{PYRAMID}_rate_{rate}_conv2d"] = f"{branches}/{branch}/{last}"
        paths[f"{PYRAMID}_rate_{rate}_bn"] = f"{branches}/{branch}/layer_with_weights-2"
    for index in range(head.repeats):
        prefix, wide = f"{DECODER}_{index}", 2 * index
        paths[f"{prefix}_depthwise"] = f"head/_convs/{wide}"
        paths[f"{prefix}_depthwise_bn"] = f"head/_norms/{wide}"
        paths[f"{prefix}_conv2d"] = f"head/_convs/{wide + 1}"
        paths[f"{prefix}_bn"] = f"head/_norms/{wide + 1}"
    return paths


def _bifpn_paths(head: BifpnHead, *, beyond: int) -> dict[str, str]:
    paths: dict[str, str] = {}
    levels = range(head.min_level, head.max_level + 1)
    for index, level in enumerate(levels):
        for part in ("conv2d", "bn"):
            paths[f"{LATERAL}_{level}_{part}"] = f"resample_layers/{index}/{part}"
    # The first level beyond the backbone is made before the others are resampled.
    paths[f"{LATERAL}_{beyond}_conv2d"] = "downsample_layers/0/conv2d"
    ways = [f"down_{level}" for level in reversed(levels[:-1])]
    ways += [f"up_{level}" for level in levels[1:]]
    nodes = {"segment_conv": "seg_class_net/fnode"} | {
        f"bifpn_cell_{cell}_{way}": f"fpn_cells/cells/{cell}/fnodes/{node}"
        for cell in range(head.repeats)
        for node, way in enumerate(ways)
    }
    for name, path in nodes.items():
        paths[f"{name}_depthwise"] = paths[f"{name}_conv2d"] = f"{path}/op_after_combine/conv_op"
        paths[f"{name}_bn"] = f"{path}/op_after_combine/bn"
    paths[f"{CLASSIFIER}_depthwise"] = paths[f"{CLASSIFIER}_conv2d"] = "seg_class_net/classes"
    return paths


#: Our layer of a block -> its path among the block's layers.
_BLOCK = {
    "bottleneck_dense": "bottleneck_input/0",
    "bottleneck_norm": "bottleneck_input/1",
    "shared_dense": "kq_shared_bottleneck/0",
    "shared_norm": "kq_shared_bottleneck/1",
    "query": "attention/0/_query_dense",
    "key": "attention/0/_key_dense",
    "value": "attention/0/_value_dense",
    "attention_dense": "attention/0/_output_dense",
    "attention_norm": "attention/1",
    r"ffn_(\d+)_expand": r"ffn/\1/0",
    r"ffn_(\d+)_project": r"ffn/\1/1",
    r"ffn_(\d+)_norm": r"ffn/\1/2",
    "output_dense": "bottleneck_output/0",
    "output_norm": "bottleneck_output/2",
}
_EMBEDDING = {
    WORDS: "word_embedding",
    "position_embedding": "pos_embedding",
    "type_embedding": "type_embedding",
    PROJECTION: "word_embedding_proj",
    "embedding_norm": "layer_norm",
}
#: Where heads are kept; the first of each is how they are found by the objects, the others are keys.
_SPANS = (
    "model/span_labeling/layer_with_weights-0",
    "model/layer_with_weights-1/layer_with_weights-0",
)
_MASKED = ("masked_lm", "model/masked_lm")


def _text(spec: TextSpec, source: Source, root: str) -> Pieces:
    """The encoder and what the file has of the head; the rest of a head stays as it starts."""
    for op, param in weights_of(spec.graph()):
        path = _encoder_path(op.name)
        if path is not None:
            name = f"{root}{path}/{param.name}"
            if op.name == WORDS:
                # Kept once, under the shorter of its names.
                name = _first(source, name, "masked_lm/embedding_table")
            yield piece(op, param, name, _split_heads(spec, op.name, param))
        elif op.name.startswith("masked_lm_") and (found := _masked(spec, source, op, param)):
            yield found
        elif op.name == f"{SPANS}_dense" and _has(source, _SPANS, "kernel"):
            yield piece(op, param, _first(source, *(f"{place}/{param.name}" for place in _SPANS)))


def _encoder_path(layer: str) -> str | None:
    if layer in _EMBEDDING:
        return f"layer_with_weights-0/{_EMBEDDING[layer]}"
    if block := re.fullmatch(r"block_(\d+)_(\w+)", layer):
        for ours, theirs in _BLOCK.items():
            if found := re.fullmatch(ours, block[2]):
                return f"layer_with_weights-{int(block[1]) + 1}/block_layers/{found.expand(theirs)}"
    return None


def _split_heads(spec: TextSpec, layer: str, param: Param) -> tuple[int, ...]:
    """The shape of a weight of attention, whose heads are an axis of their own."""
    split = (spec.encoder.heads, spec.encoder.inner // spec.encoder.heads)
    if layer.endswith(("_query", "_key", "_value")):
        return (*param.shape[:-1], *split)
    if layer.endswith("_attention_dense") and param.name == "kernel":
        return (*split, param.shape[-1])
    return param.shape


def _masked(spec: TextSpec, source: Source, op: Op, param: Param) -> Piece | None:
    if not _has(source, _MASKED, "dense/kernel"):
        return None
    kind = op.name.removeprefix("masked_lm_")
    if kind in ("dense", "norm"):
        part = f"{'layer_norm' if kind == 'norm' else kind}/{param.name}"
        return piece(op, param, _first(source, *(f"{place}/{part}" for place in _MASKED)))
    if param.name == "bias":
        spelled = ("bias", "output_bias.Sbias")
        names = [f"{place}/{part}" for part in spelled for place in _MASKED]
        return piece(op, param, _first(source, *names))
    name = _first(source, *(f"{place}/extra_output_weights" for place in _MASKED))
    if kind == "projection":
        return turned(op, param, name)
    return piece(op, param, name)


def _has(source: Source, places: tuple[str, ...], part: str) -> bool:
    return any(source.shape(f"{place}/{part}") is not None for place in places)


def _first(source: Source, *names: str) -> str:
    """The first of these names the file has, or else the first."""
    return next((name for name in names if source.shape(name) is not None), names[0])


def _head_in(spec: TextSpec, source: Source, root: str) -> TextSpec:
    """The network with the head the file has weights of; without one its own, as it starts."""
    if _has(source, _SPANS, "kernel"):
        return replace(spec, head=SpanHead())
    if _has(source, _MASKED, "dense/kernel"):
        return replace(spec, head=MaskedLmHead())
    return spec


LAYOUTS = (
    Layout(
        title="Model Garden DeepLabV3+",
        families=("deeplabv3plus_mobilenet_edgetpu_v2",),
        mark="decoder/aspp/projection/layer_with_weights-0/kernel",
        roots=_ROOTS,
        pieces=partial(_images, body="backbone/"),
    ),
    Layout(
        title="Model Garden AutoSeg",
        families=("autoseg_edgetpu",),
        mark="seg_class_net/classes/pointwise_kernel",
        roots=_ROOTS,
        pieces=partial(_images, body="backbone/"),
    ),
    Layout(
        title="Model Garden MobileBERT",
        families=("mobilebert_edgetpu",),
        mark="layer_with_weights-0/pos_embedding/embeddings",
        roots=_ENCODERS,
        pieces=_text,
        settle=_head_in,
    ),
    Layout(
        title="Model Garden classifier",
        families=("mobilenet_edgetpu_v1", "mobilenet_edgetpu_v2"),
        mark="layer_with_weights-0/kernel",
        roots=_ROOTS,
        pieces=_images,
    ),
)

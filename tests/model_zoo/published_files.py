"""Checkpoints written by hand in the layouts others publish in: names and shapes are literal, values random.

Every writer lists the variables of a small network in the order the network runs, under the names their publisher's
code gives them. Nothing here comes from the importers.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Variables = Iterator[tuple[str, Shape]]
#: (kind, kernel, channels read, channels inside, channels out)
Row = tuple[str, int, int, int, int]
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"

#: MobileNetEdgeTPU (version 1) at a quarter of its width.
V1: tuple[Row, ...] = (
    ("project", 1, 8, 8, 8),
    ("fused", 3, 8, 64, 8),
    *[("fused", 3, 8, 32, 8)] * 3,
    ("fused", 3, 8, 64, 16),
    *[("fused", 3, 16, 64, 16)] * 3,
    ("dw", 3, 16, 128, 24),
    *[("dw", 3, 24, 96, 24)] * 3,
    ("dw", 3, 24, 192, 24),
    *[("dw", 3, 24, 96, 24)] * 3,
    ("dw", 5, 24, 192, 40),
    *[("dw", 5, 40, 160, 40)] * 3,
    ("dw", 3, 40, 320, 48),
)
#: EfficientNet-EdgeTPU-S at a quarter of its width; its first block is a little wider than its rule says.
EFFICIENTNET: tuple[Row, ...] = (
    ("fused", 3, 8, 24, 8),
    *[("fused", 3, 8, 64, 8)] * 2,
    ("fused", 3, 8, 64, 16),
    *[("fused", 3, 16, 128, 16)] * 3,
    ("dw", 5, 16, 128, 24),
    *[("dw", 5, 24, 192, 24)] * 4,
    ("dw", 5, 24, 192, 40),
    *[("dw", 5, 40, 320, 40)] * 3,
    ("dw", 5, 40, 320, 48),
    ("dw", 5, 48, 384, 48),
)
CLASSES = 5


def values_of(variables: Variables) -> dict[str, np.ndarray]:
    """Random values, all different, in the order of the variables."""
    rng = np.random.default_rng(3)
    return {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in variables}


def write_names(path: Path, values: Mapping[str, np.ndarray]) -> Path:
    """A TensorFlow checkpoint with exactly these names."""
    import tensorflow as tf

    path.parent.mkdir(parents=True, exist_ok=True)
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=list(values),
        shape_and_slices=[""] * len(values),
        tensors=[tf.constant(value) for value in values.values()],
    )
    return path


def write_objects(
    path: Path, values: Mapping[str, np.ndarray], ways: Mapping[str, str] | None = None
) -> Path:
    """A TensorFlow 2 checkpoint of objects at these paths; `ways` are further paths to some of them."""
    import tensorflow as tf

    root = tf.Module()
    for place, value in values.items():
        *parts, last = place.split("/")
        setattr(_at(root, parts), last, tf.Variable(value))
    ways = ways or {}
    for way, place in ways.items():
        *parts, last = way.split("/")
        setattr(_at(root, parts), last, _at(root, place.split("/")))
    tops = {name.split("/")[0] for name in (*values, *ways)}
    return Path(tf.train.Checkpoint(**{top: getattr(root, top) for top in tops}).write(str(path)))


def _at(node: Any, parts: list[str]) -> Any:
    import tensorflow as tf

    for part in parts:
        if not hasattr(node, part):
            setattr(node, part, tf.Module())
        node = getattr(node, part)
    return node


def norm(name: str, width: int) -> Variables:
    """The four variables of a batch norm."""
    for part in ("gamma", "beta", "moving_mean", "moving_variance"):
        yield f"{name}/{part}", (width,)


# TensorFlow 1, slim.


def slim_conv(name: str, kernel: int, read: int, out: int) -> Variables:
    """A convolution with its norm inside its scope."""
    yield f"{name}/weights", (kernel, kernel, read, out)
    yield from norm(f"{name}/BatchNorm", out)


def slim_depthwise(name: str, kernel: int, width: int) -> Variables:
    """A depthwise convolution with its norm inside its scope."""
    yield f"{name}/depthwise_weights", (kernel, kernel, width, 1)
    yield from norm(f"{name}/BatchNorm", width)


def slim_mobilenet(*, top: int = 320) -> Variables:
    """research/slim, V3_EDGETPU at depth multiplier 0.25."""
    root = "MobilenetEdgeTPU"
    yield from slim_conv(f"{root}/Conv", 3, 3, 8)
    for number, (kind, kernel, read, inside, out) in enumerate(V1):
        block = f"{root}/expanded_conv" + f"_{number}" * (number > 0)
        if kind == "fused":
            yield from slim_conv(f"{block}/expand", kernel, read, inside)
        elif kind == "dw":
            yield from slim_conv(f"{block}/expand", 1, read, inside)
            yield from slim_depthwise(f"{block}/depthwise", kernel, inside)
        yield from slim_conv(f"{block}/project", 1, inside, out)
    yield from slim_conv(f"{root}/Conv_1", 1, 48, top)
    yield f"{root}/Logits/Conv2d_1c_1x1/weights", (1, 1, top, CLASSES)
    yield f"{root}/Logits/Conv2d_1c_1x1/biases", (CLASSES,)


def tpu_efficientnet(root: str) -> Variables:
    """tensorflow/tpu, efficientnet-edgetpu-S at width coefficient 0.25."""
    bn = "tpu_batch_normalization"
    yield f"{root}/stem/conv2d/kernel", (3, 3, 3, 8)
    yield from norm(f"{root}/stem/{bn}", 8)
    for number, (kind, kernel, read, inside, out) in enumerate(EFFICIENTNET):
        block = f"{root}/blocks_{number}"
        wide = kernel if kind == "fused" else 1
        yield f"{block}/conv2d/kernel", (wide, wide, read, inside)
        yield from norm(f"{block}/{bn}", inside)
        if kind == "dw":
            yield f"{block}/depthwise_conv2d/depthwise_kernel", (kernel, kernel, inside, 1)
            yield from norm(f"{block}/{bn}_1", inside)
        yield f"{block}/conv2d_1/kernel", (1, 1, inside, out)
        yield from norm(f"{block}/{bn}_{2 if kind == 'dw' else 1}", out)
    yield f"{root}/head/conv2d/kernel", (1, 1, 48, 320)
    yield from norm(f"{root}/head/{bn}", 320)
    yield f"{root}/head/dense/kernel", (320, CLASSES)
    yield f"{root}/head/dense/bias", (CLASSES,)


def _predictors(widths: tuple[int, ...], anchors: tuple[int, ...], classes: int) -> Variables:
    for name, size in (("BoxEncodingPredictor", 4), ("ClassPredictor", classes + 1)):
        for number, (width, each) in enumerate(zip(widths, anchors, strict=True)):
            scope = f"BoxPredictor_{number}/{name}"
            yield from slim_depthwise(f"{scope}_depthwise", 3, width)
            yield f"{scope}/weights", (1, 1, width, each * size)
            yield f"{scope}/biases", (each * size,)


def mobiledet(classes: int) -> Variables:
    """research/object_detection, ssd_mobiledet_edgetpu with every width an eighth, and at least 8."""
    root = "FeatureExtractor/MobileDetEdgeTPU"
    yield from slim_conv(f"{root}/Conv", 3, 3, 8)
    yield from slim_conv(f"{root}/TuckerConv/Conv", 1, 8, 8)
    yield from slim_conv(f"{root}/TuckerConv/Conv_1", 3, 8, 8)
    yield from slim_conv(f"{root}/TuckerConv/Conv_2", 1, 8, 8)
    fused = (
        ("FusedConv", 3, 8, 64, 8), ("FusedConv_1", 3, 8, 32, 8), ("FusedConv_2", 3, 8, 64, 8),
        ("FusedConv_3", 3, 8, 32, 8), ("FusedConv_4", 5, 8, 64, 8), ("FusedConv_5", 3, 8, 32, 8),
        ("FusedConv_6", 3, 8, 32, 8), ("FusedConv_7", 3, 8, 32, 8),
    )  # fmt: skip
    ibn = (
        ("IBN", 3, 8, 64, 16), ("IBN_1", 3, 16, 128, 16),
        ("FusedConv_8", 3, 16, 64, 16), ("FusedConv_9", 3, 16, 64, 16),
        ("IBN_2", 5, 16, 128, 16), ("IBN_3", 5, 16, 128, 16), ("IBN_4", 3, 16, 128, 16),
        ("IBN_5", 3, 16, 128, 16), ("IBN_6", 5, 16, 128, 16), ("IBN_7", 3, 16, 128, 16),
        ("IBN_8", 5, 16, 64, 16), ("IBN_9", 3, 16, 128, 16), ("IBN_10", 5, 16, 128, 48),
    )  # fmt: skip
    for block, kernel, read, inside, out in (*fused, *ibn):
        if block.startswith("FusedConv"):
            yield from slim_conv(f"{root}/{block}/Conv", kernel, read, inside)
        else:
            yield from slim_conv(f"{root}/{block}/Conv", 1, read, inside)
            yield from slim_depthwise(f"{root}/{block}/SeparableConv2d", kernel, inside)
        yield from slim_conv(f"{root}/{block}/Conv_1", 1, inside, out)
    read = 48
    for number, out in ((2, 64), (3, 32), (4, 32), (5, 16)):
        half = out // 2
        yield from slim_conv(f"{root}/C5_1_Conv2d_{number}_1x1_{half}", 1, read, half)
        wide = f"{root}/C5_2_Conv2d_{number}_3x3_s2_{out}"
        yield from slim_depthwise(f"{wide}_depthwise", 3, half)
        yield from slim_conv(wide, 1, half, out)
        read = out
    yield from _predictors((16, 48, 64, 32, 32, 16), (3, 6, 6, 6, 6, 6), classes)


#: SpaghettiNet-EdgeTPU-S with every width a quarter: channels read, node, width, layers (kind, kernel, inside, groups).
SPAGHETTI: tuple[tuple[int, str, int, tuple[tuple[str, int, int, int], ...]], ...] = (
    (8, "n0", 16, (("gc", 3, 64, 2),)),
    (16, "n1", 16, (("gc", 3, 64, 4),) * 3),
    (16, "n2", 24, (("ibn", 3, 192, 1), ("gc", 3, 192, 4), ("ibn", 3, 192, 1), ("ibn", 3, 96, 1))),
    (24, "n3", 24, (("ibn", 3, 192, 1), ("ibn", 3, 192, 1), ("ibn", 3, 96, 1), ("ibn", 3, 96, 1))),
    (24, "n4", 24, (("ibn", 3, 192, 1), *[("sep", 5, 24, 1)] * 3)),
    (24, "n5", 24, (("sep", 5, 24, 1), ("sep", 3, 24, 1))),
    (40, "c0n0", 40, (("ibn", 3, 160, 1),) * 4),
    (32, "c0n1", 32, (("ibn", 3, 256, 1), *[("ibn", 3, 128, 1)] * 3)),
    (40, "c0n2", 40, (("ibn", 3, 160, 1),)),
    (32, "c0n3", 32, (("ibn", 3, 128, 1), ("sep", 3, 32, 1))),
    (32, "c0n4", 32, (("ibn", 3, 128, 1),)),
    (32, "c0n5", 16, (("sep", 3, 32, 1), ("sep", 3, 16, 1))),
)
#: Its edges that resample: node -> name of the edge's convolution and the channels it reads.
EDGES: dict[str, tuple[tuple[str, int], ...]] = {
    "c0n0": (("edge_n3_c0n0/1x1_no_resampling", 24), ("edge_n4_c0n0/1x1_before_upsample", 24)),
    "c0n1": (("edge_n2_c0n1/1x1_no_resampling", 24), ("edge_c0n0_c0n1/1x1_before_upsample", 40)),
    "c0n2": (("edge_c0n1_c0n2/1x1_after_downsampling", 32), ("edge_c0n0_c0n2/1x1_no_resampling", 40)),
    "c0n3": (("edge_n5_c0n3/1x1_before_upsample", 24), ("edge_c0n0_c0n3/1x1_after_downsampling", 40)),
    "c0n4": (("edge_n5_c0n4/1x1_no_resampling", 24), ("edge_c0n0_c0n4/1x1_after_downsampling", 40)),
}  # fmt: skip


def spaghettinet(classes: int) -> Variables:
    """research/object_detection, ssd_spaghettinet; a range follows every concatenation of groups."""
    root = "FeatureExtractor/spaghettinet_edgetpu_s"
    yield from slim_conv(f"{root}/spaghetti_net/stem_node/stem", 5, 3, 8)
    for read, node, width, layers in SPAGHETTI:
        for edge, channels in EDGES.get(node, ()):
            yield from slim_conv(f"{root}/{edge}", 1, channels, width)
        for number, (kind, kernel, inside, groups) in enumerate(layers):
            scope = f"{root}/spaghetti_net/{node}_{number}"
            if kind == "sep":
                yield f"{scope}/depthwise/depthwise_weights", (kernel, kernel, inside, 1)
                yield f"{scope}/depthwise/biases", (inside,)
            elif kind == "ibn":
                yield from slim_conv(f"{scope}/expansion", 1, read, inside)
                yield from slim_depthwise(f"{scope}/depthwise", kernel, inside)
            else:
                each = inside // groups
                for group in range(groups):
                    yield f"{scope}/slice_{group}/weights", (kernel, kernel, read // groups, each)
                for group in range(groups):
                    yield from norm(f"{scope}/slice_{group}/BatchNorm", each)
                yield f"{scope}/concat/min", ()
                yield f"{scope}/concat/max", ()
            last = "pointwise" if kind == "sep" else "projection"
            yield from slim_conv(f"{scope}/{last}", 1, inside, width)
            read = width
    yield from _predictors((32, 40, 32, 32, 16), (3, 6, 6, 6, 6), classes)


# TensorFlow 2, Model Garden.


def keras_conv(path: str, kernel: int, read: int, out: int) -> Variables:
    """A convolution without bias."""
    yield f"{path}/kernel", (kernel, kernel, read, out)


def garden_backbone(root: str) -> Variables:
    """A stem of 8 and five blocks (project, fused s2, group_fused, dw s2, dw s2), numbered as Keras numbers them."""
    layer = f"{root}/layer_with_weights-"
    yield from keras_conv(f"{layer}0", 5, 3, 8)
    yield from norm(f"{layer}1", 8)
    yield from keras_conv(f"{layer}2", 1, 8, 8)
    yield from norm(f"{layer}3", 8)
    yield from keras_conv(f"{layer}4", 3, 8, 16)
    yield from norm(f"{layer}5", 16)
    yield from keras_conv(f"{layer}6", 1, 16, 12)
    yield from norm(f"{layer}7", 12)
    for group in range(3):
        yield f"{layer}8/kernel_{group}", (3, 3, 4, 8)
    for group in range(3):
        yield from norm(f"{layer}8/batch_norm_layer/{group}", 8)
    yield from keras_conv(f"{layer}9", 1, 24, 12)
    yield from norm(f"{layer}10", 12)
    for first, read in ((11, 12), (17, 16)):
        yield from keras_conv(f"{layer}{first}", 1, read, 2 * read)
        yield from norm(f"{layer}{first + 1}", 2 * read)
        yield f"{layer}{first + 2}/depthwise_kernel", (3, 3, 2 * read, 1)
        yield from norm(f"{layer}{first + 3}", 2 * read)
        yield from keras_conv(f"{layer}{first + 4}", 1, 2 * read, 16)
        yield from norm(f"{layer}{first + 5}", 16)


def garden_classifier(root: str = "model") -> Variables:
    """The backbone with its top and classifier."""
    yield from garden_backbone(root)
    yield from keras_conv(f"{root}/layer_with_weights-23", 1, 16, 20)
    yield from norm(f"{root}/layer_with_weights-24", 20)
    yield f"{root}/layer_with_weights-25/kernel", (1, 1, 20, CLASSES)
    yield f"{root}/layer_with_weights-25/bias", (CLASSES,)


def garden_deeplab() -> Variables:
    """official/vision: SegmentationModel with an ASPP decoder and a SegmentationHead."""
    yield from garden_backbone("model/backbone")
    branches = "model/decoder/aspp/aspp_layers"
    yield from keras_conv(f"{branches}/0/layer_with_weights-0", 1, 16, 6)
    yield from norm(f"{branches}/0/layer_with_weights-1", 6)
    for branch in ("1", "2", "3"):
        yield f"{branches}/{branch}/layer_with_weights-0/depthwise_kernel", (3, 3, 16, 1)
        yield from keras_conv(f"{branches}/{branch}/layer_with_weights-1", 1, 16, 6)
        yield from norm(f"{branches}/{branch}/layer_with_weights-2", 6)
    pool = f"{branches}/4/layer_with_weights-0"
    yield from keras_conv(f"{pool}/layer_with_weights-0", 1, 16, 6)
    yield from norm(f"{pool}/layer_with_weights-1", 6)
    yield from keras_conv("model/decoder/aspp/projection/layer_with_weights-0", 1, 30, 6)
    yield from norm("model/decoder/aspp/projection/layer_with_weights-1", 6)
    yield from keras_conv("model/head/_dlv3p_conv", 1, 16, 5)
    yield from norm("model/head/_dlv3p_norm", 5)
    for number, read in ((0, 11), (1, 7)):
        yield f"model/head/_convs/{2 * number}/depthwise_kernel", (3, 3, read, 1)
        yield from norm(f"model/head/_norms/{2 * number}", read)
        yield from keras_conv(f"model/head/_convs/{2 * number + 1}", 1, read, 7)
        yield from norm(f"model/head/_norms/{2 * number + 1}", 7)
    yield from keras_conv("model/head/_classifier", 1, 7, CLASSES)
    yield "model/head/_classifier/bias", (CLASSES,)


def garden_autoseg() -> Variables:
    """projects/edgetpu: AutosegEdgeTPU with two cells over levels 3 to 5, on the same backbone."""
    yield from garden_backbone("model/backbone")
    for number, read in ((0, 16), (1, 16)):
        yield f"model/resample_layers/{number}/conv2d/kernel", (1, 1, read, 4)
        yield f"model/resample_layers/{number}/conv2d/bias", (4,)
        yield from norm(f"model/resample_layers/{number}/bn", 4)
    yield "model/downsample_layers/0/conv2d/kernel", (1, 1, 16, 4)
    yield "model/downsample_layers/0/conv2d/bias", (4,)
    nodes = [f"model/fpn_cells/cells/{cell}/fnodes/{node}" for cell in (0, 1) for node in range(4)]
    for node in (*nodes, "model/seg_class_net/fnode"):
        yield f"{node}/op_after_combine/conv_op/depthwise_kernel", (3, 3, 4, 1)
        yield f"{node}/op_after_combine/conv_op/pointwise_kernel", (1, 1, 4, 4)
        yield from norm(f"{node}/op_after_combine/bn", 4)
    yield "model/seg_class_net/classes/depthwise_kernel", (3, 3, 4, 1)
    yield "model/seg_class_net/classes/pointwise_kernel", (1, 1, 4, CLASSES)
    yield "model/seg_class_net/classes/bias", (CLASSES,)


def garden_mobilebert(root: str) -> Variables:
    """official/nlp: MobileBERTEncoder, 2 blocks of 8 channels within 12, 2 heads, 2 feed-forward networks of 10."""

    def dense(path: str, read: Shape, out: Shape) -> Variables:
        yield f"{path}/kernel", (*read, *out)
        yield f"{path}/bias", out

    def scale(path: str, width: int) -> Variables:
        yield f"{path}/gamma", (width,)
        yield f"{path}/beta", (width,)

    first = f"{root}/layer_with_weights-0"
    yield f"{first}/word_embedding/embeddings", (30, 6)
    yield from dense(f"{first}/word_embedding_proj", (18,), (12,))
    yield f"{first}/pos_embedding/embeddings", (16, 12)
    yield f"{first}/type_embedding/embeddings", (2, 12)
    yield from scale(f"{first}/layer_norm", 12)
    for block in (1, 2):
        layers = f"{root}/layer_with_weights-{block}/block_layers"
        yield from dense(f"{layers}/bottleneck_input/0", (12,), (8,))
        yield from scale(f"{layers}/bottleneck_input/1", 8)
        yield from dense(f"{layers}/kq_shared_bottleneck/0", (12,), (8,))
        yield from scale(f"{layers}/kq_shared_bottleneck/1", 8)
        yield from dense(f"{layers}/attention/0/_query_dense", (8,), (2, 4))
        yield from dense(f"{layers}/attention/0/_key_dense", (8,), (2, 4))
        yield from dense(f"{layers}/attention/0/_value_dense", (12,), (2, 4))
        yield from dense(f"{layers}/attention/0/_output_dense", (2, 4), (8,))
        yield from scale(f"{layers}/attention/1", 8)
        for ffn in (0, 1):
            yield from dense(f"{layers}/ffn/{ffn}/0", (8,), (10,))
            yield from dense(f"{layers}/ffn/{ffn}/1", (10,), (8,))
            yield from scale(f"{layers}/ffn/{ffn}/2", 8)
        yield from dense(f"{layers}/bottleneck_output/0", (8,), (12,))
        yield from scale(f"{layers}/bottleneck_output/2", 12)


def garden_masked_words() -> Variables:
    """official/nlp: MobileBertMaskedLM; its table is the encoder's."""
    yield "masked_lm/dense/kernel", (12, 12)
    yield "masked_lm/dense/bias", (12,)
    yield "masked_lm/layer_norm/gamma", (12,)
    yield "masked_lm/layer_norm/beta", (12,)
    yield "masked_lm/extra_output_weights", (30, 6)
    yield "masked_lm/bias", (30,)

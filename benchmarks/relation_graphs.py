"""Graphs on which `paper_relations.py` checks what the papers say; shapes no paper prints are our reconstruction."""

from hw_model.calibrate.net import Net
from hw_model.graph import Graph, GraphBuilder, ops

# Kernel, expanded channels, output channels, stride. Source: arXiv 1905.02244, table 1, with every kernel 3.
MINIMALISTIC_ROWS = (
    (16, 16, 1), (64, 24, 2), (72, 24, 1), (72, 40, 2), (120, 40, 1), (120, 40, 1),
    (240, 80, 2), (200, 80, 1), (184, 80, 1), (184, 80, 1), (480, 112, 1), (672, 112, 1),
    (672, 160, 2), (960, 160, 1), (960, 160, 1),
)  # fmt: skip


def single(kind: ops.OpType, size: int, channels: int) -> Graph:
    """One operation on a square map."""
    b = GraphBuilder()
    x = b.input((1, size, size, channels))
    return b.finish(b.emit(kind, (x,), name="op")[0], name="single")


def conv(filters: int, kernel: int, groups: int = 1) -> ops.Conv2D:
    """A convolution as it is executed."""
    return ops.Conv2D(
        filters=filters, kernel=(kernel, kernel), groups=groups, bias=True, activation="relu"
    )


def depthwise() -> ops.DepthwiseConv2D:
    """A 3x3 depthwise convolution as it is executed."""
    return ops.DepthwiseConv2D(kernel=(3, 3), bias=True, activation="relu")


def group_block(size: int, channels: int, groups: int, *, dual: bool, expansion: int = 4) -> Graph:
    """GC-IBN without residual, or its dual: the group convolution projects and a 1x1 convolution expands.

    Both have the same parameters and multiply-adds, batch norms aside.
    """
    b = GraphBuilder()
    x, mid = b.input((1, size, size, channels)), channels * expansion
    if dual:
        x = b.batch_norm(b.conv(x, mid, 1, name="expand"), name="expand_bn")
        x = b.activation(x, "relu", name="expand_relu")
        x = b.group_conv(x, channels, 3, group_size=channels // groups, name="group")
    else:
        x = b.group_conv(x, mid, 3, group_size=mid // groups, name="group")
        x = b.batch_norm(b.conv(x, channels, 1, name="project"), name="project_bn")
    return b.finish(x, name="dual" if dual else "gc_ibn")


def bottleneck(extra: str, size: int = 28, channels: int = 64) -> Graph:
    """1x1 convolutions to twice the channels and back with ReLU, swish, or squeeze-excite after ReLU between."""
    b = GraphBuilder()
    wide = channels * 2
    x = b.conv(b.input((1, size, size, channels)), wide, 1, name="expand")
    x = b.activation(x, "silu" if extra == "swish" else "relu", name="act")
    if extra == "squeeze_excite":
        s = b.emit(ops.GlobalPool(keep_dims=True), (x,), name="squeeze")[0]
        s = b.activation(b.conv(s, wide // 4, 1, name="reduce"), "relu", name="reduce_act")
        s = b.activation(b.conv(s, wide, 1, name="excite"), "sigmoid", name="gate")
        x = b.emit(ops.Mul(), (x, s), name="scale")[0]
    return b.finish(b.conv(x, channels, 1, name="project"), name=extra)


def mobilenet_v3_minimalistic() -> Graph:
    """MobileNetV3-Large minimalistic: no squeeze-excite, no hard swish, no 5x5."""
    net = Net(224, 224)
    net.conv(16, 3, 2)
    for wide, filters, stride in MINIMALISTIC_ROWS:
        source, channels = net.x, net.channels()
        if wide != channels:
            net.conv(wide)
        net.depthwise(3, stride)
        net.conv(filters, act=None)
        if stride == 1 and filters == channels:
            net.emit(ops.Add(), source, net.x)
    net.conv(960)
    net.emit(ops.GlobalPool())
    net.emit(ops.Dense(units=1280, activation="relu"))
    net.emit(ops.Dense(units=1001))
    return net.finish("mobilenet_v3_large_minimalistic")


def lstm_gates(units: int = 1024) -> Graph:
    """The matrix product of one step of an LSTM layer: all four gates of input and state."""
    b = GraphBuilder()
    x = b.input((1, 2 * units))
    return b.finish(b.dense(x, 4 * units, name="gates"), name="lstm_gates")


def attention(tokens: int, width: int, heads: int, depth: int, *, shared: bool) -> Graph:
    """Self-attention on a flattened map; `shared`: one key and value for all heads (multi-query)."""
    b = GraphBuilder()
    x = b.input((1, tokens, width))
    q = b.dense(x, heads * depth, name="query")
    k = b.dense(x, depth if shared else heads * depth, name="key")
    v = b.dense(x, depth if shared else heads * depth, name="value")
    if shared:
        q = b.reshape(q, (1, tokens * heads, depth), name="rows")
    else:
        q, k, v = (
            b.emit(
                ops.Transpose(permutation=(0, 2, 1, 3)),
                (b.reshape(y, (1, tokens, heads, depth), name=f"split_{name}"),),
                name=f"heads_{name}",
            )[0]
            for name, y in (("query", q), ("key", k), ("value", v))
        )
    scores = b.emit(ops.MatMul(transpose_b=True), (q, k), name="scores")[0]
    y = b.emit(ops.MatMul(), (b.softmax(scores, name="softmax"), v), name="mix")[0]
    if not shared:
        y = b.emit(ops.Transpose(permutation=(0, 2, 1, 3)), (y,), name="join")[0]
    y = b.reshape(y, (1, tokens, heads * depth), name="flat")
    return b.finish(b.dense(y, width, name="out"), name="mqa" if shared else "mha")

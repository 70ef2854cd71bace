"""Inception v3, v4, Inception-ResNet v2 and DenseNet as graphs: published latencies, no weights.

Source: arXiv 1512.00567 and 1602.07261 (figures 3 to 20) as released for TensorFlow; arXiv 1608.06993.
"""

from collections.abc import Sequence

from hw_model.calibrate.net import Net
from hw_model.graph import Graph, ops

Kernel = int | tuple[int, int]
#: One branch of a block: (filters, kernel) or (filters, kernel, stride) for each convolution in turn.
Step = tuple[int, Kernel] | tuple[int, Kernel, int]
Branch = Sequence[Step]


def _branch(net: Net, source: int, layers: Branch) -> int:
    """Convolutions in a row; those with a stride see no padding."""
    for filters, kernel, *stride in layers:
        step = stride[0] if stride else 1
        padding: ops.Padding = "valid" if step > 1 else "same"
        source = net.conv(filters, kernel, step, source=source, padding=padding)
    return source


def _join(net: Net, *tensors: int) -> int:
    return net.emit(ops.Concat(), *tensors)


def _block(net: Net, branches: Sequence[Branch], pooled: int | None) -> int:
    """Branches side by side; `pooled` is the width of the convolution after a 3x3 average."""
    source = net.x
    parts = [_branch(net, source, layers) for layers in branches]
    if pooled is not None:
        net.pool(3, 1, source=source, mode="average")
        parts.append(net.conv(pooled))
    return _join(net, *parts)


def _reduce(net: Net, branches: Sequence[Branch]) -> int:
    """Branches that halve the map, and a maximum beside them."""
    source = net.x
    parts = [_branch(net, source, layers) for layers in branches]
    parts.append(net.pool(3, 2, source=source, padding="valid"))
    return _join(net, *parts)


def inception_v3(size: int = 299) -> Graph:
    """Inception v3. Source: arXiv 1512.00567, table 1 and figures 5 to 7, as released."""
    net = Net(size, size)
    net.conv(32, 3, 2, padding="valid")
    net.conv(32, 3, padding="valid")
    net.conv(64, 3)
    net.pool(3, 2, padding="valid")
    net.conv(80, padding="valid")
    net.conv(192, 3, padding="valid")
    net.pool(3, 2, padding="valid")
    for width in (32, 64, 64):
        _block(net, [[(64, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)]], width)
    _reduce(net, [[(384, 3, 2)], [(64, 1), (96, 3), (96, 3, 2)]])
    for w in (128, 160, 160, 192):
        long: Branch = [(w, 1), (w, (7, 1)), (w, (1, 7)), (w, (7, 1)), (192, (1, 7))]
        _block(net, [[(192, 1)], [(w, 1), (w, (1, 7)), (192, (7, 1))], long], 192)
    _reduce(net, [[(192, 1), (320, 3, 2)], [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)]])
    for _ in range(2):
        _fork(net, 320, 384, (448, 384), 384, 192)
    return net.classify(1001, "inception_v3")


def _fork(net: Net, alone: int, short: int, long: tuple[int, ...], wide: int, pooled: int) -> None:
    """The last blocks: two branches end in a 1x3 and a 3x1 side by side."""
    source = net.x
    parts = [net.conv(alone, source=source)]
    kernels: tuple[Kernel, ...] = (1, 3) if len(long) == 2 else (1, (1, 3), (3, 1))
    deep: Branch = list(zip(long, kernels, strict=True))
    for tip in (_branch(net, source, [(short, 1)]), _branch(net, source, deep)):
        parts += [net.conv(wide, kernel, source=tip) for kernel in ((1, 3), (3, 1))]
    net.pool(3, 1, source=source, mode="average")
    parts.append(net.conv(pooled))
    _join(net, *parts)


def inception_v4(size: int = 299) -> Graph:
    """Inception v4. Source: arXiv 1602.07261, figures 3 to 9."""
    net = Net(size, size)
    net.conv(32, 3, 2, padding="valid")
    net.conv(32, 3, padding="valid")
    net.conv(64, 3)
    source = net.x
    pooled = net.pool(3, 2, padding="valid")
    _join(net, pooled, net.conv(96, 3, 2, source=source, padding="valid"))
    source = net.x
    net.conv(64, source=source)
    short = net.conv(96, 3, padding="valid")
    _branch(net, source, [(64, 1), (64, (1, 7)), (64, (7, 1))])
    _join(net, short, net.conv(96, 3, padding="valid"))
    source = net.x
    strided = net.conv(192, 3, 2, padding="valid")
    _join(net, strided, net.pool(3, 2, source=source, padding="valid"))
    for _ in range(4):
        _block(net, [[(96, 1)], [(64, 1), (96, 3)], [(64, 1), (96, 3), (96, 3)]], 96)
    _reduce(net, [[(384, 3, 2)], [(192, 1), (224, 3), (256, 3, 2)]])
    long: Branch = [(192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))]
    for _ in range(7):
        _block(net, [[(384, 1)], [(192, 1), (224, (1, 7)), (256, (7, 1))], long], 128)
    _reduce(net, [[(192, 1), (192, 3, 2)], [(256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2)]])
    for _ in range(3):
        _fork(net, 256, 384, (384, 448, 512), 256, 256)
    return net.classify(1001, "inception_v4")


def inception_resnet_v2(size: int = 299) -> Graph:
    """Inception-ResNet v2. Source: arXiv 1602.07261, figures 10 to 20, as released (a scale on each residual)."""
    net = Net(size, size)
    net.conv(32, 3, 2, padding="valid")
    net.conv(32, 3, padding="valid")
    net.conv(64, 3)
    net.pool(3, 2, padding="valid")
    net.conv(80, padding="valid")
    net.conv(192, 3, padding="valid")
    net.pool(3, 2, padding="valid")
    _block(net, [[(96, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)]], 64)
    for _ in range(10):
        _residual(net, [[(32, 1)], [(32, 1), (32, 3)], [(32, 1), (48, 3), (64, 3)]])
    _reduce(net, [[(384, 3, 2)], [(256, 1), (256, 3), (384, 3, 2)]])
    for _ in range(20):
        _residual(net, [[(192, 1)], [(128, 1), (160, (1, 7)), (192, (7, 1))]])
    _reduce(
        net, [[(256, 1), (384, 3, 2)], [(256, 1), (288, 3, 2)], [(256, 1), (288, 3), (320, 3, 2)]]
    )
    for _ in range(10):
        _residual(net, [[(192, 1)], [(192, 1), (224, (1, 3)), (256, (3, 1))]])
    net.conv(1536)
    return net.classify(1001, "inception_resnet_v2")


def _residual(net: Net, branches: Sequence[Branch]) -> None:
    source, width = net.x, net.channels()
    net.conv(width, act=None, source=_block(net, branches, None))
    net.emit(ops.Add(activation="relu"), source, net.x)


#: DenseNet-121. Source: arXiv 1608.06993, table 1: layers of each dense block; growth 32.
DENSE_BLOCKS = (6, 12, 24, 16)


def densenet(size: int = 224, growth: int = 32) -> Graph:
    """DenseNet-121; a batch norm and ReLU before each convolution, which cannot be folded, is a scale."""
    net = Net(size, size)
    net.conv(64, 7, 2)
    net.pool(3, 2)
    for index, layers in enumerate(DENSE_BLOCKS):
        for _ in range(layers):
            source = net.x
            net.emit(ops.Scale())
            net.conv(4 * growth)
            _join(net, source, net.conv(growth, 3, act=None))
        net.emit(ops.Scale())
        if index < len(DENSE_BLOCKS) - 1:
            net.conv(net.channels() // 2, act=None)
            net.pool(2, 2, mode="average")
    return net.classify(1000, "densenet121")

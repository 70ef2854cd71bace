"""Public networks outside the zoo whose latencies were published: graphs to check the cost model, no weights."""

import math
import re
from collections.abc import Callable

from hw_model.calibrate.inception_nets import (
    densenet,
    inception_resnet_v2,
    inception_v3,
    inception_v4,
)
from hw_model.calibrate.net import Net
from hw_model.errors import UnknownNameError
from hw_model.graph import Graph, ops

V1_ROWS = (  # MobileNet v1, table 1 of arXiv 1704.04861: (filters, stride) of each separable block
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
)  # fmt: skip
V2_ROWS = (  # MobileNet v2, table 2 of arXiv 1801.04381: (expansion, filters, repeats, stride)
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip
#: VGG, columns D and E of table 1 of arXiv 1409.1556: convolutions per stage.
VGG_STAGES = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}
RESNET_STAGES = {50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}  # arXiv 1512.03385, table 1
#: SqueezeNet (arXiv 1602.07360, table 1): squeeze widths; both expands are four times as wide.
SQUEEZE_FIRES = (16, 16, 32, 32, 48, 48, 64, 64)
LITE_ROWS = (  # EfficientNet-B0, table 1 of arXiv 1905.11946: (kernel, expansion, filters, repeats, stride)
    (3, 1, 16, 1, 1), (3, 6, 24, 2, 2), (5, 6, 40, 2, 2), (3, 6, 80, 3, 2), (5, 6, 112, 3, 1), (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)  # fmt: skip
#: EfficientNet-Lite: width, depth, image size. Source: README of the published models.
LITE_SIZES = ((1.0, 1.0, 224), (1.0, 1.1, 240), (1.1, 1.2, 260), (1.2, 1.4, 280))
INCEPTION_V1 = (  # arXiv 1409.4842, table 1: 1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5 (run as 3x3), pool projection
    (64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None, (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64), (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128), None, (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128),
)  # fmt: skip


def mobilenet_v1(width: float = 1.0, size: int = 224) -> Graph:
    """MobileNet v1. Source: arXiv 1704.04861, table 1."""
    net = Net(size, size)
    net.conv(int(32 * width), 3, 2)
    for filters, stride in V1_ROWS:
        net.depthwise(3, stride)
        net.conv(int(filters * width))
    return net.classify(1001, "mobilenet_v1")


def mobilenet_v2(height: int = 224, width: int = 224) -> Graph:
    """MobileNet v2 1.0. Source: arXiv 1801.04381, table 2."""
    net = Net(height, width)
    net.conv(32, 3, 2, act="relu6")
    for expansion, filters, repeats, first_stride in V2_ROWS:
        for repeat in range(repeats):
            stride = first_stride if repeat == 0 else 1
            net.inverted_bottleneck(expansion, 3, stride, filters)
    net.conv(1280, act="relu6")
    return net.classify(1001, "mobilenet_v2")


def vgg(name: str) -> Graph:
    """VGG with its three dense layers. Source: arXiv 1409.1556, table 1."""
    net = Net(224, 224)
    for repeats, filters in zip(VGG_STAGES[name], (64, 128, 256, 512, 512), strict=True):
        for _ in range(repeats):
            net.conv(filters, 3)
        net.pool(2, 2)
    net.emit(ops.Reshape(shape=(1, 7 * 7 * 512)))
    for units in (4096, 4096, 1000):
        net.emit(ops.Dense(units=units, activation="relu"))
    return net.finish(name)


def resnet(depth: int, size: int = 299, *, version: int) -> Graph:
    """Bottleneck ResNet. Source: arXiv 1512.03385 and 1603.05027.

    Version 2 strides in its last block of a stage, and normalises after each sum, where nothing can fold it.
    """
    net = Net(size, size)
    net.conv(64, 7, 2, act="relu" if version == 1 else None)
    net.pool(3, 2)
    for stage, repeats in enumerate(RESNET_STAGES[depth]):
        width = 64 << stage
        for repeat in range(repeats):
            last = repeat == (0 if version == 1 else repeats - 1)
            stride = 2 if last and (stage > 0 if version == 1 else stage < 3) else 1
            source = net.x
            normal = source if version == 1 else net.emit(ops.Scale())
            if net.channels() != 4 * width:
                shortcut = net.conv(4 * width, 1, stride, act=None, source=normal)
            else:
                shortcut = net.pool(1, stride, source=source) if stride > 1 else source
            net.conv(width, 1, 1 if version == 2 else stride, source=normal)
            net.conv(width, 3, stride if version == 2 else 1)
            net.conv(4 * width, act=None)
            net.emit(ops.Add(activation="relu" if version == 1 else None), shortcut, net.x)
    if version == 2:
        net.emit(ops.Scale())
    return net.classify(1001, f"resnet{depth}_v{version}")


def efficientnet_lite(number: int) -> Graph:
    """EfficientNet without squeeze-excite; stem, head and the outer rows' repeats are not scaled."""
    width, depth, size = LITE_SIZES[number]
    net = Net(size, size)
    net.conv(32, 3, 2, act="relu6")
    for row, (kernel, expansion, filters, repeats, first_stride) in enumerate(LITE_ROWS):
        filters = max(8, int(filters * width + 4) // 8 * 8)
        outer = row in (0, len(LITE_ROWS) - 1)
        for repeat in range(repeats if outer else math.ceil(repeats * depth)):
            stride = first_stride if repeat == 0 else 1
            net.inverted_bottleneck(expansion, kernel, stride, filters)
    net.conv(1280, act="relu6")
    return net.classify(1000, f"efficientnet_lite{number}")


def squeezenet() -> Graph:
    """SqueezeNet 1.0 with the map sizes its paper prints (111, 55, 27, 13). Source: arXiv 1602.07360, table 1.

    The published latency does not name the version; the CPU columns of its table, where milliseconds
    follow multiply-adds, put the network near 0.9 G, and version 1.1 has 0.35 G.
    """
    net = Net(227, 227)
    net.conv(96, 7, 2, padding="valid")
    net.pool(3, 2, padding="valid")
    for index, width in enumerate(SQUEEZE_FIRES):
        if index in (3, 7):
            net.pool(3, 2, padding="valid")
        squeezed = net.conv(width)
        one = net.conv(4 * width, 1, source=squeezed)
        three = net.conv(4 * width, 3, source=squeezed)
        net.emit(ops.Concat(), one, three)
    net.conv(1000)
    net.emit(ops.GlobalPool())
    return net.finish("squeezenet")


def inception_v1() -> Graph:
    """Inception v1 with 3x3 in place of 5x5, as the released TensorFlow one. Source: arXiv 1409.4842, table 1."""
    net = Net(224, 224)
    net.conv(64, 7, 2)
    net.pool(3, 2)
    net.conv(64)
    net.conv(192, 3)
    net.pool(3, 2)
    for row in INCEPTION_V1:
        if row is None:
            net.pool(3, 2)
            continue
        source = net.x
        a = net.conv(row[0], source=source)
        net.conv(row[1], source=source)
        b = net.conv(row[2], 3)
        net.conv(row[3], source=source)
        c = net.conv(row[4], 3)
        net.pool(3, 1, source=source)
        d = net.conv(row[5])
        net.emit(ops.Concat(), a, b, c, d)
    return net.classify(1001, "inception_v1")


def conv_chain(filters: int, *, layers: int = 5, kernel: int = 3, size: int = 64) -> Graph:
    """`layers` equal convolutions on a three-channel image, the form of published micro-benchmarks."""
    net = Net(size, size)
    for _ in range(layers):
        net.conv(filters, kernel)
    return net.finish(f"conv{kernel}x{kernel}x{layers}_f{filters}")


def padded_chain(layers: int) -> Graph:
    """7x7 convolutions at 128x128x32 whose input and output are next to nothing: padding and a mean do that."""
    net = Net(2, 2)
    net.emit(ops.Pad(padding=((0, 0), (0, 126), (0, 126), (0, 0))))
    for _ in range(layers):
        net.conv(32, 7)
    net.emit(ops.GlobalPool())
    return net.finish(f"conv7x7x32_chain_{layers}")


def dense_chain(units: int, layers: int) -> Graph:
    """Equal dense layers on twelve inputs."""
    net = Net(2, 2)
    net.emit(ops.Reshape(shape=(1, 12)))
    for _ in range(layers):
        net.emit(ops.Dense(units=units, activation="relu"))
    return net.finish(f"fc{units}_chain_{layers}")


def transfer(direction: str, height: int, width: int) -> Graph:
    """An image in and one pixel out, or the other way round: what the link alone costs."""
    if direction == "input":
        net = Net(height, width)
        net.emit(ops.Slice(begin=(0, 0, 0, 0), sizes=(1, 1, 1, 3)))
    else:
        net = Net(2, 2)
        net.emit(ops.Pad(padding=((0, 0), (0, height - 2), (0, width - 2), (0, 0))))
    return net.finish(f"{direction}_{height}x{width}")


#: Families of published micro-benchmarks: the form of their names, and how to build one.
_CHAINS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Graph]], ...] = (
    (re.compile(r"conv3x3x5_F(\d+)"), lambda m: conv_chain(int(m[1]))),
    (re.compile(r"conv7x7x32_chain_(\d+)"), lambda m: padded_chain(int(m[1]))),
    (re.compile(r"fc(\d+)_chain_(\d+)"), lambda m: dense_chain(int(m[1]), int(m[2]))),
    (re.compile(r"(input|output)_(\d+)x(\d+)"), lambda m: transfer(m[1], int(m[2]), int(m[3]))),
)
_NETS: dict[str, Callable[[], Graph]] = {
    "mobilenet_v1_1.0_224": mobilenet_v1,
    "mobilenet_v1_0.25_128": lambda: mobilenet_v1(0.25, 128),
    "mobilenet_v2_1.0_224": mobilenet_v2,
    "vgg16_224": lambda: vgg("vgg16"),
    "vgg19_224": lambda: vgg("vgg19"),
    "resnet50_v1_299": lambda: resnet(50, version=1),
    "resnet50_v2_299": lambda: resnet(50, version=2),
    "resnet152_v2_299": lambda: resnet(152, version=2),
    "efficientnet_lite0_224": lambda: efficientnet_lite(0),
    "efficientnet_lite1_240": lambda: efficientnet_lite(1),
    "efficientnet_lite2_260": lambda: efficientnet_lite(2),
    "efficientnet_lite3_280": lambda: efficientnet_lite(3),
    "squeezenet_224": squeezenet,
    "inception_v1_224": inception_v1,
    "inception_v3_224": lambda: inception_v3(224),
    "inception_v3_299": inception_v3,
    "inception_v4_299": inception_v4,
    "inception_resnet_v2_299": inception_resnet_v2,
    "densenet_224": densenet,
}


def reference_net(name: str) -> Graph:
    """The inference graph of a published network; `conv3x3x5_F64` names a chain of five 64-filter layers.

    Raises:
        UnknownNameError: no such network.
    """
    for form, build in _CHAINS:
        if match := form.fullmatch(name):
            return build(match)
    if name not in _NETS:
        raise UnknownNameError("reference network", name, _NETS)
    return _NETS[name]()

"""Relations the papers print: what is faster than what, by how much, and which published order the model keeps.

Shapes are our reconstruction wherever a paper gives the ratio but not the shape.
"""

import pytest

from hw_model import estimate, load_target
from hw_model.calibrate.reference_nets import reference_net
from hw_model.cost import evaluator_for
from hw_model.graph import Graph, GraphBuilder, ops
from hw_model.graph.types import Shape
from model_zoo.registry import spec_of

TARGETS = ("coral_usb", "pixel4", "pixel6")


def op_us(target: str, kind: ops.OpType, shape: Shape, *, start: bool = True) -> float:
    """Time of one operation; `start=False` leaves out what it takes to start it."""
    cost = evaluator_for(load_target(target)).cost(kind, (shape,))
    return cost.chip_us + (cost.overhead_us if start else 0.0)


def conv(filters: int, kernel: int, groups: int = 1) -> ops.Conv2D:
    """A convolution as it is executed."""
    return ops.Conv2D(
        filters=filters, kernel=(kernel, kernel), groups=groups, bias=True, activation="relu"
    )


def block(kind: str, size: int, channels: int, expansion: int = 4, group_size: int = 64) -> Graph:
    """An inverted bottleneck: depthwise, fused, or with a group convolution."""
    b = GraphBuilder()
    x, mid = b.input((1, size, size, channels)), channels * expansion
    if kind == "group":
        y = b.group_conv(x, mid, 3, group_size=group_size, name="group")
    else:
        y = b.conv(x, mid, 3 if kind == "fused" else 1, name="expand")
        y = b.activation(b.batch_norm(y, name="expand_bn"), "relu", name="expand_relu")
    if kind == "depthwise":
        y = b.batch_norm(b.depthwise(y, 3, name="depthwise"), name="depthwise_bn")
        y = b.activation(y, "relu", name="depthwise_relu")
    y = b.batch_norm(b.conv(y, channels, 1, name="project"), name="project_bn")
    return b.finish(y, name=kind)


def block_us(target: str, graph: Graph) -> float:
    """Time of a block's operations."""
    return sum(row.time_us for row in estimate(graph, target=target).rows)


@pytest.mark.parametrize("target", TARGETS)
def test_a_5x5_costs_what_it_computes_when_deep(target: str) -> None:
    """2.78 times the work took 2.71 times as long. Gupta and Akin 2020, figure 4 top."""
    shape = (1, 28, 28, 256)
    ratio = op_us(target, conv(256, 5), shape) / op_us(target, conv(256, 3), shape)
    assert 2.65 < ratio <= 25 / 9 + 1e-9


def test_a_5x5_is_nearly_free_when_shallow() -> None:
    """2.78 times the work took 1.35 times as long. Gupta and Akin 2020, figure 4 bottom."""
    shape = (1, 26, 26, 4)
    ratio = op_us("pixel4", conv(128, 5), shape) / op_us("pixel4", conv(128, 3), shape)
    assert ratio == pytest.approx(1.35, abs=0.05)
    for target in TARGETS:
        assert op_us(target, conv(128, 5), shape) < 1.6 * op_us(target, conv(128, 3), shape)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("channels", "size"), [(64, 56), (128, 28), (512, 14)])
def test_depthwise_costs_twenty_times_as_much_per_multiply(
    target: str, channels: int, size: int
) -> None:
    """3 times as fast at 7 times the operations (21); 24 was fitted to the Coral table. Akin et al. 2022, 4.1."""
    shape = (1, size, size, channels)
    depthwise = ops.DepthwiseConv2D(kernel=(3, 3), bias=True)
    each = [
        op_us(target, kind, shape, start=False) / kind.macs((shape,))
        for kind in (depthwise, conv(channels, 3))
    ]
    assert 20 <= each[0] / each[1] <= 25


@pytest.mark.parametrize("target", TARGETS)
def test_fused_wins_when_shallow_and_loses_when_deep(target: str) -> None:
    """Faster with more parameters for one shape, over twice as slow for another. Gupta and Akin 2020, figure 3."""
    shallow = block("fused", 112, 16, 8), block("depthwise", 112, 16, 8)
    assert shallow[0].param_count > shallow[1].param_count
    assert block_us(target, shallow[0]) < block_us(target, shallow[1])
    deep = block("fused", 14, 256), block("depthwise", 14, 256)
    assert block_us(target, deep[0]) > 2 * block_us(target, deep[1])


def test_fusing_costs_more_the_deeper_it_is_used() -> None:
    """Fused blocks are used early, not late. Akin et al. 2022, sections 4.1 and 4.3."""
    ratios = [
        block_us("coral_usb", block("fused", size, channels))
        / block_us("coral_usb", block("depthwise", size, channels))
        for size, channels in ((56, 32), (28, 64), (14, 128), (7, 256))
    ]
    assert ratios == sorted(ratios)
    assert ratios[-1] > 2.5 * ratios[0]


@pytest.mark.parametrize("target", TARGETS)
def test_groups_below_32_gain_nothing(target: str) -> None:
    """32 is the smallest group worth having: smaller ones save work, not time. Akin et al. 2022, 5.1."""
    times = {
        size: block_us(target, block("group", 28, 128, group_size=size)) for size in (16, 32, 64)
    }
    macs = {size: block("group", 28, 128, group_size=size).macs for size in (16, 32)}
    assert macs[16] < 0.85 * macs[32]
    assert times[16] > times[32] > times[64] * (1 - 1e-9)


def test_few_groups_use_the_array_as_a_full_convolution_does() -> None:
    """Utilization approaches that of the fused block and falls with small groups. Akin et al. 2022, 4.3."""
    target, shape = "coral_usb", (1, 28, 28, 256)
    rate = {
        groups: conv(256, 3, groups).macs((shape,)) / op_us(target, conv(256, 3, groups), shape)
        for groups in (1, 2, 4, 16, 64, 256)
    }
    assert rate[2] == pytest.approx(rate[1]) == pytest.approx(rate[4])
    assert rate[4] > rate[16] > rate[64] > rate[256]


@pytest.mark.parametrize("target", TARGETS)
def test_one_group_is_a_convolution_and_single_channels_are_depthwise(target: str) -> None:
    """Latency is continuous at both ends. Akin et al. 2022, section 4.2."""
    evaluator, shape = evaluator_for(load_target(target)), ((1, 28, 28, 256),)
    depthwise = ops.DepthwiseConv2D(kernel=(3, 3), bias=True, activation="relu")
    assert evaluator.cost(conv(256, 3, 256), shape) == evaluator.cost(depthwise, shape)
    times = [evaluator.cost(conv(256, 3, 2**n), shape).chip_us for n in range(9)]
    assert times == sorted(times, reverse=True)


def test_efficientnet_edgetpu_is_far_faster_than_resnet_on_coral() -> None:
    """Published: 5.1 against 49 ms. Gupta and Akin 2020, figure 5; coral.ai benchmarks."""
    small = estimate(spec_of("efficientnet_edgetpu_s"), target="coral_usb").latency_ms
    large = estimate(reference_net("resnet50_v1_299"), target="coral_usb").latency_ms
    assert large > 7 * small


@pytest.mark.parametrize("target", TARGETS)
def test_swish_and_squeeze_excite_are_expensive(target: str) -> None:
    """Both are left out of the families for their latency. Gupta and Akin 2020; Akin et al. 2022."""

    def tail(kind: str) -> Graph:
        b = GraphBuilder()
        x = b.conv(b.input((1, 28, 28, 64)), 128, 1, name="expand")
        if kind == "squeeze":
            s = b.emit(ops.GlobalPool(keep_dims=True), (x,), name="squeeze")[0]
            s = b.activation(b.conv(s, 32, 1, name="reduce"), "relu", name="act")
            s = b.activation(b.conv(s, 128, 1, name="excite"), "sigmoid", name="gate")
            x = b.emit(ops.Mul(), (x, s), name="scale")[0]
        else:
            x = b.activation(x, "silu" if kind == "swish" else "relu", name="act")
        return b.finish(b.conv(x, 64, 1, name="project"), name=kind)

    plain = block_us(target, tail("relu"))
    assert block_us(target, tail("swish")) > 1.2 * plain
    assert block_us(target, tail("squeeze")) > 1.25 * plain


def test_published_networks_use_a_quarter_of_the_peak() -> None:
    """The Coral chip reached 24 % of its peak on average in Mensa, 25 to 36 % over the official table."""
    names = ("mobilenet_edgetpu_v1_dm1p0", "mobilenet_edgetpu_v2_s", "efficientnet_edgetpu_s")
    used = [estimate(spec_of(name), target="coral_usb").utilization for name in names]
    assert 0.1 < sum(used) / len(used) < 0.36

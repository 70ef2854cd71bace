"""The timeline: resources do one thing at a time, nothing is lost or counted twice, faster hardware is never slower."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_model import Target, list_targets, load_target
from hw_model.cost.simulator import Simulator
from hw_model.graph import Graph, GraphBuilder, ops
from hw_model.mapping.timeline import INBOUND, LANES, Timeline
from model_zoo.registry import spec_of

LAYERS = st.lists(
    st.tuples(
        st.sampled_from(["conv", "pointwise", "depthwise", "group", "add", "host", "pool"]),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=7,
)


def network(layers: list[tuple[str, int]], size: int = 24) -> Graph:
    """A random small network; widths are multiples of 32 so that groups are possible."""
    b = GraphBuilder()
    x = b.conv(b.input((1, size, size, 3)), 64, 3, name="stem")
    for index, (kind, width) in enumerate(layers):
        name, filters = f"{kind}_{index}", 32 * width
        if kind in ("conv", "pointwise"):
            x = b.conv(x, filters, 3 if kind == "conv" else 1, name=name)
        elif kind == "depthwise":
            x = b.depthwise(x, 3, name=name)
        elif kind == "group" and b.shape(x)[3] > 32:
            x = b.group_conv(x, b.shape(x)[3], 3, group_size=32, name=name)
        elif kind == "add":
            x = b.add(x, b.conv(x, b.shape(x)[3], 1, name=f"{name}_branch"), name=name)
        elif kind == "host":
            x = b.emit(ops.Opaque(code="X", output_shapes=(b.shape(x),)), (x,), name=name)[0]
        elif b.shape(x)[1] > 2:
            pool = ops.Pool(mode="max", kernel=(2, 2), stride=(2, 2))
            x = b.emit(pool, (x,), name=name)[0]
    return b.finish(b.global_pool(x, name="end"), name="random")


def check(timeline: Timeline) -> None:
    """What must hold for any timeline."""
    for lane in LANES:
        own = sorted(event for event in timeline.events if event.lane == lane)
        assert all(a.end_us <= b.start_us + 1e-6 for a, b in pairwise(own))
        assert timeline.busy_us(lane) <= timeline.end_us + 1e-6
    link = sorted((e.start_us, e.end_us) for e in timeline.events if e.lane in INBOUND)
    assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(link))
    assert all(0 <= e.start_us < e.end_us <= timeline.end_us + 1e-6 for e in timeline.events)
    assert timeline.end_us <= sum(event.duration_us for event in timeline.events) + 1e-6
    terms_us = timeline.fixed_us + timeline.instruction_us + timeline.input_us + timeline.output_us
    spent_us = sum(spent.total_us for spent in timeline.spent)
    assert terms_us + spent_us == pytest.approx(timeline.end_us)
    assert min(timeline.input_us, timeline.output_us) >= 0
    for spent in timeline.spent:
        assert min(spent.busy_us, spent.start_us, spent.wait_us, spent.spill_us) >= 0
        assert spent.ahead_bytes <= spent.streamed_bytes


@pytest.mark.parametrize("target", list_targets())
@pytest.mark.parametrize("name", ["mobilenet_edgetpu_v2_s", "efficientnet_edgetpu_m"])
def test_timelines_of_the_zoo(name: str, target: str) -> None:
    program, timeline = Simulator(load_target(target)).timeline(spec_of(name).graph())
    check(timeline)
    moved = dict.fromkeys(LANES, 0)
    for event in timeline.events:
        moved[event.lane] += event.moved_bytes
    assert moved["parameters"] == sum(spent.streamed_bytes for spent in timeline.spent)
    assert moved["activations_in"] == program.graph.tensors[program.graph.inputs[0]].size
    assert moved["instructions"] == timeline.instruction_bytes


def scaled(target: Target, **factors: float) -> Target:
    """The target with some constants of its link, array clock or memory multiplied."""
    parts = {"link": target.link, "array": target.array, "memory": target.memory}
    for name, factor in factors.items():
        part = next(key for key, value in parts.items() if hasattr(value, name))
        value = getattr(parts[part], name)
        parts[part] = replace(parts[part], **{name: type(value)(value * factor)})
    return replace(target, **parts)


@given(
    LAYERS,
    st.sampled_from(["coral_usb", "pixel6"]),
    st.sampled_from([1.0, 0.02, 0.0]),
    st.sampled_from([1.0, 0.1, 0.03]),
)
@settings(max_examples=60)
def test_timelines_of_random_networks(
    layers: list[tuple[str, int]], name: str, parameters: float, activations: float
) -> None:
    target = scaled(load_target(name), parameter_bytes=parameters, activation_bytes=activations)
    check(Simulator(target).timeline(network(layers))[1])


@given(
    LAYERS,
    st.sampled_from(["parameter_mb_per_s", "input_mb_per_s", "output_mb_per_s", "clock_mhz"]),
    st.sampled_from([1.01, 1.7, 10.0]),
    st.sampled_from([1.0, 0.03]),
)
@settings(max_examples=60)
def test_faster_links_and_clocks_are_never_slower(
    layers: list[tuple[str, int]], name: str, factor: float, memory: float
) -> None:
    graph = network(layers)
    slow = scaled(load_target("coral_usb"), parameter_bytes=0.02, activation_bytes=memory)
    before, after = (
        Simulator(target).timeline(graph)[1].end_us
        for target in (slow, scaled(slow, **{name: factor}))
    )
    assert after <= before * (1 + 1e-9)


def one(layers: list[tuple[str, int]], target: Target) -> tuple[Timeline, dict[str, int]]:
    """Timeline of a network and its units by name."""
    program, timeline = Simulator(target).timeline(network(layers))
    return timeline, {unit.op.name: index for index, unit in enumerate(program.units)}


def test_parameters_are_fetched_while_the_operation_before_computes() -> None:
    """As far as there is memory: without any, one block of them; with plenty, all of them."""
    layers = [("conv", 8), ("conv", 8)]
    coral = load_target("coral_usb")
    first = 64 * (9 * 3 + 1 + 4) + 256 * (9 * 64 + 4)
    bare = scaled(coral, parameter_bytes=0)
    roomy = replace(coral, memory=replace(coral.memory, parameter_bytes=first + 500_000))
    ahead = []
    for target in (bare, roomy):
        timeline, units = one(layers, target)
        spent = timeline.spent[units["conv_1"]]
        assert spent.streamed_bytes == 256 * (9 * 256 + 4)
        ahead.append(spent.ahead_bytes)
    assert 0 < ahead[0] < ahead[1] <= 500_000


def test_transfers_at_both_ends_hide_behind_work() -> None:
    b = GraphBuilder()
    graph = b.finish(b.conv(b.input((1, 128, 128, 16)), 32, 7, name="only"), name="one")
    coral = load_target("coral_usb")
    _, timeline = Simulator(coral).timeline(graph)
    assert timeline.input_us < 0.2 * 128 * 128 * 16 / coral.link.input_mb_per_s
    array_us = timeline.busy_us("array")
    assert timeline.output_us < 128 * 128 * 32 / coral.link.output_mb_per_s
    assert timeline.end_us < timeline.fixed_us + sum(
        timeline.busy_us(lane) for lane in LANES if lane != "host"
    )
    assert array_us < timeline.end_us


def test_tensors_stay_at_the_host_when_the_host_goes_on_with_them() -> None:
    """Two operations it runs in a row exchange nothing with the chip; neither does one that reads a network input."""
    coral = load_target("coral_usb")

    def crossed(count: int) -> int:
        b = GraphBuilder()
        x = b.conv(b.input((1, 16, 16, 8)), 8, 3, name="conv")
        for index in range(count):
            opaque = ops.Opaque(code="X", output_shapes=((1, 16, 16, 8),))
            x = b.emit(opaque, (x,), name=f"host_{index}")[0]
        graph = b.finish(b.conv(x, 8, 3, name="after"), name="host")
        _, timeline = Simulator(coral).timeline(graph)
        check(timeline)
        return sum(spent.crossed_bytes for spent in timeline.spent)

    assert crossed(1) == crossed(2) == 2 * 16 * 16 * 8
    b = GraphBuilder()
    ids = b.emit(ops.Embedding(rows=50, width=32), (b.input((1, 20)),), name="look_up")[0]
    graph = b.finish(b.dense(ids, 16, name="dense"), name="embedding")
    _, timeline = Simulator(coral).timeline(graph)
    assert timeline.spent[0].crossed_bytes == 20 * 32
    assert timeline.input_bytes == 0


def test_views_alone_leave_the_call() -> None:
    b = GraphBuilder()
    x = b.reshape(b.input((1, 4, 4, 8)), (1, 128), name="flat")
    _, timeline = Simulator(load_target("pixel6")).timeline(b.finish(x, name="view"))
    check(timeline)
    assert timeline.end_us == timeline.fixed_us + timeline.instruction_us

"""The block analyzer: what a block costs alone, and when it is never useful."""

import pytest

from hw_model.errors import SpecError, UnknownNameError
from hw_model.targets import load_target
from model_zoo import create_spec
from model_zoo.spec import Stack
from pipelines.search.block_analyzer import BlockMeter, Grid, Place, stack_graph, sweep
from pipelines.search.domination import Worth, dominated_in

LATE = (Place(height=14, width=14, channels=128), Place(height=7, width=7, channels=256))


def stack(kind: str = "dw", *, kernel: int = 3, group_size: int | None = None) -> Stack:
    return Stack(kind=kind, kernel=kernel, expansion=4, filters=64, group_size=group_size)  # type: ignore[arg-type]


def test_a_block_alone_is_the_block_of_the_network() -> None:
    """Parameters of all stacks on their own, and of stem and head, are those of the network."""
    spec = create_spec("mobilenet_edgetpu_v2_s")
    whole = spec.graph()
    channels, height, width = spec.backbone.stem.filters, 112, 112
    params = macs = 0
    for part in spec.backbone.stacks:
        graph = stack_graph(part, Place(height=height, width=width, channels=channels))
        params += graph.param_count
        macs += graph.macs
        channels = part.filters
        height, width = -(-height // part.stride), -(-width // part.stride)
    inside = [op for op in whole.ops if op.name.startswith("stack_")]
    assert params == sum(p.size for op in inside for p in whole.params(op))
    assert macs == sum(op.type.macs(whole.input_shapes(op)) for op in inside)


@pytest.mark.parametrize("name", ["pixel6", "coral_usb"])
def test_what_starts_an_inference_is_left_out(name: str) -> None:
    """Twice the same block takes twice the time of one, fixed time and transfers aside."""
    meter = BlockMeter(load_target(name))
    place = Place(height=28, width=28, channels=64)
    one = meter.cost(stack(), place)
    twice = Stack(kind="dw", expansion=4, filters=64, repeats=2)
    assert meter.cost(twice, place).latency_us == pytest.approx(2 * one.latency_us)
    assert meter.cost(twice, place).energy_uj == pytest.approx(2 * one.energy_uj)
    assert 0 < one.utilization < 1
    assert one.why.startswith("Slowest: ")


def test_a_sweep_costs_what_is_legal_and_says_why_the_rest_is_not() -> None:
    grid = Grid(
        places=(Place(height=8, width=8, channels=24), *LATE), kernels=(3,), expansions=(4,)
    )
    asked = []
    found = sweep(load_target("pixel6"), grid, advance=lambda: asked.append(1))
    assert len(asked) == len(grid) == 3 * 6
    assert len(found.costs) + len(found.illegal) == len(grid)
    assert {s.group_size for p, s in found.illegal if p.channels == 24} == {64, 128}
    assert all("try" in problem for problem in found.illegal.values())


def test_impossible_groups_raise_by_themselves() -> None:
    with pytest.raises(SpecError, match="group_size"):
        stack_graph(stack("group_fused", group_size=48), LATE[0])
    with pytest.raises(UnknownNameError, match="analytical"):
        BlockMeter(load_target("pixel6"), "analytic")


def test_domination_asks_for_everything_at_once() -> None:
    """More of every good thing, and faster in all three cases by more than the error on both sides."""
    base = Worth(params=10, macs=10, kernel=3, latencies_us=(1.0, 1.0, 1.0))

    def other(params: int = 10, kernel: int = 3, *, last: float = 1.2) -> Worth:
        return Worth(params=params, macs=10, kernel=kernel, latencies_us=(1.2, 1.2, last))

    assert base.beats(other(), 0.05)
    assert not base.beats(other(), 0.1)
    assert not base.beats(other(params=11), 0.05)
    assert not base.beats(other(kernel=5), 0.05)
    assert not base.beats(other(last=1.05), 0.05)
    assert not base.beats(base, 0.0)


@pytest.mark.parametrize("name", ["pixel6", "coral_usb"])
def test_small_groups_are_the_first_that_never_pay(name: str) -> None:
    """Groups below 32 were left out of the published space after this analysis. Akin et al. 2022, 5.1.

    The reason is that of the paper: smaller groups do less in more time.
    """
    grid = Grid(places=LATE, kernels=(3,), expansions=(4,), group_sizes=(8, 16, 32, 64))
    found = sweep(load_target(name), grid)
    useless = dominated_in(found)
    gone = {s.group_size: 0 for s in grid.stacks(1) if s.kind == "group_fused"}
    for _, one in useless:
        if one.group_size:
            gone[one.group_size] += 1
    assert gone[8] == gone[16] == len(LATE)
    assert gone[16] >= gone[32] >= gone[64]
    costs = {(cost.place, cost.stack): cost for cost in found.costs}
    for (place, one), by in useless.items():
        mine, better = costs[place, one], costs[place, by]
        assert better.latency_us < mine.latency_us
        assert better.params >= mine.params
        assert better.macs >= mine.macs
    assert not any(
        by_stack in {s for p, s in useless if p == place}
        for (place, _), by_stack in useless.items()
    )


def test_fused_blocks_have_the_most_of_everything_and_always_stay() -> None:
    found = sweep(load_target("pixel6"), Grid(places=LATE))
    assert not any(one.kind == "fused" for _, one in dominated_in(found))

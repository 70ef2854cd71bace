"""The block analyzer: what a block costs alone, and when it is never useful."""

import pytest

from hw_model.errors import SpecError, UnknownNameError
from hw_model.targets import load_target
from model_zoo import create_spec
from model_zoo.spec import Stack
from pipelines.search.block_analyzer import BlockMeter, Grid, Place, stack_graph, sweep
from pipelines.search.domination import Worth, WorthMeter, dominated_in

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


GROUPS = Grid(places=LATE, kernels=(3,), expansions=(4,), group_sizes=(8, 16, 32, 64))


@pytest.mark.parametrize("name", ["pixel6", "coral_usb"])
def test_groups_below_32_do_less_in_more_time(name: str) -> None:
    """32 is the smallest group of the published space, after this analysis. Akin et al. 2022, 5.1."""
    found = sweep(load_target(name), GROUPS)
    gone = dict.fromkeys(GROUPS.group_sizes, 0)
    for _, one in dominated_in(found):
        if one.group_size:
            gone[one.group_size] += 1
    assert gone[8] == len(LATE)
    assert gone[8] >= gone[16] >= gone[32] >= gone[64]
    for place in LATE:
        small, published = (
            next(cost for cost in found.at(place) if cost.stack.group_size == size)
            for size in (16, 32)
        )
        assert small.params < published.params
        assert small.macs < published.macs
        assert small.latency_us > 1.1 * published.latency_us


def test_groups_of_16_are_pruned_unless_streaming_hides_what_they_lose() -> None:
    """On Pixel 6 they never pay. On Coral's USB link parameters take most of the time, and the lead of
    larger groups is then within the evaluator's error: so they stay."""
    pruned = {s.group_size for _, s in dominated_in(sweep(load_target("pixel6"), GROUPS))}
    assert 16 in pruned
    meter = WorthMeter(load_target("coral_usb"), "analytical")
    for place in LATE:
        sizes = {
            stack.group_size: meter.worth(stack, place)
            for stack in GROUPS.stacks(place.channels)
            if stack.group_size
        }
        kept, streamed, _ = (
            large / small
            for large, small in zip(sizes[32].latencies_us, sizes[16].latencies_us, strict=True)
        )
        assert kept < 0.95 < streamed


@pytest.mark.parametrize("name", ["pixel6", "coral_usb"])
def test_what_dominates_is_better_and_itself_undominated(name: str) -> None:
    found = sweep(load_target(name), Grid(places=LATE))
    useless = dominated_in(found)
    assert useless
    costs = {(cost.place, cost.stack): cost for cost in found.costs}
    for (place, one), by in useless.items():
        mine, better = costs[place, one], costs[place, by]
        assert better.latency_us < mine.latency_us
        assert better.params >= mine.params
        assert better.macs >= mine.macs
        assert (place, by) not in useless


def test_fused_blocks_have_the_most_of_everything_and_always_stay() -> None:
    found = sweep(load_target("pixel6"), Grid(places=LATE))
    assert not any(one.kind == "fused" for _, one in dominated_in(found))

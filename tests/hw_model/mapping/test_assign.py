"""Layers over several accelerators: the cheapest of all cuts, never worse than one accelerator, honest to the byte."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_model import Target, estimate, list_targets, load_target
from hw_model.cost import CostReport
from hw_model.errors import UnknownNameError, UsageError
from hw_model.graph import Graph, GraphBuilder, to_inference
from hw_model.mapping import assign as module
from hw_model.mapping.assign import Assignment, assign, targets_named
from hw_model.targets.loader import FOLDER
from model_zoo.registry import spec_of


def targets(*names: str, free: bool = False) -> tuple[Target, ...]:
    """Targets; free ones cost nothing to start."""
    found = tuple(load_target(name) for name in names)
    if not free:
        return found
    return tuple(
        replace(
            one,
            overhead=replace(one.overhead, inference_us=0.0),
            link=replace(one.link, instruction_bytes_base=0),
        )
        for one in found
    )


def complementary() -> tuple[Target, ...]:
    """Two accelerators of which each lacks what the other has, free to start."""
    conv, depthwise = targets("pixel6", "pixel4", free=True)
    without = ("DepthwiseConv2D", *conv.host.ops), ("Add", "Conv2D", *depthwise.host.ops)
    return (
        replace(conv, host=replace(conv.host, ops=without[0])),
        replace(depthwise, host=replace(depthwise.host, ops=without[1])),
    )


def skipping(depth: int, widths: list[int]) -> Graph:
    """A network whose first map is read again at its end, with a depthwise and a wide part between."""
    b = GraphBuilder()
    x = first = b.conv(b.input((1, 16, 16, 3)), 16, 3, name="stem")
    for index in range(depth):
        x = b.conv(x, widths[index % len(widths)], 1, name=f"wide_{index}")
        x = b.conv(b.depthwise(x, 3, name=f"depthwise_{index}"), 16, 1, name=f"thin_{index}")
    x = b.dense(b.global_pool(b.add(x, first, name="sum"), name="pool"), 300, name="logits")
    return b.finish(x, name="skipping")


def by_hand(
    graph: Graph, reports: tuple[CostReport, ...], where: tuple[int, ...], objective: str
) -> float:
    """Latency in us or energy in uJ of operation `i` on target `where[i]`, counted call by call with plain sets."""
    total = 0.0
    for which, group in itertools.groupby(range(len(where)), key=lambda index: where[index]):
        inside, report = list(group), reports[which]
        target = report.target
        link, terms = target.link, report.model_terms
        on_chip = [row.binding not in ("none", "host") for row in report.rows]
        share = sum(on_chip[index] for index in inside) / sum(on_chip)
        base_us = min(link.instruction_bytes_base / link.input_mb_per_s, terms.instruction_us)
        extra_bytes = terms.instruction_bytes - link.instruction_bytes_base
        instructions = link.instruction_bytes_base + share * extra_bytes
        written = {tensor for index in inside for tensor in graph.ops[index].outputs}
        reads = {tensor for index in inside for tensor in graph.ops[index].inputs} - written
        later = {
            tensor
            for index in range(inside[-1] + 1, len(where))
            for tensor in graph.ops[index].inputs
        }
        leaves = written & (later | set(graph.outputs))
        in_bytes, out_bytes = (
            sum(graph.tensors[t].size_bytes for t in tensors) for tensors in (reads, leaves)
        )
        us = terms.fixed_us + sum(report.rows[index].time_us for index in inside)
        us += base_us + share * (terms.instruction_us - base_us)
        us += in_bytes / link.input_mb_per_s + out_bytes / link.output_mb_per_s
        if objective == "latency":
            total += us
            continue
        moved = in_bytes + out_bytes + instructions
        total += us * target.energy.idle_w + moved * target.energy.input_bus_transfer_pj * 1e-6
        total += sum(report.rows[index].energy_pj for index in inside) * 1e-6
    return total


@pytest.mark.parametrize("objective", ["latency", "energy"])
@pytest.mark.parametrize(
    "chosen",
    [
        complementary(),
        targets("edgetpu_v1", "mensa_jacquard", free=True),
        targets("coral_usb", "pixel4"),
    ],
    ids=["complementary", "free", "shipped"],
)
def test_no_cut_of_a_small_network_is_cheaper(objective: Any, chosen: tuple[Target, ...]) -> None:
    """Against every one of the assignments of a network with a skip connection."""
    graph = to_inference(skipping(2, [48, 200]))
    found = assign(graph, chosen, objective=objective)
    assert len(graph.ops) <= 11
    reports = tuple(estimate(graph, target=one) for one in chosen)
    cheapest = min(
        by_hand(graph, reports, where, objective)
        for where in itertools.product(range(len(chosen)), repeat=len(graph.ops))
    )
    mine = found.latency_ms if objective == "latency" else found.energy_mj
    assert mine * 1e3 == pytest.approx(cheapest, rel=1e-9)


def test_a_network_is_cut_where_it_pays() -> None:
    """Each part goes where it is cheap: the figures of its calls are those counted by hand."""
    graph = to_inference(skipping(2, [48, 200]))
    chosen = complementary()
    found = assign(graph, chosen)
    assert [one.target_name for one in found.segments] == [
        "pixel6", "pixel4", "pixel6", "pixel4", "pixel6",
    ]  # fmt: skip
    assert [one.operations for one in found.segments[1::2]] == [1, 1]
    # The map that the sum reads again waits at the host while the calls between run.
    stem_bytes, thin_bytes = 16 * 16 * 16, 16 * 16 * 200
    assert found.segments[4].input_bytes == thin_bytes + stem_bytes
    assert found.segments[0].output_bytes == 16 * 16 * 48 + stem_bytes
    assert found.gain > 1.5
    where = tuple(
        [one.name for one in chosen].index(segment.target_name)
        for segment in found.segments
        for _ in range(segment.operations)
    )
    reports = tuple(estimate(graph, target=one) for one in chosen)
    assert found.energy_mj * 1e3 == pytest.approx(by_hand(graph, reports, where, "energy"))
    assert found.latency_ms * 1e3 == pytest.approx(by_hand(graph, reports, where, "latency"))
    starts = list(itertools.accumulate((one.latency_ms for one in found.segments), initial=0.0))
    assert [one.start_ms for one in found.segments] == pytest.approx(starts[:-1])


@settings(max_examples=60)
@given(
    st.integers(1, 6),
    st.lists(st.sampled_from((16, 48, 64, 200, 512)), min_size=1, max_size=4),
    st.lists(st.sampled_from(list_targets()), min_size=1, max_size=4, unique=True),
    st.sampled_from(("latency", "energy")),
)
def test_never_worse_than_the_best_alone(
    depth: int, widths: list[int], names: list[str], objective: Any
) -> None:
    graph = skipping(depth, widths)
    found = assign(graph, targets(*names), objective=objective)
    assert found.gain >= 1 - 1e-9
    assert sum(one.operations for one in found.segments) == len(to_inference(graph).ops)
    neighbours = itertools.pairwise(one.target_name for one in found.segments)
    assert all(left != right for left, right in neighbours)
    if len(names) == 1:
        assert len(found.segments) == 1


@pytest.mark.parametrize("name", list_targets())
def test_one_accelerator_alone_costs_what_its_report_says(name: str) -> None:
    spec = spec_of("mobilenet_edgetpu_v2_s")
    (alone,) = assign(spec.graph(), targets(name)).alone
    report = estimate(spec, target=name)
    assert alone.latency_ms == pytest.approx(report.latency_ms)
    assert alone.energy_mj == pytest.approx(report.energy_mj)


def test_the_shared_set_is_better_than_each_of_its_members() -> None:
    spec = spec_of("mobilenet_edgetpu_v2_s")
    for objective in module.OBJECTIVES:
        found = assign(spec.graph(), targets_named("mensa"), objective=objective)
        assert found.gain > 1
        assert {one.target_name for one in found.segments} <= {
            one.target_name for one in found.alone
        }


def test_sets_names_and_files_name_targets() -> None:
    names = [name for name in list_targets() if name.startswith("mensa_")]
    assert [one.name for one in targets_named("mensa")] == names
    mixed = targets_named(f"pixel6, {FOLDER / 'pixel4.toml'},edgetpu")
    assert [one.name for one in mixed[:2]] == ["pixel6", "pixel4"]
    assert [one.name for one in mixed[2:]] == ["edgetpu_v1", "edgetpu_v2", "edgetpu_v3"]
    with pytest.raises(UnknownNameError, match="Did you mean pixel6"):
        targets_named("pixle6")


def test_what_cannot_be_scheduled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = skipping(1, [16])
    with pytest.raises(UsageError, match="different names"):
        assign(graph, targets("pixel6", "pixel6"))
    with pytest.raises(UsageError, match="different names"):
        assign(graph, ())
    with pytest.raises(UsageError, match="latency or energy"):
        assign(graph, targets("pixel6"), objective="speed")  # type: ignore[arg-type]
    monkeypatch.setattr(module, "MAX_OPERATIONS", 3)
    with pytest.raises(UsageError, match="1 to 3 operations"):
        assign(graph, targets("pixel6"))


def test_grouped_convolutions_stay_whole_where_all_targets_take_them_so() -> None:
    b = GraphBuilder()
    x = b.group_conv(b.input((1, 8, 8, 64)), 64, 3, group_size=32, name="group")
    graph = b.finish(x, name="grouped")
    pair = targets("pixel4", "pixel6")
    native = tuple(replace(one, group_form="native") for one in pair)
    counts = [
        sum(one.operations for one in assign(graph, chosen).segments)
        for chosen in (pair, native, (pair[0], native[1]))
    ]
    assert counts == [4, 1, 4]


def test_the_simulator_can_be_asked_too() -> None:
    found = assign(skipping(2, [48]), targets("coral_usb", "pixel6"), evaluator="simulator")
    assert found.evaluator_ids[0].startswith("simulator-")
    assert found.gain >= 1 - 1e-9


def test_the_answer_is_plain_values(tmp_path: Path) -> None:
    found: Assignment = assign(skipping(2, [48]), targets_named("mensa"))
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["latency_ms"] == found.latency_ms
    assert [one["target_name"] for one in data["alone"]] == [one.target_name for one in found.alone]
    assert sum(one["latency_ms"] for one in data["segments"]) == pytest.approx(found.latency_ms)

"""The simulator: rows add up, it agrees with the analytical evaluator where that should hold, and runs everything."""

import importlib.util
import json
import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model import estimate, list_targets, load_target
from hw_model.calibrate.correlate import correlate
from hw_model.cost.simulator import Simulator
from hw_model.errors import SpecError
from hw_model.graph import Graph, GraphBuilder, ops, to_inference
from hw_model.graph.ops import OP_TYPES
from hw_model.io.html import render_html
from hw_model.io.text import format_report
from model_zoo.registry import entries, spec_of
from pipelines.search.spaces import space_entry


def samples() -> dict[str, tuple[ops.OpType, tuple[tuple[int, ...], ...]]]:
    """One operation of each kind with the shapes it reads, as the analytical evaluator's tests list them."""
    path = Path(__file__).with_name("test_analytical.py")
    found = importlib.util.spec_from_file_location("analytical_samples", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    result: dict[str, Any] = module.SAMPLES
    return result


SAMPLES = samples()


#: Teachers never run on a chip, and the keys of one block exceed the memory of small ones.
TEACHERS = ("ib_bert_large", "bert_minilm_l6_h384")
DEPLOYED = tuple(name for name in entries() if name not in TEACHERS)


@pytest.mark.parametrize("target", list_targets())
@pytest.mark.parametrize("name", DEPLOYED)
def test_rows_and_terms_add_up(name: str, target: str) -> None:
    report = estimate(spec_of(name), target=target, evaluator="simulator")
    plain = estimate(spec_of(name), target=target)
    rows_us = sum(row.time_us for row in report.rows)
    assert rows_us + report.model_terms.total_us == pytest.approx(report.latency_ms * 1e3)
    assert sum(report.energy_by_component_mj.values()) == pytest.approx(report.energy_mj)
    assert report.macs == plain.macs == sum(row.macs for row in report.rows)
    assert report.parameter_bytes == plain.parameter_bytes
    assert [row.name for row in report.rows] == [row.name for row in plain.rows]
    assert all(0 <= row.utilization <= 1 and row.why for row in report.rows)
    assert report.active_energy_mj > 0.8 * plain.active_energy_mj


@pytest.mark.parametrize("target", list_targets())
@pytest.mark.parametrize("kind", OP_TYPES)
def test_every_kind_of_operation_runs(kind: str, target: str) -> None:
    op, shapes = SAMPLES[kind]
    b = GraphBuilder()
    inputs = [b.input(shape, name=f"in_{index}") for index, shape in enumerate(shapes)]
    out = b.emit(op, inputs, name="op")
    graph = b.finish({str(index): each for index, each in enumerate(out)}, name=kind)
    report = estimate(graph, target=target, evaluator="simulator")
    assert report.latency_ms * 1e3 > report.model_terms.fixed_us
    assert sum(row.time_us for row in report.rows) + report.model_terms.total_us == pytest.approx(
        report.latency_ms * 1e3
    )
    assert format_report(report, slowest=None)


def test_a_cost_is_a_function_of_its_inputs_alone() -> None:
    """Neither the order of calls nor what is remembered changes a report; it survives being pickled."""
    target = load_target("pixel6")
    names = tuple(entries())[:6]
    fresh = [Simulator(target).report(spec_of(name).graph()) for name in names]
    warm = Simulator(target)
    for name in reversed(names):
        warm.report(spec_of(name).graph())
    assert [warm.report(spec_of(name).graph()) for name in names] == fresh
    again = pickle.loads(pickle.dumps(fresh[0]))
    assert again.rows == fresh[0].rows
    assert json.loads(json.dumps(again.to_dict(), allow_nan=False))["evaluator_id"] == "simulator-3"


@pytest.mark.parametrize("form", ["split", "native"])
def test_a_converted_graph_costs_what_was_predicted(form: Any) -> None:
    target = replace(load_target("pixel6"), group_form=form)
    graph = spec_of("mobilenet_edgetpu_v2_s").graph()
    assert estimate(graph, target=target, evaluator="simulator") == estimate(
        to_inference(graph, group_form=form), target=target, evaluator="simulator"
    )


def test_a_tflite_file_is_simulated() -> None:
    path = next((Path(__file__).parents[1] / "io").rglob("*.tflite"))
    report = estimate(path, target="coral_usb", evaluator="simulator")
    assert report.latency_ms > 0
    assert "bound by" in format_report(report)
    assert render_html(report).startswith("<!doctype html>")


def random_graphs(count: int) -> list[Graph]:
    """Networks of the classification space at 224 pixels, every gene uniform."""
    space = space_entry("mobilenet_edgetpu_v2").make(image_size=224, channels=3, num_classes=1000)
    rng = random.Random(1)
    graphs: list[Graph] = []
    while len(graphs) < count:
        try:
            spec = space.bind([rng.randrange(size) for size in space.cardinalities])
        except SpecError:
            continue
        graphs.append(spec.graph())
    return graphs


@pytest.mark.parametrize("target", ["pixel6", "coral_usb"])
def test_the_analytical_evaluator_agrees_on_random_networks(target: str) -> None:
    """160 us root mean square, the figure of the paper; 1,000 networks are compared by a benchmark.

    Source: Gupta and Akin 2020, figure 2.
    """
    fast, slow = (
        np.array([estimate(g, target=target, evaluator=e).latency_ms for g in random_graphs(20)])
        for e in ("analytical", "simulator")
    )
    assert 1e3 * float(np.sqrt(np.mean((fast - slow) ** 2))) <= 160
    assert correlate(fast.tolist(), slow.tolist()).spearman >= 0.99


def one(b: GraphBuilder, x: int) -> Graph:
    """The graph that ends here."""
    return b.finish(x, name="one")


def test_reasons_say_what_would_help() -> None:
    b = GraphBuilder()
    x = b.input((1, 1024))
    for index in range(9):
        x = b.dense(x, 1024, name=f"dense_{index}")
    rows = estimate(one(b, x), target="coral_usb", evaluator="simulator").rows
    assert rows[-1].binding == "parameter_streaming"
    assert "kB less before it they would stay" in rows[-1].why
    b = GraphBuilder()
    wide = b.conv(b.input((1, 512, 512, 16)), 64, 3, name="wide")
    (row,) = estimate(one(b, wide), target="coral_usb", evaluator="simulator").rows
    assert "slabs of rows, as activations exceed 3,146 kB" in row.why


def test_slabs_are_paid_for_in_energy() -> None:
    """Parameters read again for each slab, and rows two tiles need, are counted."""
    b = GraphBuilder()
    x = b.input((1, 128, 128, 3))
    for index in range(3):
        x = b.conv(x, 128, 3, name=f"conv_{index}")
    small = load_target("coral_usb")
    large = replace(small, memory=replace(small.memory, activation_bytes=1 << 26))
    graph = one(b, x)
    before, after = (
        estimate(graph, target=target, evaluator="simulator").energy_by_component_mj
        for target in (large, small)
    )
    assert after["wide_byte_access"] > 2 * before["wide_byte_access"]
    assert after["ring_bus"] > before["ring_bus"]
    assert after["int_multiply"] == before["int_multiply"]


@pytest.mark.parametrize("memory", [1, 1000, 20_000])
def test_degenerate_targets_are_refused_or_run(memory: int) -> None:
    """Without memory for a tile the operation is named; without parameter memory everything is streamed."""
    target = load_target("pixel6")
    tiny = replace(target, memory=replace(target.memory, activation_bytes=memory))
    bare = replace(target, memory=replace(target.memory, parameter_bytes=0))
    refused = []
    for name in entries():
        graph = spec_of(name).graph()
        try:
            Simulator(tiny).report(graph)
        except SpecError as error:
            refused.append(error)
        report = Simulator(bare).report(graph)
        assert report.streamed_bytes >= report.parameter_bytes
    assert all(error.path.startswith("ops[") for error in refused)
    assert all("activation_bytes" in error.problem for error in refused)
    assert len(refused) == len(entries()) or memory > 1000

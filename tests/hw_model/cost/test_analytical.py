"""The evaluator: totals equal their parts, equal inputs cost the same, memory and host behave as described."""

import json
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_model import Target, estimate, list_targets, load_target
from hw_model.cost import CEILINGS, Analytical, CostReport, evaluator_for
from hw_model.cost import analytical as module
from hw_model.graph import Graph, GraphBuilder, ops, to_inference
from hw_model.graph.ops import OP_TYPES
from hw_model.graph.types import Shape
from model_zoo.registry import entries, spec_of

NAMES = tuple(entries())
IMAGE: Shape = (1, 8, 8, 16)
SAMPLES: dict[str, tuple[ops.OpType, tuple[Shape, ...]]] = {
    "Activation": (ops.Activation(function="sigmoid"), (IMAGE,)),
    "Add": (ops.Add(), (IMAGE, IMAGE)),
    "ArgMax": (ops.ArgMax(), (IMAGE,)),
    "BatchNorm": (ops.BatchNorm(), (IMAGE,)),
    "Concat": (ops.Concat(), (IMAGE, IMAGE)),
    "Conv2D": (ops.Conv2D(filters=8, kernel=(3, 3)), (IMAGE,)),
    "Dense": (ops.Dense(units=10), ((1, 16),)),
    "DepthwiseConv2D": (ops.DepthwiseConv2D(kernel=(3, 3)), (IMAGE,)),
    "Dropout": (ops.Dropout(rate=0.1), (IMAGE,)),
    "Elementwise": (ops.Elementwise(function="maximum"), (IMAGE, IMAGE)),
    "Embedding": (ops.Embedding(rows=100, width=16), ((1, 12),)),
    "Gather": (ops.Gather(), ((1, 12, 16), (1, 3))),
    "GlobalPool": (ops.GlobalPool(), (IMAGE,)),
    "GroupConv2D": (ops.GroupConv2D(filters=16, group_size=8, kernel=(3, 3)), (IMAGE,)),
    "LayerNorm": (ops.LayerNorm(), ((1, 12, 16),)),
    "MaskAdder": (ops.MaskAdder(value=-120.0), ((1, 12),)),
    "MatMul": (ops.MatMul(), ((1, 4, 12, 16), (1, 4, 16, 12))),
    "Mul": (ops.Mul(), (IMAGE, (1, 1, 1, 16))),
    "Opaque": (ops.Opaque(code="NMS", output_shapes=((1, 10, 4),)), (IMAGE,)),
    "Pad": (ops.Pad(padding=((0, 0), (1, 1), (1, 1), (0, 0))), (IMAGE,)),
    "Pool": (ops.Pool(mode="max", kernel=(2, 2), stride=(2, 2)), (IMAGE,)),
    "PositionEmbedding": (ops.PositionEmbedding(rows=20), ((1, 12, 16),)),
    "Quantize": (ops.Quantize(dtype="int8"), (IMAGE,)),
    "QuantizedArgMax": (ops.QuantizedArgMax(), (IMAGE,)),
    "Reduce": (ops.Reduce(function="sum", axes=(-1,)), (IMAGE,)),
    "Rescale": (ops.Rescale(factor=0.5), (IMAGE,)),
    "Reshape": (ops.Reshape(shape=(1, 1024)), (IMAGE,)),
    "Resize": (ops.Resize(mode="bilinear", size=(16, 16)), (IMAGE,)),
    "Scale": (ops.Scale(), (IMAGE,)),
    "ScaleShift": (ops.ScaleShift(), (IMAGE,)),
    "Shift": (ops.Shift(steps=1), ((1, 12, 16),)),
    "Slice": (ops.Slice(begin=(0, 0, 0, 0), sizes=(1, 4, 4, 16)), (IMAGE,)),
    "Softmax": (ops.Softmax(), ((1, 10),)),
    "Split": (ops.Split(parts=2), (IMAGE,)),
    "TiedLogits": (ops.TiedLogits(table="words", rows=30, width=8), ((1, 3, 16),)),
    "Transpose": (ops.Transpose(permutation=(0, 2, 1, 3)), (IMAGE,)),
    "TransposeConv2D": (
        ops.TransposeConv2D(filters=8, kernel=(3, 3), stride=(2, 2), size=(16, 16)),
        (IMAGE,),
    ),
}


def small() -> Graph:
    """A network with one of each block."""
    b = GraphBuilder()
    x = b.conv(b.input((1, 32, 32, 3)), 32, 3, stride=2, name="stem")
    x = b.activation(b.batch_norm(x, name="bn"), "relu", name="relu")
    y = b.group_conv(x, 64, 3, group_size=32, name="group")
    y = b.batch_norm(b.conv(y, 32, 1, name="project"), name="project_bn")
    x = b.depthwise(b.add(x, y, name="add"), 3, name="depthwise")
    x = b.softmax(b.dense(b.global_pool(x, name="pool"), 10, name="logits"), name="probs")
    return b.finish(x, name="small")


def dense_chain(layers: int, width: int = 1024) -> Graph:
    """Dense layers of `width` x `width` parameters each."""
    b = GraphBuilder()
    x = b.input((1, width))
    for index in range(layers):
        x = b.dense(x, width, name=f"dense_{index}")
    return b.finish(x, name="chain")


@pytest.mark.parametrize("target", list_targets())
@pytest.mark.parametrize("name", NAMES)
def test_the_rows_add_up_to_the_report(name: str, target: str) -> None:
    report = estimate(spec_of(name), target=target)
    rows_us = sum(row.time_us for row in report.rows)
    assert rows_us + report.model_terms.total_us == pytest.approx(report.latency_ms * 1e3)
    assert sum(report.energy_by_component_mj.values()) == pytest.approx(report.energy_mj)
    assert sum(row.macs for row in report.rows) == report.macs == spec_of(name).graph().macs
    assert report.active_energy_mj < report.energy_mj
    assert 0 < report.utilization < 1
    assert all(0 <= row.utilization <= 1 and row.why for row in report.rows)


@pytest.mark.parametrize("form", ["split", "native"])
def test_a_converted_graph_costs_what_was_predicted(form: str) -> None:
    target = replace(load_target("pixel6"), group_form=form)
    assert estimate(small(), target=target) == estimate(
        to_inference(small(), group_form=form), target=target
    )


def test_cost_is_a_function_of_its_inputs_alone() -> None:
    """Neither the order of calls nor what is remembered changes a report; it survives being pickled."""
    target = load_target("pixel6")
    fresh = [Analytical(target).report(spec_of(name).graph()) for name in NAMES]
    warm = Analytical(target)
    for name in reversed(NAMES):
        warm.report(spec_of(name).graph())
    assert [warm.report(spec_of(name).graph()) for name in NAMES] == fresh
    again = pickle.loads(pickle.dumps(fresh[0]))
    assert again == fresh[0]
    assert again.rows == fresh[0].rows


def test_what_is_remembered_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CACHE_LIMIT", 4)
    evaluator = Analytical(load_target("pixel6"))
    assert evaluator.report(small()) == estimate(small(), target="pixel6")
    assert len(evaluator._costs) <= 4


def test_every_operation_has_a_sample() -> None:
    assert set(SAMPLES) == set(OP_TYPES)


@pytest.mark.parametrize("target", list_targets())
@pytest.mark.parametrize("kind", SAMPLES)
def test_every_operation_can_be_costed(kind: str, target: str) -> None:
    evaluator = evaluator_for(load_target(target))
    op, shapes = SAMPLES[kind]
    cost = evaluator.cost(op, shapes)
    free = kind in ("Split", "Reshape", "Dropout")
    assert (cost.chip_us + cost.overhead_us == 0) == free
    assert (cost.pj == 0) == free
    assert cost.macs == op.macs(shapes)


def test_parameters_are_cached_in_whole_layers_first_come() -> None:
    target = load_target("coral_usb")
    layer = estimate(dense_chain(1), target=target).parameter_bytes
    fitting = target.memory.parameter_bytes // layer
    assert estimate(dense_chain(fitting), target=target).streamed_bytes == 0
    over = estimate(dense_chain(fitting + 2), target=target)
    assert over.streamed_bytes == 2 * layer
    assert [row.binding for row in over.rows].count("parameter_streaming") == 2
    assert over.rows[-1].binding == "parameter_streaming"
    assert "do not fit beside earlier layers" in over.rows[-1].why


def test_streaming_is_a_slope_and_not_a_cliff() -> None:
    """2.15 ms for each MiB beyond the memory, as an independent fit of the published Coral table has it."""
    times = [estimate(dense_chain(n), target="coral_usb").latency_ms for n in range(4, 20)]
    layer_mib = estimate(dense_chain(1), target="coral_usb").parameter_bytes / 2**20
    slope = (times[-1] - times[-2]) / layer_mib
    assert slope == pytest.approx(2.15, rel=0.05)
    steps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert max(steps) == pytest.approx(steps[-1])


def test_parameters_stream_again_for_each_pass_of_large_activations() -> None:
    target = load_target("coral_usb")
    target = replace(target, memory=replace(target.memory, parameter_bytes=0))
    b = GraphBuilder()
    graph = b.finish(b.conv(b.input((1, 512, 512, 16)), 16, 3, name="conv"), name="wide")
    report = estimate(graph, target=target)
    passes = -(-2 * 2 * 512 * 512 * 16 // target.memory.activation_bytes)
    assert passes == 6
    assert report.streamed_bytes == passes * report.parameter_bytes


def test_operations_the_chip_lacks_cost_host_time() -> None:
    b = GraphBuilder()
    graph = b.finish(
        b.emit(ops.ArgMax(), (b.input((1, 256, 256, 32)),), name="best")[0], name="argmax"
    )
    coral, pixel = estimate(graph, target="coral_usb"), estimate(graph, target="pixel6")
    assert (coral.rows[0].binding, pixel.rows[0].binding) == ("host", "activation_fetch")
    assert coral.rows[0].time_us > 20 * pixel.rows[0].time_us
    assert "does not run on the accelerator" in coral.rows[0].why


def test_an_operation_left_in_floats_runs_on_the_host() -> None:
    run = to_inference(small())
    tensors = list(run.tensors)
    last = run.ops[-1].outputs[0]
    tensors[last] = replace(tensors[last], dtype="float32")
    report = estimate(replace(run, tensors=tuple(tensors)), target="pixel6")
    assert [row.name for row in report.rows if row.binding == "host"] == ["probs"]
    assert "float Softmax" in report.rows[-1].why


def test_faster_hardware_is_never_slower() -> None:
    base = load_target("pixel6")
    graph = spec_of("efficientnet_edgetpu_s").graph()
    before = estimate(graph, target=base).latency_ms
    better: list[Target] = [
        replace(base, array=replace(base.array, clock_mhz=2000.0)),
        replace(base, array=replace(base.array, pe_rows=8)),
        replace(base, array=replace(base.array, activation_fetch_bytes_per_cycle=16)),
        replace(base, array=replace(base.array, drain_cycles=8)),
        replace(base, memory=replace(base.memory, parameter_bytes=1 << 24)),
        replace(base, link=replace(base.link, parameter_mb_per_s=64e3)),
        replace(base, overhead=replace(base.overhead, op_us=1.0)),
    ]
    after = [estimate(graph, target=target).latency_ms for target in better]
    assert max(after) <= before
    # Parameters this target streams are hidden behind multiplying: memory for them and a faster link gain nothing.
    assert sum(latency_ms < before for latency_ms in after) >= 5


@given(
    st.integers(1, 48),
    st.integers(1, 200),
    st.integers(1, 200),
    st.sampled_from([1, 3, 5]),
    st.booleans(),
)
@settings(max_examples=200)
def test_any_convolution_obeys_its_ceilings(
    size: int, fan_in: int, fan_out: int, kernel: int, depthwise: bool
) -> None:
    target = load_target("pixel6")
    b = GraphBuilder()
    image = b.input((1, size, size, fan_in))
    x = (
        b.depthwise(image, kernel, name="x")
        if depthwise
        else b.conv(image, fan_out, kernel, name="x")
    )
    (row,) = estimate(b.finish(x, name="one"), target=target).rows
    assert row.binding in (*CEILINGS, "overhead", "parameter_streaming")
    assert row.utilization <= target.overhead.mapping_efficiency + 0.01
    assert row.time_us > target.overhead.op_us
    assert all(count >= 0 for count in row.bytes_by_level.values())


def test_reports_compare_hash_and_serialize() -> None:
    report = estimate(small(), target="coral_usb")
    text = json.dumps(report.to_dict(), allow_nan=False)
    data = json.loads(text)
    assert data["latency_ms"] == report.latency_ms
    assert [row["name"] for row in data["rows"]] == [row.name for row in report.rows]
    assert "rows" not in report.to_dict(rows=False)
    assert report.slowest(2)[0].time_us == max(row.time_us for row in report.rows)
    assert len(report.slowest(2)) == 2
    assert isinstance(report, CostReport)

"""Features of the learned cost model: a row for each operation that takes time, and figures that are the counters'."""

import numpy as np
import pytest

from hw_model import load_target
from hw_model.cost import Analytical
from hw_model.cost.features import Reader, _run_max
from hw_model.graph import Graph, GraphBuilder, ops, to_inference
from model_zoo import create_spec
from model_zoo.registry import entries, spec_of

TARGETS = ("coral_usb", "pixel6")
BYTES_ALIVE, STREAMED = -28, -25  # of the columns of `_context`, 10 before the 18 of the neighbours


def chain(*kinds: ops.OpType, side: int = 16, channels: int = 8) -> Graph:
    """Operations one after the other."""
    builder = GraphBuilder()
    x = builder.input((1, side, side, channels))
    for index, kind in enumerate(kinds):
        (x,) = builder.emit(kind, [x], name=f"op{index}")
    return builder.finish(x, name="chain")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", sorted(entries())[::3])
def test_rows_are_the_operations_that_take_time_and_one_more(name: str, target: str) -> None:
    graph = spec_of(name).graph()
    inputs = Reader(load_target(target)).read(graph)
    busy = sum(not part.work.free for part in inputs.parts)
    assert inputs.x.shape == (
        busy + 1,
        Reader(load_target(target)).read(chain(ops.Scale())).x.shape[1],
    )
    assert inputs.base.shape == (busy + 1, 3)
    assert np.isfinite(inputs.x).all()
    assert (inputs.base >= 0).all()


@pytest.mark.parametrize("target", TARGETS)
def test_base_is_what_the_analytical_evaluator_counts(target: str) -> None:
    chosen = load_target(target)
    graph = create_spec("mobilenet_edgetpu_v2_l").graph()
    inputs, report = Reader(chosen).read(graph), Analytical(chosen).report(graph)
    link = inputs.base[:-1, 1]
    chip = inputs.base[:-1, 0]
    overhead = np.array([inputs.parts[row].cost.overhead_us for row in inputs.rows])
    latency_us = (np.maximum(chip - overhead, link) + overhead).sum() + report.model_terms.total_us
    assert latency_us == pytest.approx(report.latency_ms * 1e3, rel=1e-9)
    moved_pj = report.model_terms.moved_bytes * chosen.energy.input_bus_transfer_pj
    active_pj = inputs.base[:, 2].sum() + moved_pj
    assert active_pj * 1e-9 == pytest.approx(report.active_energy_mj, rel=1e-9)
    assert (link > 0).sum() == sum(row.bytes_by_level["link"] > 0 for row in report.rows)


def test_a_quantized_graph_gives_the_rows_of_the_float_one() -> None:
    target = load_target("coral_usb")
    graph = spec_of("mobilenet_edgetpu_v2_xs").graph()
    plain = Reader(target).read(graph)
    quantized = Reader(target).read(to_inference(graph, group_form=target.group_form))
    assert np.array_equal(plain.x, quantized.x)
    assert np.array_equal(plain.base, quantized.base)


def test_what_a_reader_remembers_changes_nothing() -> None:
    target = load_target("pixel6")
    warm = Reader(target)
    for name in sorted(entries())[:4]:
        warm.read(spec_of(name).graph())
    graph = spec_of("mobilenet_edgetpu_v2_m").graph()
    assert np.array_equal(warm.read(graph).x, Reader(target).read(graph).x)


def test_equal_operations_differ_by_what_is_around_them() -> None:
    same = ops.Conv2D(filters=8, kernel=(3, 3))
    x = Reader(load_target("pixel6")).read(chain(same, ops.Scale(), same, same)).x
    own = 42
    assert np.array_equal(x[0, :own], x[2, :own])
    assert not np.array_equal(x[0], x[2])
    assert not np.array_equal(x[2], x[3])


def test_bytes_alive_count_a_residual_until_it_is_added() -> None:
    builder = GraphBuilder()
    start = builder.input((1, 64, 64, 32))
    (a,) = builder.emit(ops.Scale(), [start], name="a")
    (b,) = builder.emit(ops.Scale(), [a], name="b")
    (c,) = builder.emit(ops.Scale(), [b], name="c")
    (d,) = builder.emit(ops.Add(), [a, c], name="d")
    target = load_target("pixel6")
    x = Reader(target).read(builder.finish(d, name="residual")).x
    alive = 2 ** x[:-1, BYTES_ALIVE] * target.memory.activation_bytes
    tensor = 64 * 64 * 32
    assert alive.round().tolist() == [2 * tensor, 2 * tensor, 3 * tensor, 3 * tensor]


def test_parameters_beyond_the_memory_are_streamed_and_later_ones_that_fit_are_not() -> None:
    target = load_target("coral_usb")
    large = ops.Conv2D(filters=768, kernel=(3, 3))
    small = ops.Conv2D(filters=8, kernel=(1, 1))
    read = Reader(target).read(chain(large, large, small, channels=768, side=4))
    assert read.streamed == (False, True, False)
    assert read.x[:-1, STREAMED].tolist() == [0.0, 1.0, 0.0]
    assert (read.base[:-1, 1] > 0).tolist() == [False, True, False]


def test_sliced_neighbours_share_the_largest_fill() -> None:
    fill = np.array([3.0, 1.0, 2.0, 5.0, 1.0, 4.0])
    sliced = np.array([False, True, True, False, True, True])
    assert _run_max(fill, sliced).tolist() == [0.0, 2.0, 2.0, 0.0, 4.0, 4.0]

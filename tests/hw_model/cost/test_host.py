"""What operations on the host spare each other: one call for neighbours, one crossing for a tensor."""

from dataclasses import replace

import pytest

from hw_model import load_target
from hw_model.calibrate.profile import Profile, scales_of
from hw_model.cost import Analytical, evaluator_for
from hw_model.cost.batch import PartCoster
from hw_model.cost.host import Spared, spared_in
from hw_model.cost.rows import executed
from hw_model.graph import Graph, GraphBuilder, ops
from hw_model.targets import Target
from model_zoo.registry import spec_of

SIZE, BYTES = (1, 16, 16, 8), 16 * 16 * 8
EVALUATORS = ("analytical", "simulator")


def network(*kinds: str) -> Graph:
    """Convolutions, operations on the host, and views, one after the other."""
    b = GraphBuilder()
    x = b.input(SIZE)
    for index, kind in enumerate(kinds):
        name = f"{kind}_{index}"
        if kind == "chip":
            x = b.conv(x, 8, 3, name=name)
        elif kind == "host":
            x = b.emit(ops.Opaque(code="X", output_shapes=(SIZE,)), (x,), name=name)[0]
        else:
            x = b.reshape(x, SIZE, name=name)
    return b.finish(x, name="mixed")


def detector() -> Graph:
    """Boxes and scores leave the chip, are made floats one after the other, and are chosen from together."""
    b = GraphBuilder()
    x = b.conv(b.input(SIZE), 8, 3, name="conv")
    codes, scores = b.conv(x, 4, 1, name="codes"), b.conv(x, 8, 1, name="scores")
    reals = [
        b.emit(ops.Opaque(code="DEQUANTIZE", output_shapes=(b.shape(y),)), (y,), name=name)[0]
        for name, y in (("real_codes", codes), ("real_scores", scores))
    ]
    chosen = ops.Opaque(code="POSTPROCESS", output_shapes=((1, 10, 4),))
    return b.finish(b.emit(chosen, reals, name="choose")[0], name="detector")


def slower(target: Target, us: float) -> Target:
    """The target with a longer way to the host."""
    host = replace(target.host, dispatch_us=int(target.host.dispatch_us + us))
    return replace(target, host=host)


@pytest.mark.parametrize("evaluator", EVALUATORS)
@pytest.mark.parametrize(
    ("kinds", "calls"),
    [
        (("chip", "host", "chip"), 1),
        (("chip", "host", "host", "host"), 1),
        (("chip", "host", "view", "host", "chip"), 1),
        (("chip", "host", "chip", "host", "chip"), 2),
        (("host", "host", "chip", "host", "host"), 2),
    ],
)
def test_neighbours_share_one_call(evaluator: str, kinds: tuple[str, ...], calls: int) -> None:
    target, graph = load_target("pixel6"), network(*kinds)
    before, after = (
        evaluator_for(each, evaluator).report(graph).latency_ms
        for each in (target, slower(target, 1000))
    )
    assert after - before == pytest.approx(calls)


@pytest.mark.parametrize("evaluator", EVALUATORS)
def test_post_processing_is_one_call(evaluator: str) -> None:
    target, graph = load_target("pixel6"), detector()
    before, after = (
        evaluator_for(each, evaluator).report(graph).latency_ms
        for each in (target, slower(target, 1000))
    )
    assert after - before == pytest.approx(1)


def test_what_is_at_the_host_is_not_sent_again() -> None:
    target = load_target("coral_usb")
    graph = network("chip", "host", "host", "chip", "host", "chip")
    found = spared_in(executed(graph, target), target)
    assert list(found.values()) == [
        Spared(0, 0, BYTES), Spared(1, BYTES, 0), Spared(0, 0, 0)
    ]  # fmt: skip
    assert Spared(0, BYTES, 0).us(target) == pytest.approx(BYTES / target.link.output_mb_per_s)
    assert Spared(1, 0, BYTES).us(target) == pytest.approx(
        target.host.dispatch_us + BYTES / target.link.input_mb_per_s
    )


def test_a_tensor_the_chip_reads_as_well_comes_back() -> None:
    target, b = load_target("coral_usb"), GraphBuilder()
    x = b.conv(b.input(SIZE), 8, 3, name="conv")
    opaque = ops.Opaque(code="X", output_shapes=(SIZE,))
    y = b.emit(opaque, (x,), name="first")[0]
    z = b.emit(opaque, (y,), name="second")[0]
    graph = b.finish(b.conv(b.add(y, z, name="add"), 8, 3, name="end"), name="both")
    found = spared_in(executed(graph, target), target)
    assert list(found.values()) == [Spared(0, 0, 0), Spared(1, BYTES, 0)]


@pytest.mark.parametrize("name", ["pixel6", "coral_usb"])
@pytest.mark.parametrize("evaluator", [*EVALUATORS, "learned"])
def test_rows_spare_what_the_report_spares(name: str, evaluator: str) -> None:
    """Times and energies of rows add up to the report's, and no row is paid to run."""
    for graph in (detector(), network("host", "host", "chip", "view", "host", "host")):
        report = evaluator_for(load_target(name), evaluator).report(graph)
        total_us = sum(row.time_us for row in report.rows) + report.model_terms.total_us
        assert report.latency_ms == pytest.approx(total_us / 1e3)
        total_pj = sum(row.energy_pj for row in report.rows)
        total_pj += report.model_terms.moved_bytes * report.target.energy.input_bus_transfer_pj
        assert report.active_energy_mj == pytest.approx(total_pj * 1e-9)
        assert all(row.time_us >= 0 and row.bytes_by_level["link"] >= 0 for row in report.rows)


def test_one_operation_on_the_host_costs_what_it_did() -> None:
    """Its own call, its bytes out and back, and the host's pass over them."""
    for name in ("pixel6", "coral_usb"):
        target = load_target(name)
        (row,) = (
            row
            for row in Analytical(target).report(network("chip", "host", "chip")).rows
            if row.binding == "host"
        )
        link, host = target.link, target.host
        crossing_us = BYTES / link.output_mb_per_s + BYTES / link.input_mb_per_s
        assert row.time_us == pytest.approx(
            host.dispatch_us + 2 * BYTES / host.mb_per_s + crossing_us
        )


@pytest.mark.parametrize("name", ["pixel6", "coral_usb"])
def test_profiles_and_populations_spare_it_too(name: str) -> None:
    target = load_target(name)
    spec = spec_of("mobilebert_edgetpu_xxs")
    for graph in (detector(), network("chip", "host", "host"), spec.graph()):
        expected = Analytical(target).report(graph).latency_ms
        assert Profile(target, graph).latency_ms(scales_of(target)) == pytest.approx(expected)
    assert PartCoster(Analytical(target))(spec).latency_ms == (
        Analytical(target).report(spec.graph()).latency_ms
    )

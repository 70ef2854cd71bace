"""Energy: within what is published for the chip, dominated by what should dominate, ranked as latency is."""

from dataclasses import replace

import pytest

from hw_model import estimate, list_targets, load_target
from hw_model.calibrate.correlate import correlate
from hw_model.calibrate.reference_nets import conv_chain, reference_net
from hw_model.cost import ENERGY_COMPONENTS
from model_zoo.registry import match, spec_of


def test_components_are_the_registers_of_the_chip() -> None:
    """Source: names of the EnergyTable registers in libedgetpu."""
    assert set(ENERGY_COMPONENTS) == {
        "idle", "ring_bus", "nlu_active", "wide_byte_access", "narrow_mem_word_access", "int_multiply",
        "int_adder", "float32_adder", "input_bus_transfer", "wide_data_transfer",
    }  # fmt: skip


def test_mobilenet_v2_on_coral_lies_within_published_bounds() -> None:
    """At least 1 pJ per multiply-add with all cached (0.3 mJ), at most 2.5 ms at 1 to 2 W (5 mJ)."""
    report = estimate(reference_net("mobilenet_v2_1.0_224"), target="coral_usb")
    assert 0.3 < report.energy_mj < 5.0
    assert 0.3 < report.energy_mj / report.latency_ms < 1.2, (
        "a stick draws 0.58 to 1.2 W while running"
    )


def test_a_full_array_draws_the_published_two_watts() -> None:
    """2 W at 4 TOPS is 1 pJ per multiply-add, everything included."""
    rows = estimate(conv_chain(512, layers=2, kernel=7), target="coral_usb").rows
    row = rows[1]
    target = load_target("coral_usb")
    idle_pj_per_mac = target.energy.idle_w / (target.peak_gmacs_per_s * 1e9) * 1e12
    assert row.energy_pj / row.macs + idle_pj_per_mac == pytest.approx(1.0, abs=0.1)


def test_streaming_networks_are_dominated_by_the_link() -> None:
    report = estimate(reference_net("vgg16_224"), target="coral_usb")
    streamed = report.energy_by_component_mj["wide_data_transfer"]
    assert streamed > 0.5 * report.active_energy_mj
    assert streamed > 0.9 * report.streamed_bytes * 170e-9


@pytest.mark.parametrize("target", ["coral_usb", "pixel6"])
def test_energy_ranks_as_latency_does(target: str) -> None:
    """Akin et al. 2022, section 5.5: the energy trend of networks that classify follows the latency trend."""
    names = match("*", task="classification")
    reports = [estimate(spec_of(name), target=target) for name in names]
    found = correlate([r.active_energy_mj for r in reports], [r.latency_ms for r in reports])
    assert found.spearman > 0.9


def test_active_energy_leaves_idle_power_out() -> None:
    report = estimate(spec_of("mobilenet_edgetpu_v2_s"), target="pixel6")
    idle_w = load_target("pixel6").energy.idle_w
    assert report.energy_mj - report.active_energy_mj == pytest.approx(idle_w * report.latency_ms)


@pytest.mark.parametrize("target", list_targets())
def test_the_interval_holds_the_figure_and_follows_its_prices(target: str) -> None:
    report = estimate(spec_of("mobilenet_edgetpu_v2_s"), target=target)
    for figure, (low, high) in (
        (report.active_energy_mj, report.active_energy_interval_mj),
        (report.energy_mj, report.energy_interval_mj),
    ):
        assert 0 < low < figure < high
    chosen = load_target(target)
    priced = replace(chosen, energy=chosen.energy_low, constants=())
    assert estimate(report.graph, target=priced).active_energy_mj == pytest.approx(
        report.active_energy_interval_mj[0]
    )


def test_the_papers_procedure_averages_over_idle_time() -> None:
    """At as many inferences a second as fit, mean active power times latency is the active energy."""
    report = estimate(spec_of("mobilenet_edgetpu_v2_s"), target="pixel6")
    full_rate = 1e3 / report.latency_ms
    assert report.protocol_energy_mj(full_rate) == pytest.approx(report.active_energy_mj)
    assert report.protocol_energy_mj() == pytest.approx(report.active_energy_mj * 30 / full_rate)

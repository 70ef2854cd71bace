"""The fit finds scales it was given, agrees with the evaluator, and refuses what it cannot know."""

from dataclasses import replace

import pytest

from hw_model import load_target
from hw_model.calibrate.fit import Profile, declared_scales, fit
from hw_model.cost import Analytical
from hw_model.errors import UsageError
from hw_model.graph import Graph
from hw_model.targets import Target
from model_zoo.registry import entries, spec_of


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    """Six networks of different size and kind."""
    return [spec_of(name).graph() for name in list(entries())[::2]]


def scaled(target: Target, **scales: float) -> Target:
    """The target with other nuisance scales."""
    return replace(target, overhead=replace(target.overhead, **scales))


@pytest.mark.parametrize("name", ["pixel6", "coral_usb"])
def test_a_profile_says_what_the_evaluator_says(name: str, graphs: list[Graph]) -> None:
    target = scaled(load_target(name), mapping_efficiency=0.3, op_us=2.5, inference_us=70.0)
    for graph in graphs:
        expected = Analytical(target).report(graph).latency_ms
        assert Profile(load_target(name), graph).latency_ms(target.overhead) == pytest.approx(
            expected
        )


def test_scales_are_found_again(graphs: list[Graph]) -> None:
    truth = scaled(load_target("pixel6"), mapping_efficiency=0.4, op_us=2.0)
    measured = [Analytical(truth).report(graph).latency_ms for graph in graphs]
    found = fit(load_target("pixel6"), graphs, measured)
    assert found.scales == pytest.approx({"mapping_efficiency": 0.4, "op_us": 2.0}, rel=1e-3)
    assert found.left_out.mape < 1e-3


def test_a_row_left_out_does_not_help_itself(graphs: list[Graph]) -> None:
    """One absurd measurement is off by as much when left out, and by less when it takes part."""
    target = load_target("pixel6")
    measured = [Analytical(target).report(graph).latency_ms for graph in graphs]
    measured[0] *= 3
    found = fit(target, graphs, measured)
    truth = measured[0] / 3
    assert found.left_out_ms[0] == pytest.approx(truth, rel=0.01)
    assert found.predicted_ms[0] > 1.05 * truth


def test_only_declared_scales_are_fitted() -> None:
    assert declared_scales(load_target("pixel6")) == ("mapping_efficiency", "op_us")
    assert declared_scales(load_target("coral_usb")) == ("mapping_efficiency", "inference_us")


def test_too_few_rows_or_no_scale_are_refused(graphs: list[Graph]) -> None:
    target = load_target("pixel6")
    with pytest.raises(UsageError, match="need at least 4 rows. Received: 3"):
        fit(target, graphs[:3], [1.0, 2.0, 3.0])
    with pytest.raises(UsageError, match="fits 1 to 3 scales"):
        fit(replace(target, constants=()), graphs, [1.0] * len(graphs))

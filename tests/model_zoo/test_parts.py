"""Lowering in parts: what is remembered by its key is what would have been said again."""

import pytest
from hypothesis import given, settings
from strategies import detection_specs, specs

from hw_model import load_target
from hw_model.cost import Analytical
from hw_model.cost.batch import PartCoster, SpecCost, coster_for
from model_zoo.registry import match, spec_of
from model_zoo.spec import ModelSpec


@given(spec=specs())
@settings(max_examples=200, deadline=None)
def test_costs_of_parts_are_those_of_the_whole(spec: ModelSpec) -> None:
    _check(spec)


@given(spec=detection_specs())
@settings(max_examples=100, deadline=None)
def test_costs_of_nodes_are_those_of_the_whole(spec: ModelSpec) -> None:
    _check(spec)


def _check(spec: ModelSpec) -> None:
    target = load_target("pixel4")
    found = coster_for(target)(spec)
    report = Analytical(target).report(spec.graph())
    expected = [getattr(report, name) for name in SpecCost._fields[:-1]]
    assert list(found) == [*expected, spec.graph().param_count]


@pytest.mark.parametrize("name", match("*", task="detection"))
def test_a_detector_is_said_in_parts(name: str) -> None:
    coster = PartCoster(Analytical(load_target("pixel6")))
    coster(spec_of(name))
    assert len(coster.parts) > 8

"""Lowering in parts: what is remembered by its key is what would have been said again."""

from hypothesis import given, settings
from strategies import specs

from hw_model import load_target
from hw_model.cost import Analytical
from hw_model.cost.batch import SpecCost, coster_for
from model_zoo.spec import ModelSpec


@given(spec=specs())
@settings(max_examples=200, deadline=None)
def test_costs_of_parts_are_those_of_the_whole(spec: ModelSpec) -> None:
    target = load_target("pixel4")
    found = coster_for(target)(spec)
    report = Analytical(target).report(spec.graph())
    expected = [getattr(report, name) for name in SpecCost._fields[:-1]]
    assert list(found) == [*expected, spec.graph().param_count]

"""Spaces: specs with open leaves, bound by genotypes."""

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model.errors import SpecError, UsageError
from model_zoo.registry import spec_of
from model_zoo.spec import ModelSpec, Space, Stack, is_open, one_of


def _space() -> Space[ModelSpec]:
    """Last two stacks of Tiny opened: kind, group size, depth, and one width shared by both."""
    spec = spec_of("mobilenet_edgetpu_v2_tiny")
    width: int = one_of(96, 128, name="width")
    rows = (
        *spec.backbone.stacks[:17],
        Stack(
            kind=one_of("dw", "fused", "group_fused"),
            filters=width,
            expansion=4,
            group_size=one_of(32, 64),
        ),
        Stack(kind="dw", filters=width, kernel=one_of(3, 5), expansion=4, repeats=one_of(0, 1, 2)),
    )
    return Space(replace(spec, backbone=replace(spec.backbone, stacks=rows)))


def test_choices_have_paths_and_shared_names() -> None:
    space = _space()
    assert [choice.path for choice in space.choices] == [
        "backbone.stacks[17].kind",
        "width",
        "backbone.stacks[17].group_size",
        "backbone.stacks[18].kernel",
        "backbone.stacks[18].repeats",
    ]
    assert space.cardinalities == (3, 2, 2, 2, 3)
    assert space.size() == 72


@given(st.tuples(*(st.integers(0, n - 1) for n in (3, 2, 2, 2, 3))))
def test_every_genotype_binds_and_equal_networks_are_equal_specs(genotype: tuple[int, ...]) -> None:
    space = _space()
    kind, width, group, kernel, repeats = genotype
    spec = space.bind(genotype)
    rows = spec.backbone.stacks
    assert len(rows) == (18 if repeats == 0 else 19)
    assert rows[17].filters == (96, 128)[width]
    assert (rows[17].group_size is None) == (kind != 2)
    if kind != 2:
        assert space.bind((kind, width, 1 - group, kernel, repeats)) == spec
    if repeats == 0:
        assert space.bind((kind, width, group, 1 - kernel, repeats)) == spec


def test_a_point_by_values_is_the_genotype() -> None:
    space = _space()
    point = {
        "backbone.stacks[17].kind": "fused",
        "width": 128,
        "backbone.stacks[17].group_size": 32,
        "backbone.stacks[18].kernel": 5,
        "backbone.stacks[18].repeats": 2,
    }
    assert space.encode(point) == (1, 1, 0, 1, 2)
    assert space.bind(point) == space.bind((1, 1, 0, 1, 2))
    with pytest.raises(UsageError, match="width must be one of"):
        space.encode(point | {"width": 100})
    with pytest.raises(UsageError, match="no choice 'depth'"):
        space.encode(point | {"depth": 1})
    with pytest.raises(UsageError, match="has 5 entries"):
        space.bind((0, 0))


def test_a_fixed_spec_is_a_space_with_one_point() -> None:
    spec = spec_of("mobilenet_edgetpu_v2_s")
    space = Space(spec)
    assert space.cardinalities == ()
    assert space.bind(()) == spec


@pytest.mark.parametrize("values", [(), (3, 3)])
def test_a_choice_needs_distinct_values(values: tuple[Any, ...]) -> None:
    with pytest.raises(SpecError):
        one_of(*values)


def test_a_shared_name_has_one_set_of_values() -> None:
    spec = spec_of("mobilenet_edgetpu_v2_tiny")
    stem = replace(spec.backbone.stem, filters=one_of(16, 32, name="w"))
    row = replace(spec.backbone.stacks[0], filters=one_of(16, 24, name="w"))
    backbone = replace(spec.backbone, stem=stem, stacks=(row, *spec.backbone.stacks[1:]))
    with pytest.raises(SpecError, match="other values"):
        Space(replace(spec, backbone=backbone))


def test_what_is_open_is_told_of_copies_and_of_what_holds_them() -> None:
    spec = spec_of("mobilenet_edgetpu_v2_tiny")
    assert isinstance(spec, ModelSpec)
    for same in (spec, copy.copy(spec), copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert same == spec
        assert not is_open(same)
        assert same.graph() == spec.graph()
    stacks = spec.stacked.stacks
    wide = replace(stacks[1], filters=one_of(24, 32))
    space = replace(spec, backbone=replace(spec.stacked, stacks=(stacks[0], wide, *stacks[2:])))
    for each in (wide, space.backbone, space, pickle.loads(pickle.dumps(space))):
        assert is_open(each)
    with pytest.raises(SpecError, match="open choices"):
        space.graph()
    with pytest.raises(SpecError, match="filters"):
        replace(wide, filters=0)

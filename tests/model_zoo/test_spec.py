"""Specs: strict JSON both ways, identity, rules with paths."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from strategies import specs

from hw_model.errors import SpecError
from hw_model.graph import verify
from model_zoo.create import create_spec
from model_zoo.registry import entries, spec_of
from model_zoo.spec import Backbone, ModelSpec, Stack, diff, from_json


@settings(max_examples=200)
@given(specs())
def test_json_reads_back_equal_and_every_spec_lowers_to_a_legal_graph(spec: ModelSpec) -> None:
    again = from_json(spec.to_json())
    assert again == spec
    assert again.spec_id == spec.spec_id
    verify(spec.graph())


def test_every_registered_architecture_has_its_own_identity() -> None:
    ids = {name: spec_of(name).spec_id for name in entries()}
    assert len(set(ids.values())) == len(ids) >= 13


def test_identity_is_pinned() -> None:
    # A changed id orphans every stored study and preset: change it only with a new spec version.
    assert spec_of("mobilenet_edgetpu_v2_s").spec_id == "27920738a667"


def _broken(change: Any) -> str:
    data = json.loads(spec_of("mobilenet_edgetpu_v2_tiny").to_json())
    change(data)
    return json.dumps(data)


def _set(path: str, value: Any) -> Any:
    def change(data: Any) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in parents:
            data = data[part]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (_set("backbone/stacks/2/kernel", "3"), "backbone.stacks[2].kernel"),
        (_set("backbone/stacks/2/kernel", 0), "backbone.stacks[2].kernel"),
        (_set("backbone/stacks/2/kernel", True), "backbone.stacks[2].kernel"),
        (_set("backbone/stacks/2/kernle", 3), "backbone.stacks[2].kernle"),
        (_set("backbone/stacks/2/group_size", 50), "backbone.stacks[2].group_size"),
        (_set("backbone/stacks/8/group_size", 64), "backbone.stacks[8].group_size"),
        (_set("backbone/stacks/1/kind", "fuse"), "backbone.stacks[1].kind"),
        (_set("backbone/drop_connect", 1.0), "backbone.drop_connect"),
        (_set("backbone/stacks", []), "backbone.stacks"),
        (_set("backbone/stem", None), "backbone.stem"),
        (_set("head/type", "Head"), "head.type"),
        (_set("head/dropout", float("nan")), "NaN"),
        (_set("input/height", 16), "input"),
        (_set("family", "mobilenet"), "family"),
        (_set("version", 2), "version"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(change: Any, path: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_json(_broken(change))
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


def test_duplicate_and_missing_keys_are_refused() -> None:
    text = spec_of("mobilenet_edgetpu_v2_tiny").to_json()
    with pytest.raises(SpecError, match="appears twice"):
        from_json(text.replace('"family":', '"family":"efficientnet_edgetpu","family":', 1))
    with pytest.raises(SpecError, match=r"input\.height: is missing"):
        from_json(text.replace('"height":224,', ""))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "[" * 5000, "\x00", '{"a":1}'])
def test_text_that_is_no_spec_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SpecError):
        from_json(text)


def test_an_impossible_group_size_says_what_would_work() -> None:
    row = Stack(kind="group_fused", filters=32, expansion=4, group_size=48)
    stem = spec_of("mobilenet_edgetpu_v2_tiny").backbone.stem
    with pytest.raises(SpecError, match=r"stacks\[0\]\.group_size: .*try 64, 32, 16"):
        Backbone(stem=stem, stacks=(row,))


def test_diff_names_what_changed() -> None:
    tiny, xs = spec_of("mobilenet_edgetpu_v2_tiny"), spec_of("mobilenet_edgetpu_v2_xs")
    assert diff(tiny, tiny) == []
    lines = diff(tiny, xs)
    assert "backbone.stacks[3].kind: group_fused -> fused" in lines
    assert "backbone.stacks[3].group_size: 64 -> None" in lines


def test_backbone_levels_are_the_published_ones() -> None:
    spec = create_spec("mobilenet_edgetpu_v2_s", backbone=True)
    graph = spec.graph()
    shapes = [graph.tensors[index].shape for index in graph.outputs]
    # Stem output, then the last block before each later stride-2 block: stacks 2, 6, 14, 19.
    assert shapes == [
        (1, 112, 112, 64),
        (1, 56, 56, 48),
        (1, 28, 28, 64),
        (1, 14, 14, 160),
        (1, 7, 7, 256),
    ]
    names = [graph.tensors[index].name for index in graph.outputs]
    assert [name.split("_")[1] for name in names[1:]] == ["2", "6", "14", "19"]


def test_an_open_leaf_does_not_lower() -> None:
    from model_zoo.spec import one_of

    spec = spec_of("mobilenet_edgetpu_v2_tiny")
    space = replace(spec, backbone=replace(spec.backbone, drop_connect=one_of(0.0, 0.1)))
    with pytest.raises(SpecError, match="open choices"):
        space.graph()

"""Random specs to learn from: the same for everybody, all different, and split by what they are."""

from collections import Counter

import pytest

from pipelines.cost_model.specs import HELD_OUT_SHARE, is_held_out, random_spec, random_specs

COUNT = 200


def test_a_number_stands_for_one_spec_whatever_else_is_drawn() -> None:
    first = list(random_specs(0, 12))
    assert [random_spec(0, number) for number in reversed(range(12))] == first[::-1]
    assert list(random_specs(0, 5)) == first[:5]


def test_seeds_share_no_spec() -> None:
    ids = [{spec.spec_id for spec in random_specs(seed, COUNT)} for seed in (0, 1)]
    assert [len(each) for each in ids] == [COUNT, COUNT]
    assert not ids[0] & ids[1]


def test_they_vary_in_family_size_and_width() -> None:
    specs = list(random_specs(3, COUNT))
    families = Counter(spec.family for spec in specs)
    assert set(families) == {
        "mobilenet_edgetpu_v1",
        "mobilenet_edgetpu_v2",
        "efficientnet_edgetpu",
    }
    assert families["mobilenet_edgetpu_v2"] > COUNT / 2
    assert len({spec.input.height for spec in specs}) >= 6
    assert len({spec.backbone.stem.filters for spec in specs}) >= 8
    kinds = {stack.kind for spec in specs for stack in spec.backbone.stacks}
    assert {"dw", "fused", "group_fused", "project"} <= kinds


def test_about_one_in_eight_is_held_out_by_its_id() -> None:
    ids = [spec.spec_id for spec in random_specs(0, COUNT)]
    share = sum(map(is_held_out, ids)) / COUNT
    assert share == pytest.approx(1 / HELD_OUT_SHARE, abs=0.06)
    assert is_held_out("0000000800ff")
    assert not is_held_out("0000000900ff")

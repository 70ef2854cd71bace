"""Pruned spaces: every point is a network, nothing undominated is lost, and a file fits one target and space."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.cost import evaluator_for
from hw_model.errors import DataError, UsageError
from hw_model.graph import verify
from hw_model.targets import load_target
from model_zoo.spec import ModelSpec, Space, from_json
from pipelines.search import (
    Budget,
    QualityConfig,
    SearchConfig,
    open_study,
    rebudget,
    resume,
    run_search,
)
from pipelines.search.domination import BlockChoice
from pipelines.search.prune_file import Pruning, read_pruning
from pipelines.search.pruning import find_pruning, pruned_space, slots_of, work_of
from pipelines.search.spaces import canonical_key, genotype_of, space_entry
from pipelines.search.spaces.mobilenet_edgetpu_v2 import EdgeTpuSpace
from pipelines.search.wiring import make_problem

CASES = [("pixel6", 224, 1.0), ("coral_usb", 224, 1.0), ("pixel6", 28, 0.25)]


@cache
def whole(size: int, width: float) -> Space[ModelSpec]:
    return space_entry("mobilenet_edgetpu_v2").make(
        image_size=size, channels=3, num_classes=10, width=width
    )


@cache
def pruning(target: str, size: int, width: float) -> Pruning:
    return find_pruning(
        whole(size, width), space_name="mobilenet_edgetpu_v2", target=load_target(target)
    )


def narrow(target: str, size: int, width: float) -> EdgeTpuSpace:
    space = pruned_space(whole(size, width), pruning(target, size, width))
    assert isinstance(space, EdgeTpuSpace)
    return space


def sample(space: Space[ModelSpec], count: int, seed: int = 0) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    rows: list[list[int]] = rng.integers(
        0, space.cardinalities, size=(count, len(space.choices))
    ).tolist()
    return rows


@pytest.mark.parametrize("case", CASES)
def test_no_choice_is_left_without_a_value(case: tuple[str, int, float]) -> None:
    found = pruning(*case)
    assert 0 < found.pruned_share < 0.9
    full = {choice.path: choice.values for choice in whole(*case[1:]).choices}
    for choice in found.choices:
        assert choice.kept
        assert sorted((*choice.kept, *choice.pruned), key=str) == sorted(full[choice.path], key=str)
    assert all(context.pruned < context.choices for context in found.contexts)


@pytest.mark.parametrize("case", CASES)
def test_every_point_of_a_pruned_space_is_a_network_without_dominated_blocks(
    case: tuple[str, int, float],
) -> None:
    space, found = narrow(*case), pruning(*case)
    dominated = {
        (stack, c.channels, c.filters, c.repeats, r.kind, r.kernel, r.expansion, size)
        for c in found.contexts
        for r in c.dominated
        for stack in c.stacks
        for size in r.group_sizes
    }
    gone = {(choice.path, value) for choice in found.choices for value in choice.pruned}
    for index, row in enumerate(sample(space, 200)):
        spec = space.bind(row)
        graph = spec.graph()
        if index % 20 == 0:
            verify(graph)
            assert from_json(spec.to_json()) == spec
        settled = space.settled(row)
        assert space.settled(settled) == settled
        chosen = {c.path: c.values[g] for c, g in zip(space.choices, settled, strict=True)}
        assert not gone & set(chosen.items())
        assert not dominated & set(_standing(space, chosen))


def _standing(space: EdgeTpuSpace, chosen: dict[str, Any]) -> list[tuple[Any, ...]]:
    """Every present stack with its widths, as the file names dominated ones."""
    found, channels = [], chosen["stage0.width"]
    for index, stack in enumerate(space.template.backbone.stacks[1:], start=1):
        path = f"backbone.stacks[{index}]"
        repeats = chosen.get(f"{path}.repeats", 1)
        stage = stack.filters.name  # type: ignore[attr-defined]
        if repeats:
            genes = [chosen[f"{path}.{name}"] for name in ("kind", "kernel", "expansion")]
            size = chosen[stage.replace("width", "group_size")]
            found.append((index, channels, chosen[stage], repeats, *genes, size))
            channels = chosen[stage]
    return found


@pytest.mark.parametrize("case", CASES)
def test_what_replaces_a_network_has_no_less_of_anything(case: tuple[str, int, float]) -> None:
    """On whole networks; on Pixel 6, where streaming hardly matters, none is slower either."""
    space, full = narrow(*case), whole(*case[1:])
    evaluator = evaluator_for(load_target(case[0]))
    changed = slower = 0
    for row in sample(space, 100, seed=1):
        point = {c.path: c.values[g] for c, g in zip(space.choices, row, strict=True)}
        before, after = full.bind(full.encode(point)), space.bind(row)
        if canonical_key(before) == canonical_key(after):
            continue
        changed += 1
        old, new = before.graph(), after.graph()
        assert new.param_count >= old.param_count
        was, now = evaluator.report(old), evaluator.report(new)
        assert now.macs >= was.macs
        slower += now.latency_ms > was.latency_ms * (1 + 1e-9)
    assert changed > 20
    assert slower <= (0 if case[0] == "pixel6" else 0.05 * changed)


@pytest.mark.parametrize("case", CASES)
def test_undominated_networks_stay(case: tuple[str, int, float]) -> None:
    """Networks of the whole space that pruning leaves alone are points of the pruned one, as they are."""
    space, full = narrow(*case), whole(*case[1:])
    for row in sample(space, 20, seed=2):
        spec = space.bind(row)
        assert full.bind(genotype_of(full, spec)) == spec
        assert space.bind(genotype_of(space, spec)) == spec


def test_the_slots_of_the_space_are_all_its_open_stacks() -> None:
    space = whole(224, 1.0)
    slots = slots_of(space.template)
    assert sorted(i for slot in slots for i in slot.stacks) == list(range(1, 21))
    first = next(slot for slot in slots if slot.stacks == (1,))
    assert (first.height, first.width, first.template.stride) == (112, 112, 2)
    assert {(c, f) for c, f, _ in first.contexts} == {
        (c, f) for c in (16, 24, 32) for f in (24, 32, 48, 64)
    }
    extra = next(slot for slot in slots if slot.stacks == (4, 5, 6))
    assert all(c == f for c, f, _ in extra.contexts)
    assert {r for _, _, r in extra.contexts} == {1, 2}
    assert work_of(space) == sum(len(s.contexts) * 54 for s in slots)
    assert len(set(first.choices())) == 54
    assert BlockChoice(kind="dw", kernel=3, expansion=2, group_size=32) in set(first.choices())


def test_a_file_says_what_was_found(tmp_path: Path) -> None:
    found = pruning("pixel6", 28, 0.25)
    found.write(tmp_path / "p.json")
    again, sha256 = read_pruning(tmp_path / "p.json")
    assert again == found
    assert len(sha256) == 64
    assert found.target == "pixel6"


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1}', "\xff", json.dumps({"blocks": []})]
)
def test_damaged_files_are_data_errors(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="p.json is no file of edgezoo blocks"):
        read_pruning(path)
    with pytest.raises(DataError, match="Cannot read"):
        read_pruning(tmp_path / "missing.json")
    replace(pruning("pixel6", 28, 0.25), format=9).write(path)
    with pytest.raises(DataError, match="format 9"):
        read_pruning(path)


@pytest.fixture
def config(tmp_path: Path) -> SearchConfig:
    """A proxy study on the small pruned space."""
    pruning("pixel6", 28, 0.25).write(tmp_path / "pruned.json")
    return SearchConfig(
        folder=str(tmp_path / "study"),
        budget=Budget.parse("1ms"),
        image_size=28,
        num_classes=10,
        width=0.25,
        trials=6,
        quality=QualityConfig(kind="proxy"),
        prune=str(tmp_path / "pruned.json"),
    )


def test_a_search_reads_the_file_and_its_trials_respect_it(config: SearchConfig) -> None:
    study = run_search(config, progress=False)
    assert study.manifest.config.prune_sha256 == read_pruning(config.prune)[1]
    problem = make_problem(study.manifest.config)
    assert problem.space_id.endswith("-pruned-" + study.manifest.config.prune_sha256[:12])
    space = narrow("pixel6", 28, 0.25)
    for trial in study.trials:
        genes = list(trial.genotype)
        assert from_json(json.dumps(dict(trial.spec))) == space.bind(genes)
    assert len(resume(config.folder, trials=8, progress=False).trials) == 8


def test_resume_wants_the_same_file(config: SearchConfig) -> None:
    run_search(config, progress=False)
    path = Path(config.prune)
    content = path.read_bytes()
    path.write_bytes(content + b"\n")
    with pytest.raises(UsageError, match="changed since this study began"):
        resume(config.folder, trials=8, progress=False)
    path.unlink()
    with pytest.raises(DataError, match="Cannot read"):
        resume(config.folder, trials=8, progress=False)
    path.write_bytes(content)
    assert len(resume(config.folder, trials=7, progress=False).trials) == 7


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        ({"target": "pixel4"}, "is for target pixel6"),
        ({"image_size": 32}, "another image size or width"),
        ({"width": 0.5}, "another image size or width"),
    ],
)
def test_a_file_of_another_search_is_refused_before_anything_is_made(
    config: SearchConfig, change: dict[str, Any], hint: str
) -> None:
    with pytest.raises(UsageError, match=hint):
        run_search(replace(config, **change), progress=False)
    assert not (Path(config.folder) / "study.json").exists()


def test_classes_and_channels_are_free(config: SearchConfig) -> None:
    other = replace(config, num_classes=7, channels=1, folder=config.folder + "2")
    assert len(run_search(other, progress=False).trials) == 6


def test_an_energy_budget_needs_the_whole_space(config: SearchConfig) -> None:
    with pytest.raises(UsageError, match="leaves out what is slow"):
        replace(config, budget=Budget.parse("1mJ"))
    run_search(config, progress=False)
    with pytest.raises(UsageError, match="leaves out what is slow"):
        rebudget(config.folder, Budget.parse("1mJ"), trials=2, progress=False)
    assert len(open_study(config.folder).trials) == 6

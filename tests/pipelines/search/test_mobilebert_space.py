"""The MobileBERT space: published networks are points of it, points are networks, searches run in it and are told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model import estimate
from hw_model.errors import SpecError, UsageError
from hw_model.graph import verify
from model_zoo import create_spec
from model_zoo.spec import MaskedLmHead, Space, TextSpec, from_json, text_spec
from pipelines.search import Budget, QualityConfig, SearchConfig, best, export_winner, run_search
from pipelines.search.problem import Cost
from pipelines.search.spaces import canonical_key, genotype_of, space_entry
from pipelines.search.spaces.mobilebert_edgetpu import DIVISOR, HEADS, at_width
from pipelines.search.wiring import make_problem, make_space

PUBLISHED = (
    *(f"mobilebert_edgetpu_{size}" for size in ("xxs", "xs", "s", "m")),
    "mobilebert_baseline",
)


def space_of(length: int = 384, words: int = 30522, width: float = 1.0) -> Space[TextSpec]:
    make = space_entry("mobilebert").make
    return make(sequence_length=length, vocabulary_size=words, width=width)


def published(name: str, **changes: Any) -> TextSpec:
    return text_spec(create_spec(name, **changes))


def tiny_config(folder: Path, **changes: object) -> SearchConfig:
    """A search by proxy among small networks."""
    settings = {
        "folder": str(folder),
        "budget": Budget.parse("0.6ms"),
        "space": "mobilebert",
        "sequence_length": 32,
        "vocabulary_size": 50,
        "width": 0.125,
        "trials": 6,
        "batch_size": 3,
        "quality": QualityConfig(kind="proxy"),
    }
    return SearchConfig(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize(("length", "words", "width"), [(384, 30522, 1.0), (40, 300, 0.25)])
def test_published_networks_are_points(name: str, length: int, words: int, width: float) -> None:
    """Spec for spec, but for how masked words would be scored: a network that answers questions has none."""
    spec = at_width(published(name, sequence_length=length, vocabulary_size=words), width)
    space = space_of(length, words, width)
    found = space.bind(genotype_of(space, spec))
    assert found == replace(spec, encoder=replace(spec.encoder, projected_logits=False))
    assert canonical_key(found) == canonical_key(spec)
    assert found.graph() == spec.graph()


def test_masked_words_tell_networks_apart() -> None:
    spec = replace(published("mobilebert_edgetpu_xxs"), head=MaskedLmHead())
    other = replace(spec, encoder=replace(spec.encoder, projected_logits=False))
    assert canonical_key(spec) != canonical_key(other)
    with pytest.raises(UsageError, match="holds no network equal to"):
        genotype_of(space_of(), spec)


@pytest.mark.parametrize("width", [1.0, 0.3, 0.02])
def test_every_genotype_is_a_network(width: float) -> None:
    """Heads divide the bottleneck whatever is chosen; the same after JSON; found again."""
    space = space_of(32, 60, width)
    rows = np.random.default_rng(0).integers(0, space.cardinalities, (300, len(space.choices)))
    for index, row in enumerate(rows.tolist()):
        spec = space.bind(row)
        assert spec.encoder.inner % spec.encoder.heads == 0
        if index % 60 == 0:
            verify(spec.graph())
            assert from_json(spec.to_json()) == spec
            assert space.bind(genotype_of(space, spec)) == spec
    assert all(DIVISOR % heads == 0 for heads in HEADS)


def test_widths_that_coincide_are_one_choice() -> None:
    choices = {choice.path: choice.values for choice in space_of(32, 60, 0.02).choices}
    assert choices["encoder.hidden"] == (8, 16)
    assert {"encoder.blocks", "encoder.ffns", "encoder.norm", "encoder.activation"} < set(choices)
    with pytest.raises(SpecError, match="sequence_length"):
        space_of(1)


@given(st.integers(0, 10_000), st.integers(0, 7))
def test_every_gene_changes_the_key(seed: int, gene: int) -> None:
    space = space_of()
    row = np.random.default_rng(seed).integers(0, space.cardinalities).tolist()
    other = [*row]
    other[gene] = (row[gene] + 1) % space.cardinalities[gene]
    assert canonical_key(space.bind(row)) != canonical_key(space.bind(other))


@pytest.mark.parametrize("other", ["mobilenet_edgetpu_v2_s", "ib_bert_large"])
def test_other_networks_are_refused(other: str) -> None:
    with pytest.raises(UsageError, match="holds no network equal to"):
        genotype_of(space_of(), create_spec(other))


@pytest.mark.parametrize("name", ["autoseg", "spaghettinet", "mobilenet_edgetpu_v2"])
def test_spaces_of_images_hold_no_language_network(name: str) -> None:
    space = space_entry(name).make(image_size=64, channels=3, num_classes=4)
    with pytest.raises(UsageError, match="holds no network equal to"):
        genotype_of(space, create_spec("mobilebert_edgetpu_s"))


@pytest.mark.parametrize("target", ["pixel6", "coral_usb"])
def test_costs_are_those_of_the_network(target: str) -> None:
    """One graph for both targets."""
    config = SearchConfig(folder="", budget=Budget.parse("10ms"), space="mobilebert", target=target)
    spec = published("mobilebert_edgetpu_xs")
    (found,) = make_problem(config).costs(np.array([genotype_of(space_of(), spec)]))
    report = estimate(spec, target=target)
    assert isinstance(found, Cost)
    assert found.values == (report.latency_ms, report.energy_mj)
    assert (found.summary["blocks"], found.summary["feed_forward"]) == (8, 32)
    assert found.summary["utilization"] == pytest.approx(report.utilization, abs=1e-4)


def test_lengths_and_vocabularies_are_other_spaces(tmp_path: Path) -> None:
    ids = {
        make_problem(tiny_config(tmp_path, **changes)).space_id
        for changes in ({}, {"sequence_length": 40}, {"vocabulary_size": 51}, {"width": 0.25})
    }
    assert len(ids) == 4
    with pytest.raises(UsageError, match="cannot be pruned from space mobilebert"):
        make_space(tiny_config(tmp_path, prune=str(tmp_path / "p.json")))


def test_a_search_reports_and_exports_its_winner(tmp_path: Path) -> None:
    from model_zoo import presets
    from pipelines.report import study_sections

    study = run_search(tiny_config(tmp_path / "s"), progress=False)
    assert len(study.complete) == 6
    assert study.spent(best(study), "latency_ms") <= 0.6
    pages = {section.title: str(section.body) for section in study_sections(study)}
    assert "for 32 of 50 word pieces" in pages["What was found"]
    assert "mobilebert_edgetpu_xs at width 0.125" in pages["Pareto front"]
    assert "Differences from mobilebert_baseline at width 0.125" in pages["The winner"]
    assert "feed-forward" in pages["The winner's cost on pixel6"]
    place = export_winner(study, tmp_path / "w", name="found")
    (preset,) = presets.read_manifest(tmp_path / "w").presets
    spec = text_spec(from_json((place / presets.SPEC_FILE).read_bytes()))
    assert (preset.task, preset.weights) == ("answering", None)
    assert (spec.input.sequence_length, spec.input.vocabulary_size) == (32, 50)


def test_points_become_keras_models_with_as_many_parameters() -> None:
    from model_zoo import create_model

    spec = space_of(16, 40, 0.03).bind([0] * 8)
    model = create_model(spec)
    assert model.count_params() == spec.graph().param_count
    assert set(model.output) == {"start_logits", "end_logits"}

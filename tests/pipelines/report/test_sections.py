"""Sections say what their report, study, certificate or run says, and nothing else."""

import csv
import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw_model import estimate
from hw_model.errors import UsageError
from model_zoo import create_spec
from model_zoo.registry import entries
from model_zoo.spec import NodeBackbone, TextSpec
from pipelines.export import certificate as cert
from pipelines.export.fidelity import TensorSqnr
from pipelines.report import (
    certificate_section,
    classify_section,
    cost_section,
    model_sections,
    study_sections,
    training_section,
)
from pipelines.report.architecture import architecture
from pipelines.report.page import Section
from pipelines.report.published import QUALITY_TABLE, published_figures
from pipelines.report.study import rejected_costs
from pipelines.search import (
    Budget,
    QualityConfig,
    SearchConfig,
    Study,
    best,
    front,
    rebudget,
    run_search,
)


def text_of(section: Section) -> str:
    """What a reader sees, without tags."""
    return html.unescape(re.sub(r"<[^>]+>", " ", section.body))


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Twelve proxy trials under one budget and four more under a tighter one."""
    folder = tmp_path_factory.mktemp("study") / "s"
    config = SearchConfig(
        folder=str(folder),
        budget=Budget.parse("1ms"),
        image_size=64,
        trials=12,
        batch_size=6,
        quality=QualityConfig(kind="proxy"),
    )
    run_search(config, progress=False)
    return rebudget(folder, Budget.parse("0.6ms"), trials=4, progress=False)


@pytest.fixture(scope="session")
def sections(study: Study) -> dict[str, Section]:
    """The study's page by title."""
    return {section.title: section for section in study_sections(study)}


def test_the_front_chart_has_every_trial_and_marks_front_winner_and_budgets(
    study: Study, sections: dict[str, Section]
) -> None:
    body = sections["Pareto front"].body
    circles = re.findall(
        r'<circle cx="[\d.]+" cy="[\d.]+" r="[\d.]+" class="([^"]+)"><title>(\w+):', body
    )
    assert {key for _, key in circles} == {trial.key for trial in study.complete}
    assert [key for kind, key in circles if kind == "winner"] == [best(study).key]
    on_front = {trial.key for trial in front(study, quantities=("latency_ms",))}
    assert {key for kind, key in circles if kind == "front"} == on_front - {best(study).key}
    assert body.count("budget 1 ms") == 1
    assert body.count("budget 0.6 ms") == 1


def test_rejected_candidates_are_counted_and_all_miss_the_budget(
    study: Study, sections: dict[str, Section]
) -> None:
    rejected = rejected_costs(study, "latency_ms")
    assert rejected
    assert min(rejected) > 0.6
    assert f"{len(rejected):,} over 0.6 ms by cost alone, never paid for" in text_of(
        sections["Pareto front"]
    )


def test_a_line_torn_by_a_running_search_is_skipped(study: Study) -> None:
    whole = study.folder.costs_path.read_bytes()
    try:
        study.folder.costs_path.write_bytes(whole + b'{"key": "ab')
        assert len(rejected_costs(study, "latency_ms")) > 0
    finally:
        study.folder.costs_path.write_bytes(whole)


def test_best_per_budget_is_what_best_says(study: Study, sections: dict[str, Section]) -> None:
    rows = re.findall(
        r"<tr><td[^>]*>([^<]+ ms)</td>.*?<code>(\w+)</code>", sections["Best per budget"].body
    )
    assert ("0.6 ms", best(study).key) in rows
    for budget, key in rows:
        assert best(study, Budget.parse(budget)).key == key


def test_the_curve_never_falls(sections: dict[str, Section]) -> None:
    (path,) = re.findall(
        r'<path d="([^"]+)" class="line"><title>', sections["How the search got there"].body
    )
    heights = [float(y) for y in re.findall(r"[V ]([\d.]+)", path)]
    assert heights == sorted(heights, reverse=True)


def test_a_proxy_is_never_called_accuracy(sections: dict[str, Section]) -> None:
    assert "which is no accuracy" in text_of(sections["What was found"])
    assert "No rank correlation was measured" in text_of(sections["How far to trust the order"])
    assert "%" not in text_of(sections["Best per budget"])


def test_trained_trials_show_percent_and_how_proxies_rank_them(study: Study) -> None:
    trained = tuple(
        replace(t, quality_kind="train", quality=t.cost.summary["macs"] / 1e10)
        for t in study.trials
    )
    config = replace(study.manifest.config, quality=QualityConfig(kind="train", min_trials=10))
    manifest = replace(study.manifest, config=config)
    found = {
        section.title: section for section in study_sections(Study(study.folder, manifest, trained))
    }
    trust = text_of(found["How far to trust the order"])
    assert re.search(r"proxy log_macs\s+1\.00", trust)
    assert "ridge predictor on 16 of these trials" in trust
    assert "held-out trained trials" in trust
    assert " % " in text_of(found["What was found"])


def test_the_winner_is_compared_with_the_published_networks(
    study: Study, sections: dict[str, Section]
) -> None:
    text = text_of(sections["The winner"])
    assert f"winner {best(study).key}" in text
    assert "mobilenet_edgetpu_v2_tiny" in text
    assert "Differences from mobilenet_edgetpu_v2_s" in text
    cost = text_of(sections["The winner's cost on pixel6"])
    assert f"{study.spent(best(study), 'latency_ms'):.3g} ms" in cost


def test_another_study_is_drawn_beside_only_when_it_compares(study: Study, tmp_path: Path) -> None:
    pages = study_sections(study, against=study)
    assert "line3" in pages[3].body
    config = replace(study.manifest.config, folder=str(tmp_path / "other"), image_size=96, trials=2)
    other = run_search(config, progress=False)
    with pytest.raises(UsageError, match="do not compare"):
        study_sections(study, against=other)


def test_cost_shows_total_reasons_and_a_bar_per_operation() -> None:
    report = estimate(create_spec("mobilenet_edgetpu_v2_tiny"), target="coral_usb")
    section = cost_section(report)
    text = text_of(section)
    assert f"{report.latency_ms:.3g} ms" in text
    assert f"{report.declared_error:.0%} on average on published classification networks" in text
    for row in report.slowest(5):
        assert row.why in text
    drawn = section.body.partition('class="chart"')[2]
    assert drawn.count("<rect") == sum(row.time_us > 0 for row in report.rows)


def test_architecture_rows_add_up_for_every_published_network() -> None:
    from model_zoo import list_models

    for name in list_models():
        spec = create_spec(name)
        graph = spec.graph()
        rows = architecture(spec, graph)
        assert sum(row.params for row in rows) == graph.param_count
        assert sum(row.macs for row in rows) == graph.macs
        if isinstance(spec, TextSpec):
            blocks = list(range(spec.encoder.blocks))
        elif isinstance(spec.backbone, NodeBackbone):
            blocks = [layer for node in spec.backbone.nodes for layer in node.layers]
        else:
            blocks = list(spec.backbone.blocks())
        assert sum(row.repeats for row in rows) == len(blocks) + 2


def test_a_backbone_has_no_head_row() -> None:
    rows = architecture(create_spec("mobilenet_edgetpu_v2_s", backbone=True))
    assert rows[-1].name == "stack 19"


def test_published_figures_are_apart_and_named_as_such() -> None:
    found = model_sections(
        "mobilenet_edgetpu_v2_s", create_spec("mobilenet_edgetpu_v2_s"), target="pixel6"
    )
    assert [section.title for section in found][-1] == "Published"
    assert "none was measured by this project" in text_of(found[-1])
    assert "77.36 %" in text_of(found[-1])
    assert all("77.36" not in text_of(section) for section in found[:-1])
    assert published_figures("my_own_net") == ()


def test_every_published_quality_is_of_a_network_of_the_zoo() -> None:
    with QUALITY_TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["model"] for row in rows} <= set(entries())
    assert all(20 < float(row["percent"]) < 90 and row["source"] for row in rows)
    measured = {entries()[row["model"]].task: row["metric"].split()[-1] for row in rows}
    assert measured == {"classification": "top-1", "segmentation": "mIoU", "detection": "AP"}
    found = [(figure.what, figure.value) for figure in published_figures("spaghettinet_edgetpu_s")]
    assert found[0] == ("COCO 2017 AP", 26.2)


def test_a_training_curve_has_a_point_per_epoch() -> None:
    history = [{"epoch": n, "top1": n / 10, "val_top1": n / 9} for n in (1, 2, 3)]
    section = training_section(
        title="Fine-tuning",
        lead="l",
        history=history,
        metrics={"top1": 0.3333},
        images=445,
        wall_seconds=12.3,
    )
    assert section.body.count("<circle cx") == 3
    assert "33.33 %" in text_of(section)
    assert "epoch 3: 33.33 %" in section.body


def certificate(**changes: object) -> cert.Certificate:
    port = cert.PortInfo(shape=(1, 8, 8, 1), dtype="int8", scale=0.1, zero_point=0)
    values: dict = {
        "file": "n<et>.tflite",
        "sha256": "ab" * 32,
        "size_bytes": 1_234_567,
        "weight_bytes": 1,
        "float_size_bytes": 4_000_000,
        "model": "m",
        "spec_id": "s",
        "weights_origin": "trained",
        "group_form": "split",
        "target": None,
        "inputs": (port,),
        "outputs": (port,),
        "operators": {"CONV_2D": 3},
        "float_operators": (),
        "predicted_equals_converted": True,
        "differences": (),
        "calibration": cert.Calibration(source="s", count=100, distinct=100),
        "sqnr": cert.Sqnr(
            samples=4,
            tensors=3,
            min_db=20.0,
            median_db=30.0,
            output_db=33.3,
            worst=(TensorSqnr(name="t", operator="CONV_2D", sqnr_db=20.0),),
        ),
        "accuracy": cert.Accuracy(images=445, metric="top1", float_value=0.97, int8_value=0.9655),
        "export_seconds": 2.0,
    }
    return cert.Certificate(**{**values, **changes})


def test_a_good_certificate_is_all_ticks() -> None:
    section = certificate_section(certificate())
    assert section.body.count('<li class="good">') == 3
    assert '<li class="bad">' not in section.body
    assert "96.55 %" in text_of(section)
    assert "n<et>" not in section.body


def test_what_does_not_hold_is_crossed_out_and_shown() -> None:
    section = certificate_section(
        certificate(
            float_operators=("ADD",),
            predicted_equals_converted=False,
            differences=("- a <b>",),
            accuracy=None,
        )
    )
    assert section.body.count('<li class="bad">') == 2
    assert "- a &lt;b&gt;" in section.body
    assert "top-1" not in text_of(section)


def test_pictures_carry_prediction_and_truth() -> None:
    scores = np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    section = classify_section(
        title="Classification",
        lead="l",
        images=np.zeros((2, 4, 4, 1), np.uint8),
        labels=[0, 1],
        scores=scores,
        class_names=["cat", "<dog>"],
    )
    assert section.body.count("<img") == 2
    assert section.body.count('class="wrong"') == 1
    assert "is: &lt;dog&gt;" in section.body
    assert "1 of 2" in text_of(section)

"""search and report: studies run, go on, change budget, export and become pages; and what can be wrong with them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
RUN = ("search", "run", "--quality", "proxy", "--image-size", "64")


@pytest.fixture
def own_study(study: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(study, tmp_path / "own"))


def test_run_answers_with_best_and_front(run: Run, tmp_path: Path) -> None:
    ran = run(*RUN, "--budget", "1ms", "--trials", 8, "--batch", 4, "--study", "s", "--json")
    data = ran.json
    assert data["trials"] == 8
    assert data["best"]["latency_ms"] <= 1.0
    assert data["best"] in data["front"]
    assert data["quality"]["kind"] == "proxy"
    assert (tmp_path / "s" / "study.json").is_file()


def test_resume_adds_trials_and_rebudget_reuses_them(run: Run, own_study: Path) -> None:
    assert run("search", "resume", own_study, "--trials", 16, "--json").json["trials"] == 16
    again = run("search", "rebudget", own_study, "--budget", "700us", "--trials", 4, "--json").json
    assert again["trials"] == 20
    assert again["best"]["latency_ms"] <= 0.7
    text = run("search", "resume", own_study).out
    assert "Pareto front" in text
    assert "rank correlation not measured" in text


def test_a_study_is_not_started_twice(run: Run, own_study: Path) -> None:
    words = (*RUN, "--budget", "1ms", "--trials", 8, "--study", own_study)
    assert "already holds a study" in run(*words).failed(2)


def test_export_writes_a_preset_every_verb_takes(run: Run, own_study: Path) -> None:
    data = run("search", "export", own_study, "--out", "w", "--json").json
    assert data["weights"] is False
    assert data["preset"] == "own_winner"
    assert run("info", "w", "--json").json["params"] == data["params"]
    best = json.loads(Path("w/own_winner/search.json").read_text())["winner"]
    cost = run("cost", "w", "--target", "pixel6", "--json").json
    assert cost["latency_ms"] == pytest.approx(best["cost"]["latency_ms"])
    assert run("diff", "w", data["spec"], "--json").json["equal"]


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ((*RUN, "--budget", "fast", "--study", "s"), "such as 1.2ms"),
        ((*RUN, "--budget", "-1ms", "--study", "s"), "expected one argument"),
        ((*RUN, "--budget", "1us", "--study", "s"), "the cheapest of"),
        ((*RUN, "--budget", "1ms", "--sampler", "evolutoin"), "Did you mean evolution"),
        ((*RUN, "--budget", "1ms", "--space", "mobilenet"), "mobilenet_edgetpu_v2"),
        ((*RUN, "--budget", "1ms", "--target", "pixel"), "Did you mean pixel"),
        ((*RUN, "--budget", "1ms", "--trials", "0"), "trials"),
        ((*RUN, "--budget", "1ms", "--proxy", "flops"), "log_params"),
        (("search", "run", "--budget", "1ms", "--quality", "guess"), "train"),
        (("search", "run", "--budget", "1ms", "--quality", "predictor"), "source"),
        (("search", "run", "--budget", "1ms", "--data", "digts"), "Did you mean digits"),
        ((*RUN, "--budget", "1ms", "--image-size", "32x64"), "square"),
        ((*RUN, "--budget", "1ms", "--space", "autoseg", "--prune", "p"), "cannot be pruned"),
        (("search", "run", "--budget", "1ms", "--space", "autoseg"), "is for segmentation"),
        (
            ("search", "run", "--budget", "1ms", "--data", "composed_shapes"),
            "take --space autoseg, or other data",
        ),
        (("search", "resume", "nowhere"), "No study in nowhere"),
        (("search", "rebudget", "nowhere", "--budget", "1ms"), "No study in nowhere"),
        (("search", "export", "nowhere", "--out", "w"), "No study in nowhere"),
        (("report", "nowhere", "--against", "x"), "--against needs a study"),
    ],
)
def test_wrong_searches_are_explained(run: Run, words: tuple[object, ...], hint: str) -> None:
    assert hint in run(*words).failed(2)


def test_an_impossible_new_budget_names_the_nearest_and_changes_nothing(
    run: Run, own_study: Path
) -> None:
    before = (own_study / "study.json").read_bytes()
    line = run("search", "rebudget", own_study, "--budget", "1us", "--trials", 2).failed(2)
    assert "cheapest" in line
    assert (own_study / "study.json").read_bytes() == before


def test_a_damaged_study_is_a_data_error(run: Run, own_study: Path) -> None:
    (own_study / "study.json").write_text("{")
    assert "is damaged" in run("search", "resume", own_study).failed(3)
    assert "is damaged" in run("report", own_study).failed(3)


def test_a_budget_no_trial_meets_names_the_nearest(run: Run, own_study: Path) -> None:
    line = run("search", "export", own_study, "--out", "w", "--budget", "1us").failed(2)
    assert "the nearest takes" in line
    assert not Path("w").exists()


def test_interrupted_search_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **settings: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.search.run_search", stop)
    line = run(*RUN, "--budget", "1ms", "--study", "s").failed(130)
    assert line.endswith("continue with: edgezoo search resume s")


def test_report_of_a_study(run: Run, study: Path) -> None:
    ran = run("report", study, "--out", "r/s.html", "--against", study, "--json")
    assert ran.json["path"] == "r/s.html"
    assert "Pareto front" in ran.json["sections"]
    assert "compared with" in Path("r/s.html").read_text(encoding="utf-8")


def test_report_of_a_model(run: Run) -> None:
    ran = run("report", "mobilenet_edgetpu_v2_tiny", "--target", "coral_usb", "--json")
    assert ran.json["sections"] == ["Architecture", "Cost on coral_usb", "Published"]
    assert Path("report.html").is_file()


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("report", "mobilenet_edgetpu_v2_tny"), 2, "mobilenet_edgetpu_v2_tiny"),
        (("report", "mobilenet_edgetpu_v2_s", "--target", "pixel66"), 2, "pixel6"),
        (("report", "."), 3, "MANIFEST.json"),
        (("report", "mobilenet_edgetpu_v2_s", "--out", "/proc/none/r.html"), 4, "/proc/none"),
    ],
)
def test_wrong_reports_are_explained(
    run: Run, words: tuple[str, ...], code: int, hint: str
) -> None:
    assert hint in run(*words).failed(code)


def test_a_study_has_its_own_target(run: Run, study: Path) -> None:
    assert "leave --target out" in run("report", study, "--target", "pixel4").failed(2)

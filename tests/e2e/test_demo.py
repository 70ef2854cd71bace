"""The demo: its study fits today's code, and it runs to its end with every section on the page."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hw_model.files import sha256_of
from pipelines.search import Budget, best, open_study
from pipelines.search.wiring import make_problem

pytestmark = pytest.mark.e2e
SECTIONS = [
    "At a glance",
    "Classification",
    "Cost on pixel6",
    "Cost on coral_usb",
    "Fine-tuning",
    "int8 certificate",
    "Pareto front",
]


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "examples" / "study"


def test_the_study_is_of_the_present_space_and_cost_model(folder: Path) -> None:
    study = open_study(folder)
    problem = make_problem(study.manifest.config)
    remedy = "run python examples/make_study.py --recost"
    assert study.manifest.cost_id == problem.cost_id, remedy
    assert study.manifest.space_id == problem.space_id, "run python examples/make_study.py"


def test_the_study_has_enough_trained_trials_for_a_warm_start(folder: Path) -> None:
    study = open_study(folder)
    assert len(study.complete) >= 20
    assert {trial.quality_kind for trial in study.trials} == {"train"}
    assert all(study.spent(t, "latency_ms") <= study.budget.limit for t in study.trials)
    assert best(study).quality > 0.5


def test_the_new_budget_is_tighter(folder: Path, root: Path) -> None:
    source = (root / "examples" / "demo.py").read_text(encoding="utf-8")
    (line,) = [line for line in source.splitlines() if line.startswith("NEW_BUDGET = ")]
    new = Budget.parse(line.partition('"')[2].rstrip('"'))
    assert new.limit < open_study(folder).budget.limit


def test_the_study_ships_no_weights(folder: Path) -> None:
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    assert not list(folder.rglob("*.h5"))


def test_a_weights_folder_without_the_preset_is_one_line(root: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, root / "examples/demo.py", "--weights-dir", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line]
    assert line.startswith("demo: error: Unknown model")


@pytest.mark.slow
def test_the_demo_runs_to_its_end_and_leaves_its_study_alone(
    root: Path, folder: Path, tmp_path: Path
) -> None:
    before = {path.name: sha256_of(path) for path in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, root / "examples/demo.py", "--out", tmp_path / "demo"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert "all int8: True, predicted = converted: True" in done.stdout
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    for title in SECTIONS:
        assert f"<h2>{title}</h2>" in page
    assert "http" not in page
    assert {path.name: sha256_of(path) for path in folder.iterdir()} == before

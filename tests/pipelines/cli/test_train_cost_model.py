"""`edgezoo train-cost-model`: from a target file to a file that `edgezoo cost` reads; mistakes are one line."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hw_model.cost import evaluator_for
from hw_model.cost.learned import FILE_VARIABLE
from hw_model.targets.loader import FOLDER

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A user's own target: a Coral stick at another clock."""
    text = (FOLDER / "coral_usb.toml").read_text(encoding="utf-8")
    text = re.sub(r"clock_mhz = \{ value = \d+", "clock_mhz = { value = 300", text)
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('name = "coral_usb"', 'name = "mine"'), encoding="utf-8")
    return path


@pytest.mark.slow
def test_trains_for_a_target_file_and_costs_with_it(
    run: "Run", mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.cost_model import train

    monkeypatch.setattr(train.train_cost_model, "__kwdefaults__", {"workers": 1, "steps": 60})
    done = run("train-cost-model", "--target", mine, "--samples", 96, "--workers", 1, "--json").json
    assert done["file"] == "mine.npz"
    assert done["held_out"]["specs"] + done["samples"] == 96
    assert 0 < done["held_out"]["latency_mape"] < 0.5
    monkeypatch.setenv(FILE_VARIABLE, "mine.npz")
    evaluator_for.cache_clear()
    words = ("cost", "mobilenet_edgetpu_v2_xs", "--evaluator", "learned", "--target")
    report = run(*words, mine, "--json").json
    assert report["evaluator_id"] == f"learned-1.{done['model_id']}"
    assert report["declared_error"] > done["held_out"]["latency_mape"]
    assert "was trained for target mine" in run(*words, "pixel6").failed(2)
    Path("mine.npz").write_bytes(Path("mine.npz").read_bytes()[:-30])
    evaluator_for.cache_clear()
    assert "is no cost model or is damaged" in run(*words, mine).failed(3)


def test_a_target_without_a_model_is_told_the_verb(
    run: "Run", mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(FILE_VARIABLE, raising=False)
    evaluator_for.cache_clear()
    line = run(
        "cost", "mobilenet_edgetpu_v2_xs", "--evaluator", "learned", "--target", mine
    ).failed(2)
    assert "run edgezoo train-cost-model for mine and name its file in" in line


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--samples", 10), "--samples is from 64"),
        (("--samples", "many"), "invalid int value"),
        (("--samples", 10**9), "--samples is from 64"),
        (("--workers", 0), "--workers is from 1"),
        (("--seed", -1), "--seed is from 0"),
        (("--out", "model.h5"), "--out must end in .npz"),
        (("--target", "pixel66"), "Did you mean pixel6"),
        (("--target", "none.toml", "--samples", 64), "Cannot read target file"),
    ],
)
def test_mistakes(run: "Run", words: tuple[object, ...], hint: str) -> None:
    ran = run("train-cost-model", *words)
    assert hint in ran.failed(3 if "none.toml" in words else 2)
    assert not list(Path().iterdir())

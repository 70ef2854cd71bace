"""Publishing a network that answers questions: what its manifest entry and card say can be measured again."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from questions_kit import SQUAD, Files, reading, small_data

from hw_model.errors import DataError, UsageError
from model_zoo import presets
from model_zoo.card import card
from pipelines import publish as verb
from pipelines.export import evaluate_tflite
from pipelines.tasks import evaluate

TEACHER = {
    "name": "teacher",
    "metrics": [
        {
            "name": "f1", "value": 0.66, "form": "float", "dataset": "squad", "split": "test", "images": 1955,
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def published(answerer: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("published")
    figures = root / "teacher.json"
    figures.write_text(json.dumps(TEACHER), encoding="utf-8")
    verb.publish(
        answerer.folder,
        "tiny_answers",
        str(SQUAD),
        beside=[f"alone={answerer.folder}", str(figures)],
        folder=root / "weights",
        calibration_count=4,
    )
    return root / "weights"


def test_a_published_network_loads_with_what_it_reads_by(published: Path) -> None:
    preset = presets.get(published)
    assert preset.reading is not None
    assert preset.reading.settings == reading().settings
    assert preset.preprocessing is None
    model = presets.load_model(published)
    assert model.preprocessing == reading()
    files = {path.name for path in (published / "tiny_answers").iterdir()}
    assert files == {
        "README.md", "model.weights.h5", "model_int8.certificate.json", "model_int8.tflite", "spec.json", "vocab.txt",
    }  # fmt: skip


def test_its_figures_are_those_of_its_files(published: Path) -> None:
    preset, test = presets.get(published), small_data().test
    values: dict[str, Any] = {
        "float": evaluate(presets.load_model(published), test),
        "int8": evaluate_tflite(published / preset.tflite.path, test, None, progress=False),  # type: ignore[union-attr]
    }
    stated = {(each.name, each.form): each.value for each in preset.metrics if each.split == "test"}
    assert stated == {
        (name, form): pytest.approx(values[form][name], abs=1e-6)
        for name in ("f1", "exact_match")
        for form in ("float", "int8")
    }
    alone, teacher = preset.compared
    assert (alone.name, teacher.name) == ("alone", "teacher")
    assert {each.form for each in alone.metrics} == {"float"}
    assert alone.metrics[0].value == stated["f1", "float"]
    assert teacher.metrics[0].value == 0.66


def test_its_card_says_how_to_ask_it_and_what_others_reach(published: Path) -> None:
    text = (published / "tiny_answers" / "README.md").read_text(encoding="utf-8")
    assert text == card(presets.get(published))
    assert 'edgezoo answer tiny_answers --question "..."' in text
    assert "input 48 word pieces." in text
    assert "`vocab.txt`, 151 word pieces; a window every 16 of them" in text
    assert "| teacher | f1 | float | squad, test | 1,955 | 66.00 % |" in text
    assert "classes" not in text


def test_figures_that_are_none_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json"):
        verb._compared(str(tmp_path / "none.json"), "squad", {})
    (tmp_path / "odd.json").write_text('{"name": "x"}')
    with pytest.raises(DataError, match="metrics"):
        verb._compared(str(tmp_path / "odd.json"), "squad", {})


def test_a_name_keeps_its_weights(published: Path, answerer: Files, tmp_path: Path) -> None:
    root = Path(shutil.copytree(published, tmp_path / "weights"))
    text = (root / presets.MANIFEST).read_text(encoding="utf-8")
    weights = presets.get(published).weights
    assert weights is not None
    changed = text.replace(weights.sha256, "0" * 64)
    (root / presets.MANIFEST).write_text(changed, encoding="utf-8")
    with pytest.raises(UsageError, match=r"a name never changes its own; .* tiny_answers\.v2"):
        verb.publish(answerer.folder, "tiny_answers", str(SQUAD), folder=root)
    assert (root / presets.MANIFEST).read_text(encoding="utf-8") == changed

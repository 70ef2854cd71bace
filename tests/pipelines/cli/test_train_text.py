"""`edgezoo train` and `eval` on questions and running text, and with a teacher."""

import json
import string
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from model_zoo import presets
from model_zoo.spec.text import SpanHead, TextEncoder, TextInput, TextSpec
from pipelines.cli import train as verb
from pipelines.distill.teachers import weights_digest

Run = Callable[..., Any]
SQUAD = Path(__file__).parents[1] / "data" / "text" / "squad_small.json"
RECIPE = """
batch_size = 4
steps_per_epoch = 1
[optimizer]
name = "adamw"
learning_rate = 1e-3
"""


@pytest.fixture
def files(run: Run, tmp_path: Path) -> Path:
    """A folder with a small spec, a vocabulary, text and a recipe of one step."""
    pytest.importorskip("tokenizers")
    encoder = TextEncoder(
        blocks=1, bottleneck=4, intermediate=6, ffns=1, heads=2, hidden=8, embedding=4
    )
    spec = TextSpec(input=TextInput(sequence_length=96), encoder=encoder, head=SpanHead())
    (tmp_path / "spec.json").write_text(spec.to_json())
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [c for c in string.printable if not c.isspace() and not c.isupper()]
    tokens = [*special, *characters, *(f"##{c}" for c in characters)]
    (tmp_path / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens))
    text = "The keeper climbed the steps every evening and wound the clock.\n\n" * 60
    (tmp_path / "text.txt").write_text(text)
    (tmp_path / "once.toml").write_text(RECIPE)
    return tmp_path


def test_questions_from_the_vocabulary_to_the_metrics(run: Run, files: Path) -> None:
    words = ["train", "spec.json", "--data", SQUAD, "--recipe", "once.toml"]
    trained = run(*words, "--vocabulary", "vocab.txt", "--out", "qa", "--name", "qa", "--json")
    assert trained.code == 0, trained.err
    assert set(trained.json["metrics"]) == {"f1", "exact_match", "loss"}
    assert (files / "qa" / "qa" / "vocab.txt").is_file()
    assert presets.get("qa").task == "answering"
    # The preset knows its words by itself.
    scored = run("eval", "qa", "--data", SQUAD, "--json")
    assert scored.json["f1"] == pytest.approx(trained.json["metrics"]["f1"])
    text = run("eval", "qa", "--data", SQUAD).out
    assert "exact match" in text
    # It teaches another, which starts from its weights.
    tuned = run(
        "train", "qa", "--weights", "qa", "--data", SQUAD, "--recipe", "once.toml", "--out", "b",
        "--teacher", "qa", "--json",
    )  # fmt: skip
    assert tuned.code == 0, tuned.err
    assert "--split must" not in run("eval", "qa", "--data", SQUAD, "--split", "tset").failed(2)
    assert "No file at net.tflite" in run("eval", "net.tflite", "--data", SQUAD).failed(3)


def test_running_text(run: Run, files: Path) -> None:
    words = ["train", "spec.json", "--data", "text:text.txt", "--recipe", "once.toml"]
    words += ["--vocabulary", "vocab.txt", "--head", "masked_lm"]
    words += ["--sequence-length", "80", "--out", "lm", "--name", "lm"]
    trained = run(*words, "--json")
    assert trained.code == 0, trained.err
    assert set(trained.json["metrics"]) == {"masked_accuracy", "loss"}
    spec = json.loads((files / "lm" / "lm" / "spec.json").read_text())
    assert spec["input"]["sequence_length"] == 80


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (["--data", str(SQUAD)], 2, "needs --vocabulary"),
        (["--data", str(SQUAD), "--vocabulary", "no.txt"], 3, "no.txt"),
        (["--data", "none.json", "--vocabulary", "vocab.txt"], 3, "none.json"),
        (["--data", str(SQUAD), "--vocabulary", "vocab.txt", "--sequence-length", "20"], 2, "64"),
        (["--data", "digits"], 2, "reads text"),
        (
            ["--data", str(SQUAD), "--vocabulary", "vocab.txt", "--teacher", "spec.json"],
            2,
            "without weights",
        ),
    ],
)
def test_what_is_missing_is_one_line(
    words: list[str], code: int, hint: str, run: Run, files: Path
) -> None:
    failed = run("train", "spec.json", "--recipe", "once.toml", *words)
    assert hint in failed.failed(code)


def test_teachers_of_images(run: Run, tmp_path: Path) -> None:
    from model_zoo import create_model

    teacher = create_model(
        "mobilenet_edgetpu_v2_tiny",
        num_classes=2,
        input_shape=(32, 32, 3),
        width=0.25,
        strides="fit",
    )
    presets.save_preset(teacher, tmp_path / "teacher", "teacher")
    found = verb._teacher(SimpleNamespace(teacher="teacher", like=None))  # type: ignore[arg-type]
    assert found.shape == (32, 32, 3)
    assert found.identity == weights_digest(teacher)
    (tmp_path / "t.tflite").write_bytes(b"TFL3")
    words = ["train", "mobilenet_edgetpu_v2_tiny", "--data", "digits"]
    failed = run(*words, "--recipe", "fashion_mnist_tiny", "--teacher", "t.tflite")
    assert "--like" in failed.failed(2)

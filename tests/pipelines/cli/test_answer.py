"""`edgezoo answer`, and `quantize` and `eval` on questions, with a network of one block."""

import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from questions_kit import SQUAD, Files

from pipelines.export import load_certificate

Run = Callable[..., Any]
QUESTION = "Who lit the lamp?"
TEXT = "Rye loaves go in first.\nIn the morning the keeper of the lamp lights the oven.\n"


@pytest.fixture
def context(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def test_every_form_of_a_network_answers_with_a_part_of_the_text(
    run: Run, answerer: Files, context: Path
) -> None:
    texts = {}
    for form in (answerer.folder, answerer.keras, answerer.tflite):
        ran = run("answer", form, "--question", QUESTION, "--context", context, "--json")
        assert ran.code == 0, ran.err
        (best,) = ran.json["answers"]
        assert TEXT[best["start"] : best["end"]] == best["text"] != ""
        assert best["line"] == TEXT[: best["start"]].count("\n") + 1
        assert ran.json["unknown_words"] == []
        texts[form] = best
    assert texts[answerer.folder] == texts[answerer.keras]
    assert texts[answerer.tflite]["score"] == pytest.approx(texts[answerer.folder]["score"], abs=2)


def test_answers_are_told_in_words_and_several_of_them_in_a_table(
    run: Run, answerer: Files, context: Path
) -> None:
    words = ["answer", answerer.tflite, "--question", QUESTION, "--context", context]
    one = run(*words).out
    assert [line.split()[0] for line in one.splitlines()] == ["answer", "score", "position"]
    rows = run(*words, "--top", 4, "--json").json["answers"]
    assert len({row["text"] for row in rows}) == 4
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    table = run(*words, "--top", 4).out.splitlines()
    assert table[0].split() == ["answer", "score", "position"]
    assert len(table) == 6


def test_a_long_text_is_read_in_windows_and_from_a_pipe(
    run: Run, answerer: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = TEXT * 12
    piped = io.TextIOWrapper(io.BytesIO(long.encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", piped)
    ran = run("answer", answerer.folder, "--question", QUESTION, "--context", "-", "--json")
    assert ran.json["windows"] > 5
    best = ran.json["answers"][0]
    assert long[best["start"] : best["end"]] == best["text"]


def test_words_that_cannot_be_read_are_named(run: Run, answerer: Files, context: Path) -> None:
    context.write_text(TEXT + "東京 burns.", encoding="utf-8")
    ran = run("answer", answerer.folder, "--question", QUESTION, "--context", context, "--json")
    assert ran.code == 0
    assert ran.json["unknown_words"] == ["東", "京"]
    assert "cannot read 2 of the words: '東', '京'" in ran.err


@pytest.mark.parametrize(
    ("question", "text", "options", "code", "hint"),
    [
        (QUESTION, "", (), 3, "context is empty"),
        (QUESTION, " \n", (), 3, "context is empty"),
        (QUESTION, None, (), 3, "Cannot read the context"),
        (QUESTION, "東京", (), 3, "none of the context's characters"),
        ("   ", TEXT, (), 3, "question is empty"),
        ("東京", TEXT, (), 3, "none of the question's characters"),
        ("Who lit " + "the lamp of " * 9 + "it?", TEXT, (), 3, "the model reads 16; shorten it"),
        (QUESTION, TEXT, ("--top", "0"), 2, "--top"),
        (QUESTION, TEXT, ("--vocabulary", "other.txt"), 3, "use the vocab.txt the weights"),
        (QUESTION, TEXT, ("--vocabulary", "none.txt"), 3, "none.txt"),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    question: str,
    text: str | None,
    options: tuple[str, ...],
    code: int,
    hint: str,
    run: Run,
    answerer: Files,
    tmp_path: Path,
) -> None:
    if text is not None:
        (tmp_path / "asked.txt").write_text(text, encoding="utf-8")
    fewer = answerer.vocabulary.read_text().splitlines()[:-1]
    (tmp_path / "other.txt").write_text("\n".join(fewer) + "\n")
    # A file answers before Keras would be loaded, and refuses all the same.
    for form in (answerer.tflite, answerer.folder):
        asked = ["--question", question, "--context", tmp_path / "asked.txt"]
        assert hint in run("answer", form, *asked, *options).failed(code)


def test_models_for_something_else_are_refused(
    run: Run, answerer: Files, context: Path, tmp_path: Path
) -> None:
    asked = ["--question", QUESTION, "--context", context]
    failed = run("answer", "mobilenet_edgetpu_v2_tiny", *asked).failed(2)
    assert "answers no questions: it is for classification" in failed
    assert "without weights" in run("answer", "mobilebert_edgetpu_xxs", *asked, "--vocabulary",
                                    answerer.vocabulary).failed(2)  # fmt: skip
    (tmp_path / "broken.tflite").write_bytes(answerer.tflite.read_bytes()[:999])
    assert "broken.tflite" in run("answer", "broken.tflite", *asked).failed(3)


def test_a_file_of_other_makers_finds_its_vocabulary_beside_it(
    run: Run, answerer: Files, context: Path, tmp_path: Path
) -> None:
    from pipelines.export.edit import Edit

    edit = Edit(answerer.tflite.read_bytes())
    edit._model.metadata = []
    (tmp_path / "bare.tflite").write_bytes(edit.content())
    asked = ["answer", "bare.tflite", "--question", QUESTION, "--context", context]
    assert "--vocabulary" in run(*asked).failed(2)
    # Usual settings leave no room in 48 tokens: a question of 64 would not fit.
    assert "max_query_length" in run(*asked, "--vocabulary", answerer.vocabulary).failed(2)
    assert run(*asked, "--like", answerer.folder).code == 0


def test_a_file_that_hardly_follows_its_network_is_called_that(answerer: Files) -> None:
    from pipelines.cli.quantize import FAINT_DB, _text

    certificate = load_certificate(answerer.tflite)
    assert certificate.sqnr.output_db > FAINT_DB
    assert "noise of quantization" not in _text(answerer.tflite, certificate, "questions")
    faint = replace(certificate, sqnr=replace(certificate.sqnr, output_db=FAINT_DB - 1))
    assert "noise of quantization" in _text(answerer.tflite, faint, "questions")


def test_quantize_and_eval_on_questions(run: Run, answerer: Files, tmp_path: Path) -> None:
    words = ["quantize", answerer.folder, "--data", SQUAD, "--out", "out.tflite", "--samples", 4]
    shown = run(*words).out
    assert "4 questions, 4 different" in shown
    assert "host of coral_usb" in shown
    assert "Embedding" in shown
    assert not (tmp_path / "out.preprocessing.json").exists()
    scored = run("eval", "out.tflite", "--data", SQUAD, "--json").json
    assert scored["form"] == "int8"
    assert set(scored) >= {"f1", "exact_match", "loss", "examples"}
    shutil.copy("out.certificate.json", "kept.json")
    accuracy = json.loads(Path("kept.json").read_text())["accuracy"]
    assert accuracy["metric"] == "f1"
    assert accuracy["int8_value"] == pytest.approx(scored["f1"])
    failed = run("quantize", answerer.folder, "--data", "digits", "--out", "a.tflite").failed(2)
    assert "reads text; give questions" in failed

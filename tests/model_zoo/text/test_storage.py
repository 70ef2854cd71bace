"""Sentences as inputs, and preprocessors that are saved beside weights and come back equal or not at all."""

import json
from pathlib import Path

import pytest

from hw_model.errors import DataError
from model_zoo.text import (
    QuestionPreprocessor,
    QuestionSettings,
    SentencePreprocessor,
    SentenceSettings,
    Vocabulary,
    load_preprocessor,
    save_preprocessor,
)


def test_a_pair_is_laid_out_as_bert_reads_it(vocabulary: Vocabulary) -> None:
    prepared = SentencePreprocessor(
        vocabulary=vocabulary, settings=SentenceSettings(sequence_length=8)
    )
    inputs = prepared([("the fox", "saw"), "river", ("the fox saw the river", "in winter")])
    words = [" ".join(vocabulary.tokens[i] for i in row) for row in inputs["word_ids"]]
    assert words == [
        "[CLS] the fox [SEP] saw [SEP] [PAD] [PAD]",
        "[CLS] river [SEP] [PAD] [PAD] [PAD] [PAD] [PAD]",
        "[CLS] the fox saw [SEP] in winter [SEP]",
    ]
    assert inputs["type_ids"].tolist() == [
        [0, 0, 0, 0, 1, 1, 0, 0], [0] * 8, [0, 0, 0, 0, 0, 1, 1, 1],
    ]  # fmt: skip
    assert inputs["mask"].sum(axis=1).tolist() == [6, 3, 8]


def test_an_empty_sentence_is_refused(vocabulary: Vocabulary) -> None:
    with pytest.raises(DataError, match="Text 2 is empty"):
        SentencePreprocessor(vocabulary=vocabulary)(["fox", ("fox", " ")])


@pytest.mark.parametrize("kind", ["question", "sentence"])
def test_comes_back_equal(kind: str, vocabulary: Vocabulary, tmp_path: Path) -> None:
    saved: QuestionPreprocessor | SentencePreprocessor
    if kind == "question":
        saved = QuestionPreprocessor(
            vocabulary=vocabulary, settings=QuestionSettings(sequence_length=192, n_best=5)
        )
    else:
        saved = SentencePreprocessor(
            vocabulary=vocabulary, settings=SentenceSettings(sequence_length=64)
        )
    save_preprocessor(saved, tmp_path / "preset")
    assert load_preprocessor(tmp_path / "preset") == saved


def test_damage_is_refused_in_one_line(vocabulary: Vocabulary, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Cannot read"):
        load_preprocessor(tmp_path)
    save_preprocessor(QuestionPreprocessor(vocabulary=vocabulary), tmp_path)
    file, words = tmp_path / "preprocessing.json", tmp_path / "vocab.txt"
    good = file.read_text()
    data = json.loads(good)
    for bad, problem in (
        (good[:-20], "not valid JSON"),
        (json.dumps({**data, "extra": 1}), "extra"),
        (json.dumps({**data, "settings": {**data["settings"], "doc_stride": -1}}), "doc_stride"),
    ):
        file.write_text(bad)
        with pytest.raises(DataError, match=problem) as caught:
            load_preprocessor(tmp_path)
        assert "\n" not in str(caught.value)
    file.write_text(good)
    lines = words.read_text().splitlines(keepends=True)
    words.write_text("".join([*lines[:-2], lines[-1], lines[-2]]))
    with pytest.raises(DataError, match="another vocabulary"):
        load_preprocessor(tmp_path)

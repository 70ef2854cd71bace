"""SQuAD's TFRecords: read without TensorFlow as TensorFlow wrote them; every damage is one line."""

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError
from model_zoo.text import QuestionPreprocessor, QuestionSettings, Vocabulary
from pipelines.data.text import QuestionExample, load_questions
from pipelines.data.text.squad_records import FEATURES_FILE, TRUTH_FILE
from pipelines.data.text.tfrecord import read_examples

Write = Callable[[Path, list[dict[str, Any]], str], None]


@pytest.fixture(scope="module")
def write() -> Write:
    """Writes examples by TensorFlow itself."""
    tf = pytest.importorskip("tensorflow")

    def feature(values: list[Any]) -> Any:
        if values and isinstance(values[0], int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[value.encode() for value in values])
        )

    def write_all(path: Path, examples: list[dict[str, Any]], compression: str) -> None:
        with tf.io.TFRecordWriter(str(path), compression) as writer:
            for example in examples:
                members = {name: feature(values) for name, values in example.items()}
                message = tf.train.Example(features=tf.train.Features(feature=members))
                writer.write(message.SerializeToString())

    return write_all


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_reads_what_tensorflow_writes(compression: str, write: Write, tmp_path: Path) -> None:
    numbers = [0, 1, 127, 128, 300, 2**31, 2**63 - 1]
    examples = [
        {"ids": numbers, "words": ["Møller", "", "x" * 500]},
        {"ids": list(range(400)), "words": ["two"]},
    ]
    write(tmp_path / "r", examples, compression)
    read = list(read_examples(tmp_path / "r"))
    assert [
        {"ids": record["ids"].integers(), "words": record["words"].texts()} for record in read
    ] == examples
    with pytest.raises(DataError, match="feature 'ids' is not text"):
        read[0]["ids"].texts()
    with pytest.raises(DataError, match="feature 'words' is no list of integers"):
        read[0]["words"].integers()


@pytest.mark.parametrize("compression", ["", "GZIP", "ZLIB"])
def test_no_damage_goes_unseen(compression: str, write: Write, tmp_path: Path) -> None:
    def content() -> list[Any]:
        return [(r["ids"].integers(), r["words"].texts()) for r in read_examples(tmp_path / "r")]

    write(tmp_path / "r", [{"ids": [1, 2, 3], "words": ["a", "b"]}] * 3, compression)
    good, whole = (tmp_path / "r").read_bytes(), content()
    rng = np.random.default_rng(0)
    problems = []
    for place in rng.integers(0, len(good), 60):
        bad = bytearray(good)
        bad[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "r").write_bytes(bytes(bad))
        # Some bits of a gzip file mean nothing: its time, and what fills the last byte.
        try:
            assert content() == whole
        except DataError as error:
            problems.append(str(error))
    assert len(problems) == 60 if not compression else len(problems) > 40
    assert all("damaged or no TFRecord file" in text and "\n" not in text for text in problems)


@pytest.mark.parametrize("compression", ["", "ZLIB"])
def test_a_truncated_file_is_refused(compression: str, write: Write, tmp_path: Path) -> None:
    write(tmp_path / "r", [{"ids": [1, 2, 3]}], compression)
    good = (tmp_path / "r").read_bytes()
    for length in range(1, len(good)):
        (tmp_path / "bad").write_bytes(good[:length])
        with pytest.raises(DataError, match="damaged or no TFRecord file"):
            list(read_examples(tmp_path / "bad"))


def test_what_is_no_tfrecord_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("question,answer\n" * 9)
    with pytest.raises(DataError, match="no record begins at byte 0"):
        list(read_examples(tmp_path / "r"))
    (tmp_path / "r").write_bytes(zlib.compress(b"question,answer" * 9))
    with pytest.raises(DataError, match="no record begins at byte 0"):
        list(read_examples(tmp_path / "r"))
    with pytest.raises(DataError, match="Cannot read"):
        list(read_examples(tmp_path / "none"))


def records_of(
    example: QuestionExample, vocabulary: Vocabulary
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What the published files hold of a question: features of each window, and the truth."""
    settings = QuestionSettings(sequence_length=64, max_query_length=20)
    prepared = QuestionPreprocessor(vocabulary=vocabulary, settings=settings)
    windows = prepared.windows([(example.question, example.context)])
    features = [
        {
            "qas_id": [example.key],
            "tokens": [vocabulary.tokens[i] for i in window.word_ids],
            "input_ids": window.word_ids.tolist(),
        }
        for window in windows
    ]
    truth = {
        "qas_id": [example.key], "words": example.context.split(), "answers": list(example.texts),
    }  # fmt: skip
    return features, truth


@pytest.fixture
def records(write: Write, vocabulary: Vocabulary, small: Path, tmp_path: Path) -> Path:
    """A folder with both files of the small data set."""
    data = load_questions(small)
    pairs = [records_of(example, vocabulary) for example in (*data.train, *data.test)]
    write(tmp_path / FEATURES_FILE, [f for features, _ in pairs for f in features], "ZLIB")
    write(tmp_path / TRUTH_FILE, [truth for _, truth in pairs], "ZLIB")
    return tmp_path


def test_records_give_the_questions_back(
    records: Path, small: Path, vocabulary: Vocabulary
) -> None:
    plain, read = load_questions(small), load_questions(records)
    for side in ("train", "test"):
        for before, after in zip(plain.splits[side], read.splits[side], strict=True):
            assert (after.key, after.context, after.texts) == (
                before.key, before.context, before.texts,
            )  # fmt: skip
            assert after.answers == before.answers
            assert records_of(after, vocabulary) == records_of(before, vocabulary)


def test_records_that_lack_something_are_refused(records: Path, write: Write) -> None:
    whole = [
        {
            "qas_id": r["qas_id"].texts(),
            "words": r["words"].texts(),
            "answers": r["answers"].texts(),
        }
        for r in read_examples(records / TRUTH_FILE)
    ]
    for change, problem in (
        ({"qas_id": ["other"]}, "has no features of question 'other'"),
        ({"qas_id": ["a", "b"]}, "'qas_id' is one text a record. Received: 2"),
        ({"answers": [1]}, "feature 'answers' is not text"),
    ):
        write(records / TRUTH_FILE, [{**whole[0], **change}, *whole[1:]], "ZLIB")
        with pytest.raises(DataError, match=problem):
            load_questions(records)
    write(records / TRUTH_FILE, [{"qas_id": ["light-1"]}], "ZLIB")
    with pytest.raises(DataError, match="a record has no 'words'. Received: qas_id"):
        load_questions(records)
    write(records / FEATURES_FILE, [{"qas_id": ["light-1"], "tokens": ["[CLS]", "who"]}], "ZLIB")
    with pytest.raises(DataError, match=r"have no \[SEP\]"):
        load_questions(records)

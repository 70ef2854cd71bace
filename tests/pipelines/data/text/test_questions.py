"""Questions from every kind of source: the same ten questions, and one line for what cannot be read."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, UnknownNameError, UsageError
from pipelines.data.text import QuestionDataset, QuestionExample, load_questions, split_by_paragraph
from pipelines.data.text.questions import find_answer


def everything(data: QuestionDataset) -> list[QuestionExample]:
    """All questions of both splits."""
    return [*data.train, *data.test]


def test_a_json_file_is_split_by_its_paragraphs(small: Path) -> None:
    data = load_questions(small)
    assert [example.key for example in data.train] == [
        *(f"light-{i}" for i in range(1, 6)), "baker-1", "baker-2", "baker-3",
    ]  # fmt: skip
    assert [example.key for example in data.test] == ["baker-4", "baker-5"]
    assert not {e.context for e in data.train} & {e.context for e in data.test}
    for example in everything(data):
        for answer in example.answers:
            assert answer.start is not None
            assert example.context.startswith(answer.text, answer.start)
    assert data.train[0].texts == ("Ida Møller", "Møller")
    assert data.train[0].article == "Lighthouse"


def test_a_folder_of_both_files_is_train_and_test(small: Path, tmp_path: Path) -> None:
    content = json.loads(small.read_text(encoding="utf-8"))
    for name, articles in (("train", content["data"][:1]), ("dev", content["data"][1:])):
        (tmp_path / f"{name}-v1.1.json").write_text(json.dumps({"data": articles}))
    data = load_questions(tmp_path)
    assert (len(data.train), len(data.test)) == (5, 5)
    (tmp_path / "train-v1.1.json").unlink()
    assert (len(load_questions(tmp_path).train), len(load_questions(tmp_path).test)) == (3, 2)


@pytest.fixture(scope="module")
def builder_class(small: Path) -> Any:
    """A tfds data set with the features of squad/v1.1 and the ten questions."""
    tfds = pytest.importorskip("tensorflow_datasets")
    questions = everything(load_questions(small))

    class TinyQuestions(tfds.core.GeneratorBasedBuilder):
        """Ten questions, keyed so that tfds shuffles them."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            text = tfds.features.Text()
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(
                    {
                        "id": text, "title": text, "context": text, "question": text,
                        "answers": tfds.features.Sequence({"text": text, "answer_start": np.int32}),
                    }
                )
            )  # fmt: skip

        def _split_generators(self, _: Any) -> dict[str, Any]:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
            for q in questions:
                answers = [{"text": a.text, "answer_start": a.start} for a in q.answers]
                example = {"id": q.key, "title": q.article, "context": q.context}
                yield q.key, {**example, "question": q.question, "answers": answers}

    return TinyQuestions


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def prepared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    builder_class: Any,
) -> Path:
    """The version folder of a prepared data set."""
    folder = tmp_path_factory.mktemp(request.param)
    builder = builder_class(data_dir=folder, file_format=request.param)
    builder.download_and_prepare()
    return Path(builder.data_dir)


def test_tfds_gives_the_same_questions(prepared: Path, small: Path) -> None:
    def facts(data: QuestionDataset) -> list[Any]:
        return sorted(
            (e.key, e.question, e.context, e.article, e.answers) for e in everything(data)
        )

    data = load_questions(prepared)
    assert facts(data) == facts(load_questions(small))
    assert not {e.context for e in data.train} & {e.context for e in data.test}
    # Articles lie together, whatever order tfds wrote them in.
    articles = [e.article for e in everything(data)]
    assert articles == sorted(articles)


def test_an_unprepared_or_unknown_tfds_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorflow_datasets")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"'squad/v1.1' is not prepared"):
        load_questions("tfds:squad/v1.1")
    with pytest.raises(UnknownNameError, match="squad"):
        load_questions("tfds:sqad")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("", "is not JSON"),
        ('{"data": [', "is not JSON"),
        ("[]", "data is missing or no list"),
        ('{"data": []}', "has no questions"),
        ('{"data": [{"paragraphs": [3]}]}', r"data\[0\].paragraphs\[0\] is not an object"),
        (
            '{"data": [{"paragraphs": [{"qas": []}]}]}',
            r"data\[0\].paragraphs\[0\].context is missing",
        ),
    ],
)
def test_damaged_json_is_refused_in_one_line(change: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(change)
    with pytest.raises(DataError, match=problem) as caught:
        load_questions(tmp_path / "q.json")
    assert "\n" not in str(caught.value)
    assert "q.json" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("id", "light-2", "'light-2' stands twice"),
        ("question", None, r"paragraphs\[0\].qas\[0\].question is missing"),
        ("answers", [{"text": "x"}], r"answers\[0\].answer_start is missing"),
        ("answers", [{"text": "x", "answer_start": True}], "answer_start is missing or no int"),
    ],
)
def test_a_wrong_field_is_named(
    key: str, value: Any, problem: str, small: Path, tmp_path: Path
) -> None:
    content = json.loads(small.read_text(encoding="utf-8"))
    content["data"][0]["paragraphs"][0]["qas"][0][key] = value
    (tmp_path / "q.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=problem):
        load_questions(tmp_path / "q.json")


def test_what_is_nowhere_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds none of train-v1.1.json"):
        load_questions(tmp_path)
    with pytest.raises(DataError, match="There is no file or folder"):
        load_questions(tmp_path / "none.json")
    with pytest.raises(UnknownNameError, match="question data set"):
        load_questions("sqaud")


@pytest.mark.parametrize(
    ("text", "hint", "start", "found"),
    [
        ("car", None, 14, "car"),
        ("car", 2, 2, "car"),
        ("car", 5, 14, "car"),
        ("car", -3, 14, "car"),
        (" car ", None, 14, "car"),
        ("art", None, 3, "art"),
        ("and a", None, 7, "and  a"),
        ("bus", 2, None, "bus"),
        ("  ", 0, None, "  "),
    ],
)
def test_an_answer_is_found(text: str, hint: int | None, start: int | None, found: str) -> None:
    answer = find_answer("a cart and  a car", text, hint)
    assert (answer.start, answer.text) == (start, found)


def test_a_split_needs_two_paragraphs_and_a_share(small: Path) -> None:
    whole = everything(load_questions(small))
    train, test = split_by_paragraph(whole, 0.4)
    assert (len(train), len(test)) == (5, 5)
    assert split_by_paragraph(whole, 0.4) == (train, test)
    with pytest.raises(DataError, match="Received: 1"):
        split_by_paragraph(whole[:3])
    with pytest.raises(UsageError, match="share"):
        split_by_paragraph(whole, 1.0)

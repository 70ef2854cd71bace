"""Searches that train on questions: what is held out, how it is read, files that must not change, and a teacher."""

import json
import string
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, UnknownNameError, UsageError
from model_zoo import presets
from pipelines.data.text import QuestionExample, QuestionSplit
from pipelines.data.text.questions import find_answer
from pipelines.distill.teachers import read_teacher
from pipelines.search import (
    Budget,
    QualityConfig,
    SearchConfig,
    Study,
    best,
    export_winner,
    open_study,
    run_search,
)
from pipelines.search.quality.files import check_unchanged, with_hashes
from pipelines.search.quality.texts import part_questions, reading_of, settings_of
from pipelines.search.quality.training import search_data

PLACES = ("mill", "farm", "barn", "dock", "gate", "yard", "well", "tower")
NAMES = ("ann", "bob", "carl")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def examples() -> list[QuestionExample]:
    """Three questions to each of eight paragraphs."""
    found = []
    for number, place in enumerate(PLACES):
        context = f"the {place} is kept by ann, its dogs by bob, its clock by carl"
        found += [
            QuestionExample(
                key=f"{place}-{name}",
                question=f"who is {name} at the {place}",
                context=context,
                answers=(find_answer(context, name),),
                paragraph=number,
            )
            for name in NAMES
        ]
    return found


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with questions as SQuAD has them, and a vocabulary that spells them."""
    pytest.importorskip("tokenizers")
    paragraphs = []
    for place in PLACES:
        own = [each for each in examples() if each.key.startswith(place)]
        asked = [
            {
                "id": each.key,
                "question": each.question,
                "answers": [{"text": a.text, "answer_start": a.start} for a in each.answers],
            }
            for each in own
        ]
        paragraphs.append({"context": own[0].context, "qas": asked})
    data = {"version": "1.1", "data": [{"title": "places", "paragraphs": paragraphs}]}
    folder = tmp_path / "squad"
    folder.mkdir()
    (folder / "train-v1.1.json").write_text(json.dumps(data))
    letters = [*string.ascii_lowercase, ",", *(f"##{c}" for c in string.ascii_lowercase)]
    words = [*SPECIAL, *letters, "the", "who", "kept", *PLACES, *NAMES]
    (tmp_path / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    return tmp_path


def config_of(files: Path, **changes: Any) -> SearchConfig:
    """A study of one trial on the questions of `files`."""
    quality: dict[str, Any] = {
        "data": str(files / "squad"),
        "vocabulary": str(files / "vocab.txt"),
        "recipe": "search_text_short",
        "test_images": 4,
        "repeats": 0,
    }
    settings: dict[str, Any] = {
        "folder": str(files / "study"),
        "budget": Budget.parse("0.5ms"),
        "space": "mobilebert",
        "sequence_length": 32,
        "vocabulary_size": len((files / "vocab.txt").read_text().splitlines()),
        "width": 0.03,
        "trials": 1,
    }
    names = {field.name for field in fields(QualityConfig)}
    own = {name: changes.pop(name) for name in names & set(changes)}
    return SearchConfig(**settings | changes, quality=QualityConfig(**quality | own))


@pytest.mark.parametrize("count", [1, 4, 7])
def test_no_paragraph_is_on_both_sides(count: int) -> None:
    train, held = part_questions(QuestionSplit(examples()), count)
    assert len(held) == count
    assert {e.context for e in train.examples}.isdisjoint({e.context for e in held.examples})
    # Questions of a paragraph that is held out in part serve neither side.
    assert len(train) == 24 - 3 * -(-count // 3)
    again = part_questions(QuestionSplit(examples()), count)
    assert [e.key for e in again[1].examples] == [e.key for e in held.examples]


def test_something_is_left_to_train_on() -> None:
    with pytest.raises(UsageError, match="Cannot hold out 22 of 24 questions"):
        part_questions(QuestionSplit(examples()), 22)


@pytest.mark.parametrize(
    ("length", "query", "stride"), [(384, 64, 128), (192, 64, 64), (64, 29, 21), (8, 1, 2)]
)
def test_short_sequences_have_room_for_the_context(length: int, query: int, stride: int) -> None:
    settings = settings_of(length)
    assert (settings.max_query_length, settings.doc_stride) == (query, stride)


def test_data_of_a_search(files: Path) -> None:
    """The test split of the data is not looked at: what is held out is of its train split."""
    from pipelines.data.text import load_questions

    config = config_of(files, train_images=5)
    data = search_data(config)
    assert (data.task, len(data.train), len(data.test)) == ("answering", 5, 4)
    assert isinstance(data.test, QuestionSplit)
    tested = {e.key for e in load_questions(files / "squad").test}
    assert tested.isdisjoint({e.key for e in data.test.examples})
    with pytest.raises(UnknownNameError, match="Did you mean f1"):
        search_data(config_of(files, metric="f2"))
    with pytest.raises(UnknownNameError, match="question data set"):
        search_data(config_of(files, data="digits"))


def test_questions_need_the_vocabulary_of_the_space(files: Path) -> None:
    assert reading_of(config_of(files)).settings.sequence_length == 32
    with pytest.raises(UsageError, match="set quality.vocabulary"):
        reading_of(config_of(files, vocabulary=""))
    with pytest.raises(DataError, match="tokens; set vocabulary_size to that. Received: 7"):
        reading_of(config_of(files, vocabulary_size=7))


def test_files_of_a_study_stay_as_they_are(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    begun = with_hashes(QualityConfig(vocabulary="vocab.txt"))
    assert begun.vocabulary == str(files / "vocab.txt")
    check_unchanged(begun)
    check_unchanged(QualityConfig())
    (files / "vocab.txt").write_text("[PAD]\n")
    with pytest.raises(UsageError, match="changed since this study began"):
        check_unchanged(begun)
    with pytest.raises(DataError, match="No file at"):
        with_hashes(QualityConfig(vocabulary="none.txt"))
    (files / "t.tflite").write_bytes(b"")
    with pytest.raises(UsageError, match=r"a preset, a weights folder or a \.keras file"):
        with_hashes(QualityConfig(teacher="t.tflite"))
    with pytest.raises(UnknownNameError, match="preset"):
        with_hashes(QualityConfig(teacher="nobody"))


@pytest.fixture
def make_teacher(files: Path) -> Callable[..., Path]:
    """Writes a Keras model of plain layers that answers questions."""

    def make(length: int = 32) -> Path:
        import keras
        from keras import layers

        keras.utils.set_random_seed(3)
        words = config_of(files).vocabulary_size
        names = ("input_word_ids", "input_mask", "input_type_ids")
        inputs = {name: keras.Input((length,), dtype="int32", name=name) for name in names}
        x = layers.Embedding(words, 4)(inputs["input_word_ids"])
        kinds = layers.Embedding(2, 4)
        x = layers.Add()([x, kinds(inputs["input_mask"]), kinds(inputs["input_type_ids"])])
        outputs = {
            name: layers.Flatten(name=name)(layers.Dense(1)(x))
            for name in ("end_logits", "start_logits")
        }
        model = keras.Model(list(inputs.values()), outputs)
        model.save(files / "teacher.keras")
        return files / "teacher.keras"

    return make


def test_any_keras_file_teaches(make_teacher: Callable[..., Path], files: Path) -> None:
    path = make_teacher()
    teacher = read_teacher(str(path))
    assert teacher.name == "teacher.keras"
    inputs = {
        f"input_{name}": np.ones((2, 32), np.int32) for name in ("word_ids", "mask", "type_ids")
    }
    assert {key: each.shape for key, each in teacher.ask(inputs).items()} == {
        "end_logits": (2, 32),
        "start_logits": (2, 32),
    }
    path.write_bytes(b"not a model")
    with pytest.raises(DataError, match="is no Keras model"):
        read_teacher(str(path))


def test_what_nobody_trained_does_not_teach(files: Path) -> None:
    from model_zoo import create_model

    model = create_model("mobilenet_edgetpu_v2_tiny", input_shape=(32, 32, 3), width=0.25)
    model.save(files / "fresh.keras")
    for reference, reason in (
        (str(files / "fresh.keras"), "fresh.keras has random weights"),
        ("mobilebert_edgetpu_xxs", "is an architecture without weights"),
    ):
        with pytest.raises(UsageError, match=f"{reason}, which teaches nothing"):
            read_teacher(reference)


def test_a_trial_is_told_how_to_read_and_from_whom_to_learn(
    files: Path, make_teacher: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And its winner is a preset that knows its words."""
    told: list[dict[str, Any]] = []

    def train(model: Any, data: Any, recipe: Any, *, run_dir: Path, **settings: Any) -> Any:
        told.append(settings)
        weights = run_dir / "w.weights.h5"
        weights.parent.mkdir(parents=True)
        model.save_weights(weights)
        metrics = {"f1": 0.25, "exact_match": 0.125, "loss": 1.0}
        return SimpleNamespace(metrics=metrics, weights=weights, epochs=1, recipe_id=recipe.name)

    monkeypatch.setattr("pipelines.train.train", train)
    study = run_search(config_of(files, teacher=str(make_teacher())), progress=False)
    (trial,) = study.trials
    assert trial.failure is None
    assert (trial.quality, trial.quality_detail["metric"]) == (0.25, "f1")
    assert told[0]["teacher"].name == "teacher.keras"
    assert told[0]["preprocessing"].settings.sequence_length == 32
    assert len(study.manifest.config.quality.teacher_sha256) == 64
    check_export(study, files / "w")


def check_export(study: Study, out: Path) -> None:
    """Weights, vocabulary and metric of the winner are in the preset."""
    export_winner(study, out, name="found")
    (preset,) = presets.read_manifest(out).presets
    model = presets.load_model(out)
    assert preset.weights is not None
    assert preset.metrics[0].value == best(study).quality
    assert model.preprocessing.vocabulary == reading_of(study.manifest.config).vocabulary


@pytest.mark.slow
def test_a_search_by_short_distillation(files: Path, make_teacher: Callable[..., Path]) -> None:
    """Two networks are trained with a teacher, one more after the study was closed; the winner does as it did."""
    from pipelines.search import resume
    from pipelines.tasks import evaluate

    settings = config_of(
        files, teacher=str(make_teacher()), trials=2, metric="exp_loss", sampler="random"
    )
    run_search(settings, progress=False)
    study = resume(settings.folder, trials=3, progress=False)
    assert len(study.complete) == 3
    assert all(0 < (trial.quality or 0) < 1 for trial in study.trials)
    check_export(open_study(settings.folder), files / "w")
    model = presets.load_model(files / "w")
    found = evaluate(model, search_data(settings).test, model.preprocessing)
    assert np.exp(-found["loss"]) == pytest.approx(best(study).quality, rel=1e-4)

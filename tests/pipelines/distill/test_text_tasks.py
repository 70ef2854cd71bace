"""Questions and masked words as tasks: what is learned and scored, fine-tuning, teachers of labels, what is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, SpecError, UsageError
from model_zoo.text import QuestionPreprocessor
from pipelines.data import subset
from pipelines.data.batches import Batches
from pipelines.data.text import MaskedSplit, QuestionSplit, TextDataset
from pipelines.data.text.batches import UNCOUNTED, MaskedBatches, QuestionBatches
from pipelines.tasks import METRIC_WORDS, TASKS, evaluate, task_of
from pipelines.tasks.answer import OUTPUTS, score_answers
from pipelines.train import Recipe, finetune, train
from pipelines.train.recipe import parse_recipe

Make = Callable[..., Any]
TASK = TASKS["answering"]


def quick(**changes: Any) -> Recipe:
    table = {
        "batch_size": 8,
        "eval_images": 4,
        "optimizer": {"name": "adamw", "learning_rate": 0.01},
    }
    return parse_recipe({**table, **changes})


def test_questions_are_learned_and_the_result_resumes(
    make_toy: Make, questions: TextDataset, preprocessor: QuestionPreprocessor, tmp_path: Path
) -> None:
    model = make_toy(1)
    settings: dict[str, Any] = {"run_dir": tmp_path, "preprocessing": preprocessor, "verbose": 0}
    result = train(model, questions, quick(epochs=3), **settings)
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert set(result.metrics) == {"f1", "exact_match", "loss"} <= set(METRIC_WORDS)
    again = train(make_toy(1), questions, quick(epochs=3), resume=True, **settings)
    assert again.metrics == result.metrics
    assert evaluate(model, questions.test, preprocessor) == result.metrics


@pytest.mark.parametrize("batch_size", [3, 64])
def test_a_network_that_knows_the_answers_scores_full_marks(
    batch_size: int, questions: TextDataset, preprocessor: QuestionPreprocessor
) -> None:
    split = questions.test
    assert isinstance(split, QuestionSplit)
    truth = QuestionBatches(split, preprocessing=preprocessor, batch_size=len(split))
    known = {
        tuple(row): (start, end)
        for inputs, targets in (truth[0],)
        for row, start, end in zip(
            inputs["input_word_ids"], targets["start_logits"], targets["end_logits"], strict=True
        )
    }

    def ask(inputs: dict[str, Any]) -> dict[str, Any]:
        logits = {name: np.zeros(inputs["input_word_ids"].shape, np.float32) for name in OUTPUTS}
        for number, row in enumerate(inputs["input_word_ids"]):
            start, end = known[tuple(row)]
            logits["start_logits"][number, start] = logits["end_logits"][number, end] = 30
        return logits

    scores = score_answers(ask, split, preprocessor, batch_size=batch_size)
    assert scores == pytest.approx({"f1": 1.0, "exact_match": 1.0, "loss": 0.0}, abs=1e-6)

    def blind(inputs: dict[str, Any]) -> dict[str, Any]:
        return {name: np.zeros(inputs["input_word_ids"].shape, np.float32) for name in OUTPUTS}

    nothing = score_answers(blind, split, preprocessor, batch_size=batch_size)
    assert nothing["loss"] == pytest.approx(np.log(24), rel=1e-5)
    assert nothing["exact_match"] < 1


def test_a_teacher_of_answers(
    make_toy: Make, questions: TextDataset, preprocessor: QuestionPreprocessor, tmp_path: Path
) -> None:
    """Labels alone, from a model of other width and depth."""
    teacher = make_toy(1, width=6, seed=4)
    result = train(
        make_toy(1),
        questions,
        quick(distillation={"alpha": 1.0, "temperature": 2.0}, steps_per_epoch=2),
        run_dir=tmp_path,
        preprocessing=preprocessor,
        teacher=teacher,
        verbose=0,
    )
    # The teacher answers at random, so its labels are about as even as they get: 4 * log(24).
    assert result.history[0]["loss"] == pytest.approx(4 * np.log(24), rel=0.1)
    with pytest.raises(UsageError, match="feature_weight is for classification"):
        train(
            make_toy(1),
            questions,
            quick(distillation={"feature_weight": 1.0}),
            run_dir=tmp_path / "features",
            preprocessing=preprocessor,
            teacher=teacher,
        )


def test_masked_words_train_a_network_of_the_zoo_and_its_body_answers_questions(
    make_text_model: Make,
    words: TextDataset,
    questions: TextDataset,
    preprocessor: QuestionPreprocessor,
    tmp_path: Path,
) -> None:
    """The one run through a whole MobileBERT, with a teacher of its own kind; then the head is exchanged."""
    student = make_text_model(1, head="pretraining")
    teacher = make_text_model(2, head="pretraining", norm="layer_norm", activation="gelu")
    recipe = quick(
        steps_per_epoch=1,
        distillation={"copy_embedding": True, "swap_gamma_beta": True, "double_softmax": True},
        stages=[{"learn": "layers"}, {"name": "end"}],
    )
    result = train(
        student, words, recipe, run_dir=tmp_path / "a", teacher=teacher, seed=1, verbose=0
    )
    assert set(result.metrics) == {"masked_accuracy", "next_sentence_accuracy", "loss"}
    assert {"masked_lm_loss", "next_sentence_loss"} <= set(result.history[-1])
    before = student.get_weights()
    answering, tuned = finetune(
        student,
        questions,
        quick(steps_per_epoch=1, optimizer={"learning_rate": 1e-9}),
        run_dir=tmp_path / "b",
        preprocessing=preprocessor,
        verbose=0,
    )
    assert task_of(questions.train).NAME == answering.spec.task == "answering"
    assert set(tuned.metrics) == {"f1", "exact_match", "loss"}
    for kept, now in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(now, kept)
    np.testing.assert_allclose(
        answering.get_layer("block_0_query").get_weights()[0],
        student.get_layer("block_0_query").get_weights()[0],
        atol=1e-6,
    )


def test_masks_change_with_the_epoch_in_training_only(words: TextDataset) -> None:
    split = words.train
    assert isinstance(split, MaskedSplit)
    settings: dict[str, Any] = {"next_sentence": True, "batch_size": 40}
    for training in (True, False):
        batches = MaskedBatches(split, training=training, **settings)
        masked = []
        for epoch in range(2):
            batches.epoch = epoch
            inputs, targets = batches[0]
            assert inputs["masked_lm_positions"].shape == targets["masked_lm"].shape == (40, 3)
            assert (targets["masked_lm"] >= UNCOUNTED).all()
            masked.append(np.sort((inputs["input_word_ids"] == 4).sum(axis=0)))
        assert (masked[0].tolist() != masked[1].tolist()) == training


def test_an_epoch_of_more_steps_than_examples_goes_round_again(
    questions: TextDataset, preprocessor: QuestionPreprocessor
) -> None:
    split = subset(questions.train, 6)
    assert isinstance(split, QuestionSplit)
    batches = QuestionBatches(
        split, preprocessing=preprocessor, batch_size=4, training=True, steps=5, seed=1
    )
    seen = np.concatenate([batches.indices(step) for step in range(len(batches))])
    assert len(batches) == 5
    assert sorted(seen[:6]) == sorted(seen[6:12]) == list(range(6))
    assert len(QuestionBatches(split, preprocessing=preprocessor, batch_size=4, steps=5)) == 2


def test_what_does_not_fit_is_one_line(
    make_toy: Make,
    make_text_model: Make,
    questions: TextDataset,
    words: TextDataset,
    preprocessor: QuestionPreprocessor,
    tmp_path: Path,
) -> None:
    span = make_text_model(1)

    def fit(model: Any, data: TextDataset, reading: Any = preprocessor, **recipe: Any) -> None:
        train(model, data, quick(**recipe), run_dir=tmp_path, preprocessing=reading, verbose=0)

    with pytest.raises(UsageError, match="pass preprocessing=QuestionPreprocessor"):
        fit(span, questions, None)
    with pytest.raises(UsageError, match="create it with head='span'"):
        fit(make_text_model(1, head="masked_lm"), questions)
    with pytest.raises(UsageError, match="create it with head='masked_lm'"):
        fit(span, words)
    with pytest.raises(UsageError, match="reads 20 tokens, the preprocessing makes 24"):
        fit(make_toy(1, length=20), questions)
    longer = replace(preprocessor, settings=replace(preprocessor.settings, sequence_length=64))
    with pytest.raises(UsageError, match="at most 32 tokens"):
        fit(span, questions, longer)
    tokens = replace(preprocessor.vocabulary, tokens=preprocessor.vocabulary.tokens[:-1])
    with pytest.raises(DataError, match="vocabulary"):
        fit(span, questions, replace(preprocessor, vocabulary=tokens))
    with pytest.raises(SpecError, match="^augmentation: is for images"):
        fit(span, questions, augmentation={"flip": True})
    with pytest.raises(UsageError, match="without label smoothing"):
        fit(span, questions, label_smoothing=0.1)
    with pytest.raises(DataError, match="nothing in its test split"):
        TextDataset(name="x", splits={"train": questions.train})
    with pytest.raises(DataError, match="x.tflite does not exist"):
        TASK.evaluate_file("x.tflite", questions.test, preprocessor)


def test_a_teacher_is_asked_once_about_what_comes_back_in_every_epoch(
    make_toy: Make, questions: TextDataset, preprocessor: QuestionPreprocessor, tmp_path: Path
) -> None:
    teacher = make_toy(2)
    asked = []

    def counting(inputs: Any) -> Any:
        asked.append(len(inputs["input_word_ids"]))
        return teacher.predict_on_batch(inputs)

    recipe = quick(epochs=6, distillation={"alpha": 1.0})
    settings: dict[str, Any] = {"preprocessing": preprocessor, "verbose": 0}
    once = make_toy(1)
    train(once, questions, recipe, run_dir=tmp_path / "once", teacher=counting, **settings)
    assert isinstance(questions.train, QuestionSplit)
    windows = len(questions.train.training_windows(preprocessor))
    assert windows <= sum(asked) <= windows + 8


def test_what_a_teacher_said_is_remembered_by_all_inputs() -> None:
    from pipelines.distill.memory import remember

    asked = []

    def ask(inputs: Any) -> dict[str, Any]:
        asked.append(len(inputs["a"]))
        return {"x": inputs["a"] + 10 * inputs["b"]}

    class Two(Batches):
        def examples(self, chosen: Any, rng: Any) -> Any:
            return {"a": chosen[:, None], "b": 1 - chosen[:, None]}, None

    recall = remember(ask, Two(range(3), batch_size=2))
    assert asked == [2, 1]
    known = {"a": np.array([[2], [0]]), "b": np.array([[-1], [1]])}
    assert recall(known)["x"].tolist() == [[-8], [10]]
    assert asked == [2, 1]
    new = {"a": np.array([[2], [0]]), "b": np.array([[-1], [0]])}
    assert recall(new)["x"].tolist() == [[-8], [0]]
    assert asked == [2, 1, 2]

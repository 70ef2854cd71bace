"""Training windows: the answer's tokens are found again, and answers that are nowhere are dropped, counted, refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hw_model.errors import DataError
from model_zoo.text import QuestionPreprocessor, QuestionSettings, Vocabulary
from pipelines.data.text import GoldAnswer, load_questions, training_windows
from pipelines.tasks.squad_metrics import question_scores


def preprocessor(vocabulary: Vocabulary, length: int) -> QuestionPreprocessor:
    """A preprocessor of short windows that overlap by half."""
    settings = QuestionSettings(sequence_length=length, max_query_length=16, doc_stride=16)
    return QuestionPreprocessor(vocabulary=vocabulary, settings=settings)


@pytest.mark.parametrize("length", [48, 384])
def test_a_network_that_knows_the_positions_answers_all_right(
    length: int, vocabulary: Vocabulary, small: Path
) -> None:
    examples = load_questions(small).train
    prepared = preprocessor(vocabulary, length)
    training = training_windows(prepared, examples)
    assert training.dropped == 0
    assert {w.example for w, s in zip(training.windows, training.starts, strict=True) if s} == set(
        range(len(examples))
    )
    logits = np.zeros((2, len(training), length))
    rows = np.arange(len(training))
    logits[0, rows, training.starts] = logits[1, rows, training.ends] = 9
    predictions = {}
    for number, example in enumerate(examples):
        own = [row for row in rows if training.windows[row].example == number]
        windows = [training.windows[row] for row in own]
        found = prepared.answers(example.context, windows, logits[0, own], logits[1, own])
        predictions[example.key] = found[0].text
    scores = question_scores(predictions, [(e.key, e.texts) for e in examples])
    assert scores == {"exact_match": 1.0, "f1": 1.0}


def test_answers_that_are_nowhere_are_dropped_with_one_line(
    vocabulary: Vocabulary, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *rest = load_questions(small).train
    lost = replace(first, answers=(GoldAnswer(text="nobody", start=None),))
    none = replace(second, answers=())
    training = training_windows(preprocessor(vocabulary, 64), [lost, none, *rest])
    assert training.dropped == 2
    assert {window.example for window in training.windows} == set(range(len(rest)))
    error = capsys.readouterr().err
    assert error == "Dropped 2 of 8 questions: their answers are not in their contexts.\n"
    with pytest.raises(DataError, match="None of 2 questions"):
        training_windows(preprocessor(vocabulary, 64), [lost, none])


def test_nothing_is_said_where_nothing_is_dropped(
    vocabulary: Vocabulary, small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training_windows(preprocessor(vocabulary, 64), load_questions(small).test)
    assert capsys.readouterr().err == ""


def test_an_answer_in_the_middle_of_a_word_comes_last(vocabulary: Vocabulary, small: Path) -> None:
    # The lamp burned until 1904: `4` is in it, and not what was meant.
    example = load_questions(small).train[0]
    inside = GoldAnswer(text="4", start=example.context.index("1904") + 3)
    word = GoldAnswer(text="lamp", start=example.context.index("lamp"))
    prepared = preprocessor(vocabulary, 384)
    both = training_windows(prepared, [replace(example, answers=(inside, word))])
    alone = training_windows(prepared, [replace(example, answers=(inside,))])
    (window,) = both.windows
    at = int(both.starts[0]) - window.context_at
    assert example.context[slice(*window.offsets[at])].startswith("l")
    assert alone.starts[0] != both.starts[0]

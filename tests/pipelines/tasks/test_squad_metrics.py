"""Exact match and F1: cases worked out by hand from the published rules."""

import pytest

from hw_model.errors import DataError
from pipelines.tasks.squad_metrics import exact_match, f1, normalized, question_scores


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Cat", "cat"),
        ("  an   old\tlamp\n", "old lamp"),
        ("U.S.", "us"),
        ("well-known", "wellknown"),
        ("don't", "dont"),
        ("a b a", "b"),
        ("theatre and anthem", "theatre and anthem"),
        # Punctuation goes before articles: "a-" is an article, "a.m." is not.
        ("a- team", "team"),
        ("6 a.m.", "6 am"),
        # Only ASCII punctuation goes.
        ("1950–60", "1950–60"),
        ("«Die Welt»", "«die welt»"),
        ("The", ""),
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalized(text) == expected


@pytest.mark.parametrize(
    ("said", "meant", "exact", "overlap"),
    [
        ("Denver", "denver!", 1, 1),
        ("the blue book", "blue book", 1, 1),
        # One of two words said, all that was meant: P 1/2, R 1.
        ("blue book", "blue", 0, 2 / 3),
        ("blue", "red", 0, 0),
        # A word said twice is shared once: P 1/2, R 1/2.
        ("very very", "very good", 0, 1 / 2),
        # P 2/4, R 2/3.
        ("built by Ida Moeller", "Ida Moeller herself", 0, 4 / 7),
        # Nothing is left of either: equal, but no word is shared.
        ("the", "a", 1, 0),
        ("", "blue", 0, 0),
    ],
)
def test_scores_of_one_answer(said: str, meant: str, exact: float, overlap: float) -> None:
    assert exact_match(said, meant) == exact
    assert f1(said, meant) == pytest.approx(overlap)


def test_the_best_over_the_answers_counts_for_each_metric() -> None:
    truths = [("q", ["red", "blue book", "book shop"])]
    assert question_scores({"q": "a blue book"}, truths) == {"exact_match": 1.0, "f1": 1.0}
    only_close = question_scores({"q": "the book"}, truths)
    assert only_close == {"exact_match": 0.0, "f1": pytest.approx(2 / 3)}


def test_a_question_without_prediction_scores_nothing() -> None:
    truths = [("1", ["red"]), ("2", ["blue"]), ("3", ["oak"]), ("4", ["elm tree"])]
    scores = question_scores({"1": "Red", "4": "elm", "other": "x"}, truths)
    assert scores == {"exact_match": 0.25, "f1": pytest.approx((1 + 2 / 3) / 4)}


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(DataError, match="no questions"):
        question_scores({}, [])
    with pytest.raises(DataError, match="'q' has no answer"):
        question_scores({"q": "x"}, [("q", [])])

"""Exact match and F1 of answers by the official rules of SQuAD v1.1, as fractions."""

import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from hw_model.errors import DataError

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalized(text: str) -> str:
    """Lower case, without ASCII punctuation and articles, single spaces.

    Source: Rajpurkar et al., evaluation of SQuAD v1.1.

    >>> normalized("The  U.S. Navy-ship")
    'us navyship'
    """
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, truth: str) -> float:
    """1 where both are the same after normalisation."""
    return float(normalized(prediction) == normalized(truth))


def f1(prediction: str, truth: str) -> float:
    """Harmonic mean of precision and recall over the bags of words; 0 where none is shared."""
    said, meant = normalized(prediction).split(), normalized(truth).split()
    shared = (Counter(said) & Counter(meant)).total()
    return 2 * shared / (len(said) + len(meant)) if shared else 0.0


def question_scores(
    predictions: Mapping[str, str], truths: Iterable[tuple[str, Sequence[str]]]
) -> dict[str, float]:
    """{"exact_match", "f1"}: means over all questions (key, answers) of the best over the answers of each.

    A question without prediction scores 0.

    Raises:
        DataError: no questions, or one without answers.
    """
    count, exact, overlap = 0, 0.0, 0.0
    for key, answers in truths:
        if not answers:
            raise DataError(f"Question {key!r} has no answer to compare with")
        count += 1
        if key in predictions:
            exact += _best(exact_match, predictions[key], answers)
            overlap += _best(f1, predictions[key], answers)
    if not count:
        raise DataError("There are no questions to score")
    return {"exact_match": exact / count, "f1": overlap / count}


def _best(metric: Callable[[str, str], float], prediction: str, answers: Sequence[str]) -> float:
    return max(metric(prediction, answer) for answer in answers)

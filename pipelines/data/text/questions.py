"""Questions about paragraphs, with the answers people gave, as every source of them becomes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from hw_model.errors import DataError, UsageError

#: Share of the paragraphs that train where a source has one split only.
TRAIN_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldAnswer:
    """An answer someone gave; context[start : start + len(text)], or `start` None where it is not in the context."""

    text: str
    start: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionExample:
    """One question; `paragraph` numbers the contexts of a split in order."""

    key: str
    question: str
    context: str
    answers: tuple[GoldAnswer, ...]
    paragraph: int
    article: str = ""

    @property
    def texts(self) -> tuple[str, ...]:
        """The answers as they are scored: an answer need not be in the context for that."""
        return tuple(answer.text for answer in self.answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionDataset:
    """Questions to train on and to test on; `train` and `test` are always there."""

    name: str
    splits: Mapping[str, tuple[QuestionExample, ...]]
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        for name in ("train", "test"):
            if not self.splits.get(name):
                raise DataError(f"Data set {self.name!r} has no question in its {name} split.")

    @property
    def train(self) -> tuple[QuestionExample, ...]:
        """Questions to train on."""
        return self.splits["train"]

    @property
    def test(self) -> tuple[QuestionExample, ...]:
        """Questions to test on."""
        return self.splits["test"]


def find_answer(context: str, text: str, hint: int | None = None) -> GoldAnswer:
    """The answer with its place: at `hint` if it is there, else where it first stands as whole words, else anywhere.

    Runs of white space count as one space.

    >>> find_answer("a cart and a car", "car").start
    13
    """
    wanted = text.strip()
    if not wanted:
        return GoldAnswer(text=text, start=None)
    if hint is not None and hint >= 0 and context.startswith(text, hint):
        return GoldAnswer(text=wanted, start=hint + text.index(wanted))
    body = r"\s+".join(re.escape(word) for word in wanted.split())
    for pattern in (rf"(?<!\w){body}(?!\w)", body):
        if match := re.search(pattern, context):
            return GoldAnswer(text=match[0], start=match.start())
    return GoldAnswer(text=wanted, start=None)


def split_by_paragraph(
    examples: Sequence[QuestionExample], share: float = TRAIN_SHARE
) -> tuple[tuple[QuestionExample, ...], tuple[QuestionExample, ...]]:
    """The questions of the first `share` of the paragraphs, and those of the rest: no text is in both.

    Articles lie together in every source, so that all but one of them are on one side.
    """
    if not 0 < share < 1:
        raise UsageError(f"share must be between 0 and 1. Received: {share}")
    paragraphs = sorted({example.paragraph for example in examples})
    count = int(len(paragraphs) * share)
    if not count:
        raise DataError(f"Two paragraphs at least are needed to split. Received: {len(paragraphs)}")
    first = set(paragraphs[:count])
    return (
        tuple(example for example in examples if example.paragraph in first),
        tuple(example for example in examples if example.paragraph not in first),
    )


def check_examples(examples: Sequence[QuestionExample], where: str) -> None:
    """Refuses an empty list and a key that stands twice: predictions are told apart by it."""
    if not examples:
        raise DataError(f"{where} has no questions.")
    seen: set[str] = set()
    for example in examples:
        if example.key in seen:
            raise DataError(f"{where}: question id {example.key!r} stands twice.")
        seen.add(example.key)

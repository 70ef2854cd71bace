"""Texts as training and evaluation take them: splits of questions or of masked examples, and a data set of them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from hw_model.errors import DataError
from model_zoo.text import QuestionPreprocessor, Vocabulary
from pipelines.data.dataset import Examples, Indices, Task
from pipelines.data.text.features import TrainingWindows, training_windows
from pipelines.data.text.masked import MaskedExamples, MaskingSettings
from pipelines.data.text.questions import QuestionExample
from pipelines.data.text.sources import load_corpus, load_questions

#: Share of the masked examples that only test.
TEST_SHARE = 0.05


class QuestionSplit(Examples):
    """Questions with their contexts and answers."""

    task = "answering"

    def __init__(self, examples: Sequence[QuestionExample]) -> None:
        self.examples = tuple(examples)
        self._windows: tuple[QuestionPreprocessor, TrainingWindows] | None = None

    def __len__(self) -> int:
        return len(self.examples)

    def part(self, indices: Indices) -> "QuestionSplit":
        return QuestionSplit([self.examples[int(index)] for index in indices])

    def training_windows(self, preprocessor: QuestionPreprocessor) -> TrainingWindows:
        """As the function of this name; kept, since every stage of a training asks for them."""
        if self._windows is None or self._windows[0] != preprocessor:
            self._windows = (preprocessor, training_windows(preprocessor, self.examples))
        return self._windows[1]


class MaskedSplit(Examples):
    """Running text with some words masked, others in every epoch."""

    task = "masked_lm"

    def __init__(self, examples: MaskedExamples, indices: Indices | None = None) -> None:
        self.examples = examples
        whole = np.arange(len(examples))
        self.chosen = whole if indices is None else np.asarray(indices, np.int64)

    def __len__(self) -> int:
        return len(self.chosen)

    def part(self, indices: Indices) -> "MaskedSplit":
        return MaskedSplit(self.examples, self.chosen[np.asarray(indices, np.int64)])


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDataset:
    """Texts to train on and to test on; `train` and `test` are always there. It has no classes."""

    name: str
    splits: Mapping[str, Examples]
    source: str = ""
    licence: str = ""
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        for name in ("train", "test"):
            if name not in self.splits or not len(self.splits[name]):
                raise DataError(f"Data set {self.name!r} has nothing in its {name} split.")

    @property
    def train(self) -> Examples:
        return self.splits["train"]

    @property
    def test(self) -> Examples:
        return self.splits["test"]

    @property
    def task(self) -> Task:
        """What a network is to learn from it."""
        return self.train.task

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def question_dataset(source: str | os.PathLike[str], *, download: bool = False) -> TextDataset:
    """The questions of `load_questions`, to train and to evaluate with."""
    found = load_questions(source, download=download)
    return TextDataset(
        name=found.name,
        splits={name: QuestionSplit(examples) for name, examples in found.splits.items()},
        source=found.source,
        licence=found.licence,
    )


def masked_dataset(
    source: str | os.PathLike[str],
    vocabulary: Vocabulary,
    settings: MaskingSettings | None = None,
    *,
    download: bool = False,
    seed: int = 0,
) -> TextDataset:
    """The text of `load_corpus` as masked examples; every twentieth of them tests."""
    corpus = load_corpus(source, download=download)
    examples = MaskedExamples(corpus, vocabulary, settings, seed=seed)
    step = round(1 / TEST_SHARE)
    held = np.arange(len(examples)) % step == step - 1
    if not held.any():
        raise DataError(
            f"{corpus.name} gives {len(examples)} examples of {examples.settings.sequence_length} tokens; "
            f"{step} at least are needed to hold one out. Give more text or a shorter sequence"
        )
    return TextDataset(
        name=corpus.name,
        splits={
            "train": MaskedSplit(examples, np.flatnonzero(~held)),
            "test": MaskedSplit(examples, np.flatnonzero(held)),
        },
        source=os.fspath(source),
    )

"""Questions with their contexts, and running text for language modelling, from files and from tfds."""

from pipelines.data.text.corpus import Corpus
from pipelines.data.text.features import TrainingWindows, training_windows
from pipelines.data.text.masked import MaskedExamples, MaskingSettings
from pipelines.data.text.questions import (
    GoldAnswer,
    QuestionDataset,
    QuestionExample,
    split_by_paragraph,
)
from pipelines.data.text.sources import load_corpus, load_questions
from pipelines.data.text.splits import (
    MaskedSplit,
    QuestionSplit,
    TextDataset,
    masked_dataset,
    question_dataset,
)

__all__ = [
    "Corpus",
    "GoldAnswer",
    "MaskedExamples",
    "MaskedSplit",
    "MaskingSettings",
    "QuestionDataset",
    "QuestionExample",
    "QuestionSplit",
    "TextDataset",
    "TrainingWindows",
    "load_corpus",
    "load_questions",
    "masked_dataset",
    "question_dataset",
    "split_by_paragraph",
    "training_windows",
]

"""Questions as a search trains on them: some paragraphs held out, read at the length of the space."""

from typing import TYPE_CHECKING

import numpy as np

from hw_model.errors import DataError, UsageError
from pipelines.search.config import SearchConfig

if TYPE_CHECKING:
    from model_zoo.text import QuestionPreprocessor, QuestionSettings
    from pipelines.data.text import QuestionSplit


def reading_of(config: SearchConfig) -> "QuestionPreprocessor":
    """How questions become inputs of the space's networks.

    Raises:
        UsageError: no vocabulary.
        DataError: it is missing, damaged, or not of the space's size.
    """
    from model_zoo.text import QuestionPreprocessor, read_vocabulary

    quality = config.quality
    if not quality.vocabulary:
        raise UsageError(
            f"Space {config.space} reads text; set quality.vocabulary (--vocabulary) to a vocab.txt of one token a line"
        )
    vocabulary = read_vocabulary(quality.vocabulary)
    if len(vocabulary) != config.vocabulary_size:
        raise DataError(
            f"{quality.vocabulary} has {len(vocabulary)} tokens; set vocabulary_size to that. "
            f"Received: {config.vocabulary_size}"
        )
    return QuestionPreprocessor(vocabulary=vocabulary, settings=settings_of(config.sequence_length))


def settings_of(length: int) -> "QuestionSettings":
    """The published settings; where a sequence is short, questions have half of it and windows a third between them."""
    from model_zoo.text import QuestionSettings

    usual = QuestionSettings()
    return QuestionSettings(
        sequence_length=length,
        max_query_length=max(1, min(usual.max_query_length, length // 2 - 3)),
        doc_stride=max(1, min(usual.doc_stride, length // 3)),
    )


def part_questions(split: "QuestionSplit", held_out: int) -> "tuple[QuestionSplit, QuestionSplit]":
    """The questions of most paragraphs, and `held_out` of the others: no context is in both; always the same.

    Raises:
        UsageError: so many leave nothing to train on.
    """
    paragraphs = np.array([example.paragraph for example in split.examples])
    names = np.unique(paragraphs)
    rank = np.random.default_rng([1, len(split)]).permutation(len(names))
    order = np.argsort(rank[np.searchsorted(names, paragraphs)], kind="stable")
    held = order[:held_out]
    kept = np.flatnonzero(~np.isin(paragraphs, paragraphs[held]))
    if not len(kept):
        raise UsageError(
            f"Cannot hold out {held_out} of {len(split)} questions; no paragraph is left to train on"
        )
    return split.part(kept), split.part(np.sort(held))

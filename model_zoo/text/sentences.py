"""A sentence, or a pair of them, as inputs of a network that classifies."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from hw_model.errors import DataError
from model_zoo.spec.base import Node, require_int
from model_zoo.text.vocabulary import SEPARATOR, START, Vocabulary
from model_zoo.text.windows import INPUTS, pad_id_of
from model_zoo.text.wordpiece import Ints, tokenize


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceSettings(Node):
    """Tokens of an input. Source of the default: published MNLI fine-tuning of MobileBERT-EdgeTPU."""

    TAGGED: ClassVar[bool] = True

    sequence_length: int = 128

    def check(self) -> None:
        require_int("sequence_length", self.sequence_length, 5, 1 << 14)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentencePreprocessor:
    """What travels with a network that classifies sentences or pairs of sentences."""

    vocabulary: Vocabulary
    settings: SentenceSettings = field(default_factory=SentenceSettings)

    def __call__(self, texts: Sequence[str | tuple[str, str]]) -> dict[str, Ints]:
        """`word_ids`, `mask`, `type_ids`, each (N, sequence_length), of [CLS] text [SEP] or [CLS] a [SEP] b [SEP].

        What is too long is cut at its end, the longer text of a pair first.

        Raises:
            DataError: a text has no words.
        """
        pairs = [(text,) if isinstance(text, str) else text for text in texts]
        tokens = iter(tokenize(self.vocabulary, [text for pair in pairs for text in pair]))
        length = self.settings.sequence_length
        word_ids = np.full((len(pairs), length), pad_id_of(self.vocabulary), dtype=np.int32)
        mask, type_ids = np.zeros_like(word_ids), np.zeros_like(word_ids)
        for row, pair in enumerate(pairs):
            parts = [next(tokens).ids for _ in pair]
            for text, part in zip(pair, parts, strict=True):
                if not len(part):
                    raise DataError(
                        f"Text {row + 1} is empty: it has no words. Received: {text[:40]!r}"
                    )
            place = 1
            word_ids[row, 0] = self.vocabulary.ids[START]
            for kind, (part, kept) in enumerate(
                zip(parts, fitted([len(part) for part in parts], length), strict=True)
            ):
                word_ids[row, place : place + kept] = part[:kept]
                word_ids[row, place + kept] = self.vocabulary.ids[SEPARATOR]
                type_ids[row, place : place + kept + 1] = kind
                place += kept + 1
            mask[row, :place] = 1
        return dict(zip(INPUTS, (word_ids, mask, type_ids), strict=True))


def fitted(lengths: Sequence[int], length: int) -> list[int]:
    """How much of each text remains beside the special tokens, the longer one cut first.

    >>> fitted([9, 3], 11), fitted([9], 11), fitted([6, 6], 10)
    ([5, 3], [9], [4, 3])
    """
    room = length - 1 - len(lengths)
    if len(lengths) == 1 or sum(lengths) <= room:
        return [min(each, room) for each in lengths]
    shorter = min(*lengths, room // 2)
    first, second = lengths
    return [room - shorter, shorter] if first >= second else [shorter, room - shorter]

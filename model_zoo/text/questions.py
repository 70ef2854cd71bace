"""A question and its context as inputs of a network, and the network's logits as an answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy.typing as npt

from hw_model.errors import DataError, SpecError
from model_zoo.spec.base import Node, require_int
from model_zoo.text.answers import Answer, best_answers
from model_zoo.text.vocabulary import Vocabulary
from model_zoo.text.windows import Window, pad_id_of, stack, windows_of
from model_zoo.text.wordpiece import Ints, tokenize


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSettings(Node):
    """Tokens of a window, between two windows, of a question and of an answer, and answers kept.

    Source of the defaults: published SQuAD fine-tuning of MobileBERT-EdgeTPU.
    """

    TAGGED: ClassVar[bool] = True

    sequence_length: int = 384
    doc_stride: int = 128
    max_query_length: int = 64
    n_best: int = 20
    max_answer_length: int = 30

    def check(self) -> None:
        for name in ("doc_stride", "max_query_length", "n_best", "max_answer_length"):
            require_int(name, getattr(self, name), 1, 1 << 14)
        # Room for [CLS], two [SEP] and one token of the context beside the longest question.
        require_int("sequence_length", self.sequence_length, 5, 1 << 14)
        if self.sequence_length < self.max_query_length + 4:
            raise SpecError(
                "max_query_length",
                f"must leave room for the context: at most sequence_length - 4 = "
                f"{self.sequence_length - 4}. Received: {self.max_query_length}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionPreprocessor:
    """What travels with a network that answers questions."""

    vocabulary: Vocabulary
    settings: QuestionSettings = field(default_factory=QuestionSettings)

    def windows(self, pairs: Sequence[tuple[str, str]]) -> list[Window]:
        """The windows of all (question, context) pairs, in order; a question is cut at `max_query_length` tokens.

        Raises:
            DataError: a question or a context is empty, or nothing of it is text.
        """
        questions = tokenize(self.vocabulary, [question for question, _ in pairs])
        places = {context: place for place, context in enumerate({c: None for _, c in pairs})}
        contexts = tokenize(self.vocabulary, list(places))
        result: list[Window] = []
        for example, ((question, context), asked) in enumerate(zip(pairs, questions, strict=True)):
            tokens = contexts[places[context]]
            for name, ids, text in (
                ("question", asked.ids, question),
                ("context", tokens.ids, context),
            ):
                if not len(ids):
                    which = f" {example + 1}" if len(pairs) > 1 else ""
                    raise DataError(
                        f"The {name}{which} is empty: it has no words. Received: {text[:40]!r}"
                    )
            settings = self.settings
            result += windows_of(
                self.vocabulary,
                example,
                asked.ids[: settings.max_query_length],
                tokens,
                settings.sequence_length,
                settings.doc_stride,
            )
        return result

    def tokens_cut(self, question: str) -> int:
        """Tokens at the end of a question that the network does not see."""
        (asked,) = tokenize(self.vocabulary, [question])
        return max(0, len(asked.ids) - self.settings.max_query_length)

    def inputs(self, windows: Sequence[Window], length: int | None = None) -> dict[str, Ints]:
        """`word_ids`, `mask`, `type_ids`, each (N, length); `length` is `sequence_length` unless given."""
        return stack(windows, length or self.settings.sequence_length, pad_id_of(self.vocabulary))

    def answers(
        self,
        context: str,
        windows: Sequence[Window],
        start_logits: npt.ArrayLike,
        end_logits: npt.ArrayLike,
    ) -> tuple[Answer, ...]:
        """The best answers from the logits (N, L) of all windows of one question, the best first."""
        return best_answers(
            context,
            windows,
            start_logits,
            end_logits,
            n_best=self.settings.n_best,
            max_tokens=self.settings.max_answer_length,
        )

"""Windows of a fixed number of tokens over a text that may be longer, as BERT reads a question with its context."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_model.errors import UsageError
from model_zoo.text.vocabulary import PAD, SEPARATOR, START, Vocabulary
from model_zoo.text.wordpiece import Ints, Tokens

#: The inputs of every text network, each (N, L): token ids, 1 where there is a token, 1 in the second text.
INPUTS = ("word_ids", "mask", "type_ids")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """[CLS] question [SEP] a part of the context [SEP], not padded.

    `context_at` is the position of the first context token. `offsets` (m, 2) are the characters of the
    context each of its m tokens stands for; `best` (m,) is true where no other window of this example shows
    more text around the token.
    """

    example: int
    word_ids: Ints
    context_at: int
    offsets: Ints
    best: npt.NDArray[np.bool_]

    def locate(self, start: int, end: int) -> tuple[int, int]:
        """Positions of the first and the last token of context[start:end]; (0, 0), [CLS], where it is not inside."""
        starts, ends = self.offsets[:, 0], self.offsets[:, 1]
        if start < starts[0] or end > ends[-1]:
            return 0, 0
        first = int(np.searchsorted(ends, start, side="right"))
        last = int(np.searchsorted(starts, end, side="left")) - 1
        if first > last:
            return 0, 0
        return self.context_at + first, self.context_at + last


def windows_of(
    vocabulary: Vocabulary, example: int, question: Ints, context: Tokens, length: int, stride: int
) -> list[Window]:
    """All windows of at most `length` tokens; each starts `stride` context tokens after the one before.

    Source: `doc_stride` of BERT's SQuAD features.
    """
    room = length - len(question) - 3
    total = len(context.ids)
    starts = [0]
    while starts[-1] + room < total:
        starts.append(starts[-1] + min(room, stride))
    spans = [(start, min(start + room, total)) for start in starts]
    best = _best_window(spans, total)
    head = np.array([vocabulary.ids[START], *question, vocabulary.ids[SEPARATOR]], dtype=np.int32)
    tail = np.array([vocabulary.ids[SEPARATOR]], dtype=np.int32)
    return [
        Window(
            example=example,
            word_ids=np.concatenate([head, context.ids[start:end], tail]),
            context_at=len(head),
            offsets=context.offsets[start:end],
            best=best[start:end] == number,
        )
        for number, (start, end) in enumerate(spans)
    ]


def _best_window(spans: Sequence[tuple[int, int]], total: int) -> npt.NDArray[np.intp]:
    """For each context token, the window that shows most text on both sides of it; the first of equal ones."""
    owner = np.zeros(total, dtype=np.intp)
    highest = np.full(total, -1.0)
    # Span by span: a table of all spans and tokens would not fit in memory for a long text.
    for number, (start, end) in enumerate(spans):
        left = np.arange(end - start)
        # The published score adds a hundredth of the window's length.
        score = np.minimum(left, left[::-1]) + 0.01 * len(left)
        better = score > highest[start:end]
        highest[start:end][better] = score[better]
        owner[start:end][better] = number
    return owner


def stack(windows: Sequence[Window], length: int, pad_id: int) -> dict[str, Ints]:
    """The windows as a network's inputs, padded to `length`: `word_ids`, `mask`, `type_ids`, each (N, length)."""
    shape = (len(windows), length)
    word_ids = np.full(shape, pad_id, dtype=np.int32)
    mask, type_ids = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    for row, window in enumerate(windows):
        count = len(window.word_ids)
        if count > length:
            raise UsageError(f"A window of {count} tokens does not fit in {length}")
        word_ids[row, :count] = window.word_ids
        mask[row, :count] = 1
        type_ids[row, window.context_at : count] = 1
    return dict(zip(INPUTS, (word_ids, mask, type_ids), strict=True))


def pad_id_of(vocabulary: Vocabulary) -> int:
    """The id that fills what a window leaves free."""
    return vocabulary.ids[PAD]

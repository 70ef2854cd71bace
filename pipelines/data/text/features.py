"""What a network that answers questions is trained on: windows, and where the answer is in each."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError
from model_zoo.text import QuestionPreprocessor, Window
from pipelines.data.text.questions import QuestionExample

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingWindows:
    """Windows with the positions (N,) of the answer's first and last token, (0, 0) where it is not in the window.

    `dropped` questions have no answer in their text.
    """

    windows: tuple[Window, ...]
    starts: Ints
    ends: Ints
    dropped: int

    def __len__(self) -> int:
        return len(self.windows)


def training_windows(
    preprocessor: QuestionPreprocessor, examples: Sequence[QuestionExample]
) -> TrainingWindows:
    """All windows of the questions that have an answer in their context; says on stderr how many have none.

    `Window.example` counts the questions that were kept.

    Raises:
        DataError: no question has its answer in its context.
    """
    kept = [(example, found) for example in examples if (found := answer_span(example)) is not None]
    dropped = len(examples) - len(kept)
    if not kept:
        raise DataError(
            f"None of {len(examples)} questions has an answer that is in its context; nothing to train on"
        )
    if dropped:
        print(
            f"Dropped {dropped} of {len(examples)} questions: their answers are not in their contexts.",
            file=sys.stderr,
        )
    windows = preprocessor.windows([(example.question, example.context) for example, _ in kept])
    places = [window.locate(*kept[window.example][1]) for window in windows]
    positions = np.array(places, dtype=np.int32).reshape(-1, 2)
    return TrainingWindows(
        windows=tuple(windows), starts=positions[:, 0], ends=positions[:, 1], dropped=dropped
    )


def answer_span(example: QuestionExample) -> tuple[int, int] | None:
    """The first answer that stands as whole words, else the first that is in the context: `8` is in `18` too."""
    spans = [
        (answer.start, answer.start + len(answer.text))
        for answer in example.answers
        if answer.start is not None
    ]
    return next((span for span in spans if _whole(example.context, *span)), None) or (
        spans[0] if spans else None
    )


def _whole(context: str, start: int, end: int) -> bool:
    before, after = context[:start][-1:], context[end : end + 1]
    return not (before.isalnum() and context[start].isalnum()) and not (
        after.isalnum() and context[end - 1].isalnum()
    )

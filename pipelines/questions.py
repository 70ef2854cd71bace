"""What a model, or a `.tflite` file, answers to a question about a text of any length."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import DataError, UsageError
from model_zoo.text import Answer, QuestionPreprocessor, Vocabulary, tokenize
from model_zoo.text.vocabulary import UNKNOWN
from pipelines.data.text.batches import Inputs
from pipelines.tasks.answer import OUTPUTS, Answering, Logits, logits_of, reading_of_file

#: Windows a model reads at once.
BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Answerer:
    """Answers questions; `run` turns the inputs of some windows into their logits, `batch` windows at a time."""

    run: Callable[[Inputs], Logits]
    preprocessing: QuestionPreprocessor
    batch: int = 1

    def answers(
        self, question: str, context: str, *, most: int = 1, progress: bool = False
    ) -> tuple[Answer, ...]:
        """At most `most` answers of different text, the best first; `context[start:end]` is an answer's text.

        Raises:
            DataError: the question or the context is empty, is in no word of the vocabulary, or the question is
                longer than the model reads.
        """
        self._check(question, context)
        reading = self.preprocessing
        kept = max(most, reading.settings.n_best)
        reading = replace(reading, settings=replace(reading.settings, n_best=kept))
        windows = reading.windows([(question, context)])
        logits = logits_of(self.run, reading, windows, min(self.batch, len(windows)), progress)
        found = reading.answers(context, windows, logits["start_logits"], logits["end_logits"])
        return found[:most]

    def windows(self, question: str, context: str) -> int:
        """How many windows a context takes."""
        return len(self.preprocessing.windows([(question, context)]))

    def _check(self, question: str, context: str) -> None:
        for name, text in (("question", question), ("context", context)):
            unknown, pieces = unknown_words(self.preprocessing.vocabulary, text)
            if not pieces:
                raise DataError(f"The {name} is empty: it has no words. Received: {text[:40]!r}")
            if len(unknown) == pieces:
                raise DataError(
                    f"The model knows none of the {name}'s characters; it reads the languages of its vocabulary. "
                    f"Received: {text[:40]!r}"
                )
        if cut := self.preprocessing.tokens_cut(question):
            most = self.preprocessing.settings.max_query_length
            raise DataError(
                f"The question has {most + cut} word pieces and the model reads {most}; shorten it"
            )


def unknown_words(vocabulary: Vocabulary, text: str) -> tuple[tuple[str, ...], int]:
    """The words that a vocabulary cannot spell, in order, and how many word pieces the text has."""
    (tokens,) = tokenize(vocabulary, [text])
    places = np.flatnonzero(tokens.ids == vocabulary.ids[UNKNOWN])
    return tuple(text[slice(*tokens.offsets[place])] for place in places), len(tokens.ids)


def answerer_of(
    model: Any, preprocessing: QuestionPreprocessor | None = None, *, name: str | None = None
) -> Answerer:
    """The answerer of a zoo model with weights; `name` is what errors call it.

    Raises:
        UsageError: its weights are random, it answers no questions, or how it reads is not known.
        DataError: the vocabulary is not the one its weights embed.
    """
    title = name or model.name
    task = Answering()
    if task.classes_of(model) is None:
        spec = getattr(model, "spec", None)
        raise UsageError(
            f"{title} answers no questions: it is for {getattr(spec, 'task', 'something else')}"
        )
    if getattr(model, "weights_origin", "") == "random":
        raise UsageError(
            f"{title} is an architecture without weights; name a preset, a weights folder or a .keras file"
        )

    def run(inputs: Inputs) -> Logits:
        found = model.predict_on_batch(inputs)
        return {output: np.asarray(found[output]) for output in OUTPUTS}

    return Answerer(run=run, preprocessing=task.preprocessing_of(model, preprocessing), batch=BATCH)


def answerer_of_file(
    path: str | Path, preprocessing: QuestionPreprocessor | None = None
) -> Answerer:
    """The answerer of a `.tflite` file, which reads with the vocabulary it holds unless another is given.

    Raises:
        UsageError: it answers no questions, or how it reads is not known.
        DataError: no such file, a damaged one, or a vocabulary that is not the file's.
    """
    from pipelines.export.questions import QuestionRunner

    runner = QuestionRunner(path)
    return Answerer(run=runner, preprocessing=reading_of_file(path, runner.length, preprocessing))

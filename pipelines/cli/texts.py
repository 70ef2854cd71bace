"""Texts on the command line: which --data means them, and how a network reads them."""

import argparse
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError

if TYPE_CHECKING:
    from model_zoo.text import QuestionPreprocessor, Vocabulary
    from model_zoo.text.storage import TextPreprocessor
    from pipelines.data.text import TextDataset

_PREFIX = "text:"


def add_vocabulary(parser: argparse.ArgumentParser) -> None:
    """`--vocabulary`."""
    parser.add_argument(
        "--vocabulary",
        metavar="FILE",
        help="WordPiece vocabulary, one token a line, of a network that reads text (default: the preset's own)",
    )


def is_text(source: str) -> bool:
    """Whether --data means questions (SQuAD's JSON, TFRecords, tfds:squad) or running text (text:PATH)."""
    from pipelines.data.text.sources import is_questions

    return source.startswith(_PREFIX) or is_questions(source)


def load(
    args: argparse.Namespace, known: "TextPreprocessor | Vocabulary | None", length: int
) -> "tuple[TextDataset, QuestionPreprocessor | Vocabulary]":
    """The texts of --data and how they are read: with --vocabulary, or as is `known` of the model.

    Raises:
        UsageError: no vocabulary is known.
    """
    from pipelines.data.text import MaskingSettings, masked_dataset, question_dataset

    if args.data.startswith(_PREFIX):
        vocabulary = _words(known, args.vocabulary)
        settings = MaskingSettings(sequence_length=length)
        path = args.data.removeprefix(_PREFIX)
        found = masked_dataset(path, vocabulary, settings, download=args.download)
        return found, vocabulary
    reading = questions(known, length, args.vocabulary)
    return question_dataset(args.data, download=args.download), reading


def questions(
    known: "TextPreprocessor | Vocabulary | None", length: int, vocabulary: str | None = None
) -> "QuestionPreprocessor":
    """How questions are read in windows of `length`: with the vocabulary of a file, or the one that is `known`.

    Raises:
        UsageError: no vocabulary is known.
    """
    from dataclasses import replace

    from model_zoo.text import QuestionPreprocessor, QuestionSettings

    words = _words(known, vocabulary)
    if isinstance(known, QuestionPreprocessor):
        settings = replace(known.settings, sequence_length=length)
    else:
        # Windows overlap by two thirds, as published for 384 tokens.
        usual = QuestionSettings()
        stride = max(1, length * usual.doc_stride // usual.sequence_length)
        settings = replace(usual, sequence_length=length, doc_stride=min(stride, usual.doc_stride))
    return QuestionPreprocessor(vocabulary=words, settings=settings)


def _words(known: "TextPreprocessor | Vocabulary | None", vocabulary: str | None) -> "Vocabulary":
    from model_zoo.text import Vocabulary, read_vocabulary

    if vocabulary is not None:
        return read_vocabulary(vocabulary)
    if known is None:
        raise UsageError(
            "A network that reads text needs --vocabulary: the vocab.txt of one token a line that it is to know"
        )
    return known if isinstance(known, Vocabulary) else known.vocabulary


def of_preset(reference: str | None) -> "TextPreprocessor | Vocabulary | None":
    """How a preset reads text; None without a preset."""
    from model_zoo import presets

    return None if reference is None else presets.read_text(*presets.find(reference))


def of_model(reference: str, model: Any) -> "tuple[TextPreprocessor | Vocabulary | None, int]":
    """How a loaded model reads text, and the length of its windows.

    Raises:
        UsageError: it reads images.
    """
    from model_zoo.spec import text_spec

    length = text_spec(model.spec).input.sequence_length
    known = model.preprocessing
    if known is None and model.weights_origin.startswith("preset:"):
        known = of_preset(reference)  # words, and no task that lays them out
    return known, length


def of_file(
    reference: str, like: str | None = None
) -> "tuple[TextPreprocessor | Vocabulary | None, int]":
    """How a `.tflite` file's network reads text, and the length of its windows.

    The file itself says so where this project exported it; else the preset `like`, or the vocab.txt beside it.

    Raises:
        UsageError: the file answers no questions.
        DataError: it is missing or damaged.
    """
    from model_zoo.text import read_vocabulary
    from model_zoo.text.storage import VOCABULARY_FILE
    from pipelines.cli.references import require_file
    from pipelines.export.questions import check_answers, question_reading

    path = require_file(reference)
    length = check_answers(path)
    known = of_preset(like) or question_reading(path)
    beside = path.with_name(VOCABULARY_FILE)
    if known is None and beside.is_file():
        return read_vocabulary(beside), length
    return known, length

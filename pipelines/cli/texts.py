"""Texts on the command line: which --data means them, and how a network reads them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from hw_model.errors import UsageError

if TYPE_CHECKING:
    from model_zoo.text import QuestionPreprocessor, Vocabulary
    from pipelines.data.text import TextDataset

_PREFIX = "text:"
_VOCABULARY = "vocab.txt"


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
    args: argparse.Namespace, preset: str | None, length: int
) -> "tuple[TextDataset, QuestionPreprocessor | Vocabulary]":
    """The texts of --data and how they are read: by --vocabulary, or as `preset` reads them.

    Raises:
        UsageError: no vocabulary is known.
    """
    from dataclasses import replace

    from model_zoo.text import QuestionPreprocessor, QuestionSettings
    from pipelines.data.text import MaskingSettings, masked_dataset, question_dataset

    known = _known(args, preset)
    vocabulary = known.vocabulary if isinstance(known, QuestionPreprocessor) else known
    if args.data.startswith(_PREFIX):
        settings = MaskingSettings(sequence_length=length)
        path = args.data.removeprefix(_PREFIX)
        found = masked_dataset(path, vocabulary, settings, download=args.download)
        return found, vocabulary
    usual = known.settings if isinstance(known, QuestionPreprocessor) else QuestionSettings()
    settings_ = replace(usual, sequence_length=length)
    return (
        question_dataset(args.data, download=args.download),
        QuestionPreprocessor(vocabulary=vocabulary, settings=settings_),
    )


def save(reading: "QuestionPreprocessor | Vocabulary", folder: Path) -> None:
    """Puts beside a preset's weights what its texts are read with."""
    from model_zoo.text import QuestionPreprocessor, save_preprocessor, write_vocabulary

    if isinstance(reading, QuestionPreprocessor):
        save_preprocessor(reading, folder)
    else:
        write_vocabulary(reading, folder / _VOCABULARY)


def _known(args: argparse.Namespace, preset: str | None) -> "QuestionPreprocessor | Vocabulary":
    from model_zoo import presets
    from model_zoo.text import QuestionPreprocessor, load_preprocessor, read_vocabulary
    from model_zoo.text.storage import SETTINGS_FILE

    if args.vocabulary is not None:
        return read_vocabulary(args.vocabulary)
    if preset is None:
        raise UsageError(
            "A network that reads text needs --vocabulary: the vocab.txt of one token a line that it is to know"
        )
    root, entry = presets.find(preset)
    folder = root / entry.name
    if (folder / SETTINGS_FILE).is_file():
        found = load_preprocessor(folder)
        return found if isinstance(found, QuestionPreprocessor) else found.vocabulary
    return read_vocabulary(folder / _VOCABULARY)

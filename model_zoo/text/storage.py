"""A text preprocessor beside the weights it belongs to: its settings as JSON, its vocabulary as vocab.txt."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw_model import codec
from hw_model.errors import DataError, SpecError
from hw_model.files import sha256_of, write_text
from model_zoo.spec.base import Node
from model_zoo.text.questions import QuestionPreprocessor, QuestionSettings
from model_zoo.text.sentences import SentencePreprocessor, SentenceSettings
from model_zoo.text.vocabulary import Vocabulary, read_vocabulary, write_vocabulary

SETTINGS_FILE = "preprocessing.json"
VOCABULARY_FILE = "vocab.txt"

TextPreprocessor = QuestionPreprocessor | SentencePreprocessor


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored(Node):
    settings: QuestionSettings | SentenceSettings
    vocabulary_sha256: str


def save_preprocessor(preprocessor: TextPreprocessor, folder: str | os.PathLike[str]) -> None:
    """Writes `vocab.txt`, then `preprocessing.json` with its SHA-256."""
    place = Path(folder)
    write_vocabulary(preprocessor.vocabulary, place / VOCABULARY_FILE)
    stored = _Stored(
        settings=preprocessor.settings, vocabulary_sha256=sha256_of(place / VOCABULARY_FILE)
    )
    write_text(place / SETTINGS_FILE, codec.dumps(stored, indent=1) + "\n")


def load_preprocessor(folder: str | os.PathLike[str]) -> TextPreprocessor:
    """Reads what `save_preprocessor` wrote.

    Raises:
        DataError: a file is missing, damaged, or the vocabulary is another one.
    """
    path, words = Path(folder) / SETTINGS_FILE, Path(folder) / VOCABULARY_FILE
    try:
        stored = codec.loads(_Stored, path.read_bytes())
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error
    except SpecError as error:
        raise DataError(f"{path} is not a text preprocessor: {error}. Restore the file") from error
    vocabulary = read_vocabulary(words)
    if sha256_of(words) != stored.vocabulary_sha256:
        raise DataError(
            f"{words} is another vocabulary: its SHA-256 is not the {stored.vocabulary_sha256[:12]}... "
            f"of {path.name}; restore the file"
        )
    return preprocessor_for(vocabulary, stored.settings)


def preprocessor_for(
    vocabulary: Vocabulary, settings: QuestionSettings | SentenceSettings
) -> TextPreprocessor:
    """The preprocessor of the task that the settings are of."""
    if isinstance(settings, QuestionSettings):
        return QuestionPreprocessor(vocabulary=vocabulary, settings=settings)
    return SentencePreprocessor(vocabulary=vocabulary, settings=settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed(Node):
    settings: QuestionSettings | SentenceSettings
    tokens: tuple[str, ...]


def pack(preprocessor: TextPreprocessor) -> dict[str, Any]:
    """All of a preprocessor as JSON-ready data, for files that carry it inside."""
    packed = _Packed(settings=preprocessor.settings, tokens=preprocessor.vocabulary.tokens)
    data: dict[str, Any] = codec.to_data(packed)
    return data


def unpack(data: Any) -> TextPreprocessor:
    """What `pack` packed.

    Raises:
        SpecError: it is not that.
        DataError: its vocabulary is none.
    """
    packed = codec.from_data(_Packed, data)
    return preprocessor_for(Vocabulary(tokens=packed.tokens), packed.settings)

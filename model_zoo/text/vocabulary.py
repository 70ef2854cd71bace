"""A WordPiece vocabulary: the tokens in the order of a network's embedding rows, one a line in its file."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from hw_model.errors import DataError
from hw_model.files import write_text

PAD, UNKNOWN, START, SEPARATOR, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
#: Tokens that no text can do without; [MASK] is needed for masked language modelling alone.
REQUIRED = (PAD, UNKNOWN, START, SEPARATOR)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Vocabulary:
    """Tokens by id; `ids` is the inverse."""

    tokens: tuple[str, ...]
    ids: Mapping[str, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        ids = {token: index for index, token in enumerate(self.tokens)}
        object.__setattr__(self, "ids", MappingProxyType(ids))
        missing = [token for token in REQUIRED if token not in ids]
        if missing:
            raise DataError(
                f"A vocabulary needs {', '.join(REQUIRED)}; {', '.join(missing)} not found among "
                f"{len(self.tokens)} tokens. Is it a WordPiece vocabulary, one token a line?"
            )
        if "" in ids:
            raise DataError(
                f"A token is not empty; line {ids[''] + 1} of the vocabulary is. Remove the line"
            )
        if len(ids) != len(self.tokens):
            line, token = next((i, t) for i, t in enumerate(self.tokens) if ids[t] != i)
            raise DataError(
                f"A vocabulary names a token once; {token!r} is on lines {line + 1} and {ids[token] + 1}"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return f"Vocabulary({len(self)} tokens)"

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy cannot be pickled; the tokens say it all.
        return _from_tokens, (self.tokens,)


def _from_tokens(tokens: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(tokens=tokens)


def read_vocabulary(path: str | os.PathLike[str]) -> Vocabulary:
    """The vocabulary in a file of one token a line.

    Raises:
        DataError: missing, not UTF-8, empty, a token twice, or without the special tokens.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a vocabulary: it is not UTF-8 text") from error
    except OSError as error:
        raise DataError(f"Cannot read the vocabulary {path}: {error.strerror or error}") from error
    # Not splitlines: separators of lines and paragraphs of Unicode are tokens of some vocabularies.
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    try:
        return Vocabulary(tokens=tuple(line.removesuffix("\r") for line in lines))
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def write_vocabulary(vocabulary: Vocabulary, path: str | os.PathLike[str]) -> None:
    """Writes one token a line."""
    write_text(path, "".join(f"{token}\n" for token in vocabulary.tokens))


def check_vocabulary(vocabulary: Vocabulary, embedding_rows: int, *, where: str = "") -> None:
    """Refuses a vocabulary that is not that of the weights; `where` names them in the error.

    Raises:
        DataError: the embedding has more or fewer rows than the vocabulary has tokens.
    """
    if len(vocabulary) != embedding_rows:
        raise DataError(
            f"The vocabulary has {len(vocabulary)} tokens but {where or 'the weights'} embed "
            f"{embedding_rows}; use the vocab.txt the weights were trained with"
        )

"""Running text without labels: documents of paragraphs, from plain text files and WordNet's glosses."""

import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hw_model.errors import DataError

#: Names of files that are read below a folder.
SUFFIXES = (".txt", ".txt.gz", ".md", ".rst", ".dict.dz")
#: WordNet's files of glosses. Source: wndb(5WN).
WORDNET_FILES = ("data.noun", "data.verb", "data.adj", "data.adv")

# Tables, code and drawings are no prose: fewer words than this, or a smaller share of letters.
_LEAST_WORDS = 5
_LEAST_LETTERS = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """Documents, each a tuple of paragraphs in the order of the text."""

    name: str
    documents: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if not self.documents:
            raise DataError(f"Corpus {self.name!r} has no text.")

    @property
    def paragraphs(self) -> Iterator[str]:
        """All paragraphs, one after the other."""
        return (text for document in self.documents for text in document)


def read_corpus(path: Path) -> Corpus:
    """A text file, or every text file below a folder in the order of their names.

    WordNet's `data.*` give their glosses, one document for each lexicographer file; any other file is one
    document, split at blank lines, without what is no prose.

    Raises:
        DataError: no such file, none that is text, or nothing in them.
    """
    files = [path] if path.is_file() else sorted(filter(_is_text, path.rglob("*")))
    if not files:
        raise DataError(
            f"{path} holds no text: a file, or a folder with files {', '.join(SUFFIXES)} or "
            f"WordNet's {', '.join(WORDNET_FILES)} is needed"
        )
    documents: list[tuple[str, ...]] = []
    for file in _progress(files):
        text = _read(file)
        documents.extend(_glosses(text) if file.name in WORDNET_FILES else [_prose(text)])
    return Corpus(name=path.name, documents=tuple(filter(None, documents)))


def _is_text(path: Path) -> bool:
    return path.is_file() and (path.name in WORDNET_FILES or path.name.endswith(SUFFIXES))


def _read(path: Path) -> str:
    """Undecodable bytes become U+FFFD, which is no word."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"Cannot read {path}: {error}.") from error
    return content.decode("utf-8", errors="replace")


def _glosses(text: str) -> list[tuple[str, ...]]:
    """What stands behind the bar of each line, by the number of the lexicographer file in front.

    >>> _glosses("  1 licence | text\\n00001740 03 n 01 entity 0 000 | that which is  \\n")
    [('that which is',)]
    """
    documents: dict[str, list[str]] = {}
    for line in text.split("\n"):
        # The licence at the top is indented.
        entry, bar, gloss = line.partition(" | ")
        if bar and not line.startswith(" "):
            documents.setdefault(entry.split(" ", 2)[1], []).append(gloss.strip())
    return [tuple(glosses) for glosses in documents.values()]


def _prose(text: str) -> tuple[str, ...]:
    """Paragraphs between blank lines, white space collapsed."""
    paragraphs: list[list[str]] = [[]]
    for line in text.splitlines():
        words = line.split()
        if words:
            paragraphs[-1].extend(words)
        elif paragraphs[-1]:
            paragraphs.append([])
    return tuple(" ".join(words) for words in paragraphs if _is_prose(words))


def _is_prose(words: list[str]) -> bool:
    characters = "".join(words)
    letters = sum(map(str.isalpha, characters))
    return len(words) >= _LEAST_WORDS and letters >= _LEAST_LETTERS * len(characters)


def _progress(files: list[Path]) -> Iterator[Path]:
    from tqdm import tqdm

    yield from tqdm(files, desc="text", unit="file", delay=2, disable=None)

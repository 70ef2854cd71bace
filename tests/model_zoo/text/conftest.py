"""A vocabulary of some words, and what spells all others."""

import string

import pytest

from model_zoo.text import Vocabulary

WORDS = [
    "who",
    "saw",
    "the",
    "fox",
    "river",
    "cross",
    "##ing",
    "##ed",
    "in",
    "winter",
    "was",
    "red",
    "cafe",
    "?",
    ".",
]


@pytest.fixture(scope="session", autouse=True)
def _tokenizers() -> None:
    pytest.importorskip("tokenizers")


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """Special tokens, ASCII letters and digits alone and inside a word, and a few words."""
    letters = list(string.ascii_lowercase + string.digits)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{c}" for c in letters)]
    return Vocabulary(tokens=(*tokens, *WORDS))

"""Ten questions about five paragraphs of two articles, and a vocabulary that reads them."""

import json
import re
import string
from pathlib import Path

import pytest

from model_zoo.text import Vocabulary

SMALL = Path(__file__).parent / "squad_small.json"


@pytest.fixture(scope="session")
def small() -> Path:
    """A file in the form of SQuAD v1.1."""
    return SMALL


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """Special tokens, what spells ASCII, and every second word of the questions' contexts."""
    pytest.importorskip("tokenizers")
    articles = json.loads(SMALL.read_text(encoding="utf-8"))["data"]
    text = " ".join(p["context"] for article in articles for p in article["paragraphs"])
    words = sorted(set(re.findall("[a-z]{2,}", text.lower())))[::2]
    characters = [c for c in string.printable if not c.isspace() and not c.isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[unused0]"]
    return Vocabulary(tokens=(*special, *characters, *(f"##{c}" for c in characters), *words))

"""Vocabularies: what is read back, what is refused, and what a smaller one keeps."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from hw_model.errors import DataError, UsageError
from model_zoo.text import (
    Vocabulary,
    check_vocabulary,
    read_vocabulary,
    tokenize,
    trim_vocabulary,
    write_vocabulary,
)

SPECIAL = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n"


def spelled(vocabulary: Vocabulary, text: str) -> list[str]:
    """The tokens of a text as words."""
    return [vocabulary.tokens[i] for i in tokenize(vocabulary, [text])[0].ids]


def test_is_read_back_equal_line_separators_of_unicode_included(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    odd = Vocabulary(tokens=(*vocabulary.tokens, "\u2028", "\x85", "ß"))
    write_vocabulary(odd, tmp_path / "vocab.txt")
    assert read_vocabulary(tmp_path / "vocab.txt") == odd
    assert pickle.loads(pickle.dumps(odd)) == odd
    assert odd.tokens[odd.ids["ß"]] == "ß"


def test_takes_windows_line_ends(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes((SPECIAL + "word\n").replace("\n", "\r\n").encode())
    assert read_vocabulary(tmp_path / "v").tokens[-1] == "word"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", r"\[PAD\], \[UNK\], \[CLS\], \[SEP\] not found among 0"),
        (b"[PAD]\n[UNK]\n[CLS]\nword\n", r"\[SEP\] not found"),
        (SPECIAL.encode() + b"a\nb\na\n", "'a' is on lines 5 and 7"),
        (SPECIAL.encode() + b"a\n\nb\n", "line 6 of the vocabulary is"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(content)
    with pytest.raises(DataError, match=problem) as caught:
        read_vocabulary(tmp_path / "v.txt")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_vocabulary(tmp_path / "none.txt")


def test_must_be_that_of_the_weights(vocabulary: Vocabulary) -> None:
    check_vocabulary(vocabulary, len(vocabulary))
    with pytest.raises(DataError, match=f"{len(vocabulary)} tokens but tiny.h5 embed 30522"):
        check_vocabulary(vocabulary, 30522, where="tiny.h5")


def test_trimmed_keeps_what_is_frequent_and_spells_the_rest(vocabulary: Vocabulary) -> None:
    texts = ["the river the river the fox"]
    always = len(trim_vocabulary(vocabulary, [], size=200).vocabulary)
    trimmed = trim_vocabulary(vocabulary, texts, size=always + 2)
    small = trimmed.vocabulary
    assert len(small) == always + 2 == len(trimmed.rows)
    assert tuple(vocabulary.tokens[row] for row in trimmed.rows) == small.tokens
    assert {"the", "river"} <= set(small.tokens)
    assert "fox" not in small.ids
    assert trimmed.unchanged == pytest.approx(5 / 6)
    assert spelled(small, "The fox") == ["the", "f", "##o", "##x"]


def test_trimmed_keeps_what_is_asked_for(vocabulary: Vocabulary) -> None:
    small = trim_vocabulary(vocabulary, ["the fox"], size=len(vocabulary), keep=["winter"])
    assert "winter" in small.vocabulary.ids
    assert "cafe" not in small.vocabulary.ids
    with pytest.raises(UsageError, match="nosuchword"):
        trim_vocabulary(vocabulary, [], size=500, keep=["nosuchword"])
    with pytest.raises(UsageError, match="size must be at least"):
        trim_vocabulary(vocabulary, [], size=10)


def test_a_dropped_character_becomes_unknown(vocabulary: Vocabulary) -> None:
    whole = Vocabulary(tokens=(*vocabulary.tokens, "–"))
    assert spelled(whole, "a – b") == ["a", "–", "b"]
    small = trim_vocabulary(whole, ["the fox"], size=len(whole)).vocabulary
    assert spelled(small, "a – b") == ["a", "[UNK]", "b"]


def test_an_unknown_token_does_not_count_as_unchanged(vocabulary: Vocabulary) -> None:
    trimmed = trim_vocabulary(vocabulary, ["fox ☃"], size=len(vocabulary))
    assert trimmed.unchanged == 0.5
    assert np.all(np.diff(trimmed.rows) > 0)

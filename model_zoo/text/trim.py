"""A smaller vocabulary for a smaller embedding: the tokens that some texts use, and what spells every other word."""

import string
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from hw_model.errors import UsageError
from model_zoo.text.vocabulary import MASK, REQUIRED, UNKNOWN, Vocabulary
from model_zoo.text.wordpiece import Ints, tokenize

_CHUNK = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trimmed:
    """`rows` (n,) are the rows of the whole embedding that the n tokens of the smaller vocabulary keep.

    `unchanged` is the share of the tokens of the texts that are in the smaller vocabulary: the words of the
    others are spelled in smaller pieces, or are [UNK] where a character of theirs was dropped.
    """

    vocabulary: Vocabulary
    rows: Ints
    unchanged: float


def trim_vocabulary(
    vocabulary: Vocabulary, texts: Iterable[str], *, size: int, keep: Iterable[str] = ()
) -> Trimmed:
    """At most `size` tokens: the special ones, `keep`, all that spells ASCII, and those most frequent in `texts`.

    Tokens keep their order. A character that is neither ASCII nor frequent becomes [UNK].

    Raises:
        UsageError: `size` is too small for what is always kept, or a token to keep is unknown.
    """
    kept = _always(vocabulary, keep)
    if len(kept) > size:
        raise UsageError(
            f"size must be at least {len(kept)}: the special tokens, those to keep and those that spell "
            f"ASCII words. Received: {size}"
        )
    counts = np.zeros(len(vocabulary), dtype=np.int64)
    remaining = iter(texts)
    while chunk := list(islice(remaining, _CHUNK)):
        ids = np.concatenate([tokens.ids for tokens in tokenize(vocabulary, chunk)])
        counts += np.bincount(ids, minlength=len(vocabulary))
    for index in np.argsort(-counts, kind="stable"):
        if len(kept) == size or not counts[index]:
            break
        kept.add(int(index))
    rows = np.array(sorted(kept), dtype=np.int32)
    known = counts.copy()
    known[vocabulary.ids[UNKNOWN]] = 0
    return Trimmed(
        vocabulary=Vocabulary(tokens=tuple(vocabulary.tokens[row] for row in rows)),
        rows=rows,
        unchanged=float(known[rows].sum() / max(1, counts.sum())),
    )


def _always(vocabulary: Vocabulary, keep: Iterable[str]) -> set[int]:
    wanted = list(keep)
    unknown = [token for token in wanted if token not in vocabulary.ids]
    if unknown:
        raise UsageError(f"keep names tokens the vocabulary does not have: {unknown[:5]}")
    characters = [c for c in string.printable if not c.isspace() and not c.isupper()]
    spelling = [*characters, *(f"##{c}" for c in characters)]
    names = [*REQUIRED, MASK, *wanted, *spelling]
    return {vocabulary.ids[name] for name in names if name in vocabulary.ids}

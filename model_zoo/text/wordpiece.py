"""WordPiece tokens of uncased BERT, each with the characters it came from, by the `tokenizers` library."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hw_model.errors import EnvironmentFault
from model_zoo.text.vocabulary import UNKNOWN, Vocabulary

Ints = npt.NDArray[np.int32]

#: Longer words are [UNK] as a whole. Source: `max_input_chars_per_word` of BERT's tokenization.
MAX_WORD_CHARACTERS = 200

# Half a surrogate pair, as undecodable bytes of a command line become, cannot be written as UTF-8.
_SURROGATE = re.compile("[\ud800-\udfff]")


class Tokens(NamedTuple):
    """Token ids (n,) and the span of characters each stands for, (n, 2): text[start:end]."""

    ids: Ints
    offsets: Ints


def tokenize(vocabulary: Vocabulary, texts: Sequence[str]) -> list[Tokens]:
    """Tokens of every text, without [CLS] and [SEP]; what the vocabulary cannot spell is [UNK].

    Raises:
        EnvironmentFault: the `tokenizers` package is not installed.
    """
    plain = [_SURROGATE.sub("\ufffd", text) for text in texts]
    encodings = _tokenizer(vocabulary).encode_batch(plain, add_special_tokens=False)
    return [
        Tokens(
            np.array(encoding.ids, dtype=np.int32),
            np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2),
        )
        for encoding in encodings
    ]


@lru_cache(maxsize=4)
def _tokenizer(vocabulary: Vocabulary) -> Any:
    try:
        from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    except ImportError as error:
        raise EnvironmentFault(
            f"tokenizers is not usable ({error}); install the 'text' extra."
        ) from error
    tokenizer = Tokenizer(
        models.WordPiece(
            vocab=dict(vocabulary.ids),
            unk_token=UNKNOWN,
            max_input_chars_per_word=MAX_WORD_CHARACTERS,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer

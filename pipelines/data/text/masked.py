"""Masked-language-model examples with next-sentence pairs: a pure function of (seed, epoch, index)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, SpecError
from model_zoo.spec.base import Node, require_int, require_rate
from model_zoo.text import Vocabulary, tokenize
from model_zoo.text.vocabulary import MASK, PAD, SEPARATOR, START, UNKNOWN
from pipelines.data.text.corpus import Corpus

Ints = npt.NDArray[np.int32]
_SALT = 0x3A
_CHUNK = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingSettings(Node):
    """Source of the shares: BERT; of length and predictions: published training of MobileBERT-EdgeTPU.

    Of the tokens chosen, 80 % become [MASK], 10 % any token, 10 % stay.
    """

    sequence_length: int = 512
    max_predictions: int = 20
    masked_share: float = 0.15
    mask_token_share: float = 0.8
    random_token_share: float = 0.1
    #: Pairs of which half have a second part from elsewhere; without, one text and no label to learn.
    pairs: bool = True

    def check(self) -> None:
        require_int("sequence_length", self.sequence_length, 8, 1 << 14)
        require_int("max_predictions", self.max_predictions, 1, self.sequence_length)
        for name in ("masked_share", "mask_token_share", "random_token_share"):
            require_rate(name, getattr(self, name))
        rest = 1 - self.mask_token_share
        # A part in a billion for sums of tenths.
        if self.random_token_share > rest + 1e-9:
            raise SpecError(
                "random_token_share",
                f"must be at most 1 - mask_token_share = {rest:g}. Received: {self.random_token_share}",
            )


class MaskedExamples:
    """Examples by index. The corpus is tokenized once and cut into runs of whole paragraphs of one document."""

    def __init__(
        self,
        corpus: Corpus,
        vocabulary: Vocabulary,
        settings: MaskingSettings | None = None,
        *,
        seed: int = 0,
    ) -> None:
        if MASK not in vocabulary.ids:
            raise DataError(f"Masked language modelling needs {MASK} in the vocabulary")
        self.settings = settings or MaskingSettings()
        self.vocabulary = vocabulary
        self.seed = seed
        special = {PAD, UNKNOWN, START, SEPARATOR, MASK}
        self._words = np.array(
            [
                index
                for token, index in vocabulary.ids.items()
                if token not in special and not token.startswith("[unused")
            ],
            dtype=np.int32,
        )
        room = self.settings.sequence_length - (3 if self.settings.pairs else 2)
        self._runs, self._documents = _cut(corpus, vocabulary, room)

    def __len__(self) -> int:
        return len(self._runs)

    def batch(
        self, indices: Sequence[int] | npt.NDArray[np.integer], *, epoch: int = 0
    ) -> dict[str, Ints]:
        """Examples stacked.

        `word_ids`, `mask`, `type_ids` are (N, L); `masked_positions`, `masked_ids`, `masked_weights` (N, P) say
        which tokens to predict; `next_sentence` (N,) is 1 where the second part does follow the first.
        """
        rows = [self.example(int(index), epoch=epoch) for index in indices]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def example(self, index: int, *, epoch: int = 0) -> dict[str, Ints]:
        """One example, as `batch` has it, without the first dimension."""
        if not 0 <= index < len(self):
            raise IndexError(f"example {index} of {len(self)}")
        rng = np.random.default_rng([self.seed, epoch, index, _SALT])
        parts, follows = self._parts(index, rng)
        return self._masked(parts, follows, rng)

    def _parts(self, index: int, rng: np.random.Generator) -> tuple[list[Ints], int]:
        """One text, or two with whether the second follows the first."""
        run = self._runs[index]
        if not self.settings.pairs:
            return [np.concatenate(run)], 0
        # A paragraph alone is cut in its middle, so that it too can be followed by itself.
        pieces = run if len(run) > 1 else _halves(run[0])
        at = int(rng.integers(1, len(pieces))) if len(pieces) > 1 else 1
        first = np.concatenate(pieces[:at])
        follows = len(pieces) > 1 and bool(rng.integers(2))
        second = np.concatenate(pieces[at:]) if follows else self._elsewhere(index, rng)
        room = self.settings.sequence_length - 3
        return [first, second[: max(1, room - len(first))]], int(follows)

    def _elsewhere(self, index: int, rng: np.random.Generator) -> Ints:
        """Text of another document, or of another run where there is one document only."""
        others = np.flatnonzero(self._documents != self._documents[index])
        if not len(others):
            others = np.delete(np.arange(len(self)), index)
        run = self._runs[int(rng.choice(others))] if len(others) else self._runs[index]
        return np.concatenate(run[int(rng.integers(len(run))) :])

    def _masked(self, parts: list[Ints], follows: int, rng: np.random.Generator) -> dict[str, Ints]:
        settings, ids = self.settings, self.vocabulary.ids
        words = np.full(settings.sequence_length, ids[PAD], dtype=np.int32)
        mask, types = np.zeros_like(words), np.zeros_like(words)
        words[0], place = ids[START], 1
        candidates = []
        for kind, part in enumerate(parts):
            end = place + len(part)
            words[place:end], words[end] = part, ids[SEPARATOR]
            types[place : end + 1] = kind
            candidates.append(np.arange(place, end))
            place = end + 1
        mask[:place] = 1
        free = np.concatenate(candidates)
        count = min(settings.max_predictions, max(1, round(settings.masked_share * len(free))))
        chosen = np.sort(rng.permutation(free)[:count])
        positions = np.zeros(settings.max_predictions, dtype=np.int32)
        truth, weights = np.zeros_like(positions), np.zeros_like(positions)
        positions[:count], truth[:count], weights[:count] = chosen, words[chosen], 1
        words[chosen] = self._replaced(words[chosen], rng)
        return {
            "word_ids": words,
            "mask": mask,
            "type_ids": types,
            "masked_positions": positions,
            "masked_ids": truth,
            "masked_weights": weights,
            "next_sentence": np.array(follows, dtype=np.int32),
        }

    def _replaced(self, words: Ints, rng: np.random.Generator) -> Ints:
        """Most of them [MASK], some any word, the rest as they are."""
        settings = self.settings
        draw = rng.random(len(words))
        anything = rng.choice(self._words, len(words))
        masked = np.where(draw < settings.mask_token_share, self.vocabulary.ids[MASK], words)
        to_random = (draw >= settings.mask_token_share) & (
            draw < settings.mask_token_share + settings.random_token_share
        )
        return np.where(to_random, anything, masked).astype(np.int32)


def _halves(ids: Ints) -> list[Ints]:
    middle = len(ids) // 2
    return [ids[:middle], ids[middle:]] if middle else [ids]


def _cut(
    corpus: Corpus, vocabulary: Vocabulary, room: int
) -> tuple[list[list[Ints]], npt.NDArray[np.int64]]:
    """Runs of paragraphs of at most `room` tokens together, and the document of each; longer ones are cut."""
    runs: list[list[Ints]] = []
    documents: list[int] = []
    for number, document in enumerate(_progress(corpus)):
        left = 0
        for start in range(0, len(document), _CHUNK):
            for tokens in tokenize(vocabulary, document[start : start + _CHUNK]):
                for begin in range(0, len(tokens.ids), room):
                    piece = tokens.ids[begin : begin + room]
                    if len(piece) > left:
                        runs.append([])
                        documents.append(number)
                        left = room
                    runs[-1].append(piece)
                    left -= len(piece)
    if not runs:
        raise DataError(f"Corpus {corpus.name!r} has no words the vocabulary can read.")
    return runs, np.array(documents, dtype=np.int64)


def _progress(corpus: Corpus) -> Sequence[tuple[str, ...]]:
    from tqdm import tqdm

    bar: Sequence[tuple[str, ...]] = tqdm(
        corpus.documents, desc="tokens", unit="document", delay=2, disable=None
    )
    return bar

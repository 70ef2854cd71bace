"""Specs of language networks: input, MobileBERT encoder, and heads for words, spans of text and whole sentences."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from hw_model.errors import SpecError
from model_zoo.spec.base import Node, require_in, require_int, require_rate
from model_zoo.spec.network import Network

TextFamily = Literal["mobilebert_edgetpu", "bert"]
TEXT_FAMILIES: tuple[TextFamily, ...] = get_args(TextFamily)
TextTask = Literal["answering", "text_classification", "masked_lm", "features"]
NormName = Literal["no_norm", "layer_norm"]
EncoderActivation = Literal["relu", "gelu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextInput(Node):
    """How many word pieces a network reads at once, and the tables that turn them into vectors.

    `sequence_length` is what graphs, costs and exported files have; a model in training takes any up to
    `max_length`, the rows of the position table. `types` tells a question from its context.
    """

    sequence_length: int = 384
    vocabulary_size: int = 30522
    max_length: int = 512
    types: int = 2

    def check(self) -> None:
        require_int("vocabulary_size", self.vocabulary_size, 1, 1 << 24)
        require_int("max_length", self.max_length, 2, 1 << 16)
        require_int("types", self.types, 1)
        require_int("sequence_length", self.sequence_length, 2, 1 << 16)
        if self.sequence_length > self.max_length:
            raise SpecError(
                "sequence_length",
                f"must not exceed the {self.max_length} rows of the position table (max_length). "
                f"Received: {self.sequence_length}",
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of each of the inputs without the batch."""
        return (self.sequence_length,)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEncoder(Node):
    """`blocks` transformer blocks, `hidden` wide outside and `bottleneck` wide inside; None has no bottleneck, as BERT.

    Words are embedded in `embedding` channels, with `trigram` joined by those of the next and the previous word.
    Each block has attention of `heads` heads, then `ffns` feed-forward networks of `intermediate` channels.
    With `shared_key_query` keys and queries read a bottleneck of their own, without it the block's input, as
    values always do. `mask_value` is added to the scores of padding. Masked words are predicted from `hidden`
    channels and a wider copy of the embedding table, or, with `projected_logits`, from `embedding` channels.
    """

    blocks: int
    bottleneck: int | None
    intermediate: int
    ffns: int
    heads: int = 4
    hidden: int = 512
    embedding: int = 128
    trigram: bool = True
    norm: NormName = "no_norm"
    activation: EncoderActivation = "relu"
    shared_key_query: bool = True
    mask_value: float = -120.0
    projected_logits: bool = False
    dropout: float = 0.1
    attention_dropout: float = 0.1

    def check(self) -> None:
        require_int("blocks", self.blocks, 1, 256)
        require_int("ffns", self.ffns, 1, 64)
        for name in ("intermediate", "heads", "hidden", "embedding"):
            require_int(name, getattr(self, name), 1, 1 << 16)
        if self.bottleneck is not None:
            require_int("bottleneck", self.bottleneck, 1, 1 << 16)
        for name in ("trigram", "shared_key_query", "projected_logits"):
            require_in(name, getattr(self, name), (True, False))
        require_in("norm", self.norm, ("no_norm", "layer_norm"))
        require_in("activation", self.activation, ("relu", "gelu"))
        for name in ("dropout", "attention_dropout"):
            require_rate(name, getattr(self, name))
        if self.inner % self.heads:
            fitting = [str(n) for n in range(1, 65) if self.inner % n == 0]
            part = "hidden size" if self.bottleneck is None else "bottleneck"
            raise SpecError(
                "heads",
                f"must divide the {part} of {self.inner}; try {', '.join(fitting)}. "
                f"Received: {self.heads}",
            )
        if self.embedding > self.hidden:
            raise SpecError(
                "embedding", f"must not exceed hidden {self.hidden}. Received: {self.embedding}"
            )
        if not isinstance(self.mask_value, float) or not -math.inf < self.mask_value < 0:
            raise SpecError("mask_value", f"must be below 0. Received: {self.mask_value!r}")

    @property
    def inner(self) -> int:
        """Channels inside a block."""
        return self.hidden if self.bottleneck is None else self.bottleneck

    @property
    def key_query_width(self) -> int:
        """Channels keys and queries are computed from."""
        return self.inner if self.shared_key_query else self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanHead(Node):
    """Where an answer starts and ends: `start_logits` and `end_logits`, each (N, L)."""

    TAGGED: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceHead(Node):
    """Scores (N, num_classes) of the first position, behind `units` channels with tanh where given."""

    TAGGED: ClassVar[bool] = True
    num_classes: int = 2
    units: int | None = None
    dropout: float = 0.1

    def check(self) -> None:
        require_int("num_classes", self.num_classes, 1)
        require_rate("dropout", self.dropout)
        if self.units is not None:
            require_int("units", self.units, 1, 1 << 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskedLmHead(Node):
    """Scores (N, predictions, vocabulary_size) of the words at the positions a fourth input names.

    With `next_sentence` a dict: `masked_lm`, and `next_sentence` (N, 2) as of a `SentenceHead` of hidden width.
    """

    TAGGED: ClassVar[bool] = True
    predictions: int = 20
    next_sentence: bool = False

    def check(self) -> None:
        require_int("predictions", self.predictions, 1, 1 << 16)
        require_in("next_sentence", self.next_sentence, (True, False))


TextHead = SpanHead | SentenceHead | MaskedLmHead


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSpec(Network):
    """A whole language network; without a head it returns `sequence_output` and `pooled_output`."""

    TAGGED: ClassVar[bool] = True
    family: TextFamily = "mobilebert_edgetpu"
    input: TextInput
    encoder: TextEncoder
    head: TextHead | None = None
    version: Literal[1] = 1

    def check(self) -> None:
        require_in("family", self.family, TEXT_FAMILIES)
        require_in("version", self.version, (1,))

    @property
    def task(self) -> TextTask:
        """What the network is for, as its head says."""
        if self.head is None:
            return "features"
        if isinstance(self.head, SpanHead):
            return "answering"
        return "text_classification" if isinstance(self.head, SentenceHead) else "masked_lm"

"""The space around MobileBERT-EdgeTPU: one transformer block, repeated, with all of its dimensions open.

Open are the blocks, the bottleneck inside of them and the hidden size between them, feed-forward networks and their
width, heads, activation and norm. The published sizes and the MobileBERT they are compared with are points of it. Every
genotype is a legal network: widths are multiples of 8, which every number of heads divides. A spec of the space
answers questions, as the published sizes are compared.

Source: Akin et al., "Searching for Efficient Neural Architectures for On-Device ML on Edge TPUs", 2022, section 5.4: a
space of MobileBERT's dimensions, searched by trials of a short distillation. It prints no values: those here
are assumed, around the published ones.
"""

from dataclasses import replace
from typing import Any

from model_zoo.spec import Space, SpanHead, TextEncoder, TextInput, TextSpec, one_of, round_filters
from model_zoo.spec.text import EncoderActivation, NormName

#: Raised whenever a genotype would come to mean another network.
VERSION = 1
#: Widths are multiples of it, and so divided by every number of heads.
DIVISOR = 8
BLOCKS = (4, 6, 8, 10, 12, 16, 20, 24)
BOTTLENECKS = (64, 96, 128, 192, 256, 320, 384)
INTERMEDIATES = (256, 384, 512, 768, 1024, 1536, 2048)
FFNS = (1, 2, 3, 4, 6, 8)
HEADS = (1, 2, 4, 8)
HIDDENS = (256, 384, 512, 640, 768)
ACTIVATIONS: tuple[EncoderActivation, ...] = ("relu", "gelu")
NORMS: tuple[NormName, ...] = ("no_norm", "layer_norm")
EMBEDDING = 128
#: Rows of the position table, as published; a longer sequence has as many as it needs.
MAX_LENGTH = 512


def make_space(
    *, sequence_length: int, vocabulary_size: int, width: float = 1.0
) -> Space[TextSpec]:
    """The space for questions of `sequence_length` word pieces with their contexts.

    `width` multiplies every width, the embedding's too; choices that then coincide become one.
    """
    encoder = TextEncoder(
        blocks=one_of(*BLOCKS),
        bottleneck=_widths(BOTTLENECKS, width),
        intermediate=_widths(INTERMEDIATES, width),
        ffns=one_of(*FFNS),
        heads=one_of(*HEADS),
        hidden=_widths(HIDDENS, width),
        embedding=_scaled(EMBEDDING, width),
        norm=one_of(*NORMS),
        activation=one_of(*ACTIVATIONS),
    )
    tables = TextInput(
        sequence_length=sequence_length,
        vocabulary_size=vocabulary_size,
        max_length=max(MAX_LENGTH, sequence_length),
    )
    return Space(TextSpec(input=tables, encoder=encoder, head=SpanHead()))


def at_width(spec: TextSpec, width: float) -> TextSpec:
    """A network with its widths multiplied as those of the space are."""
    names = ("bottleneck", "intermediate", "hidden", "embedding")
    scaled: dict[str, Any] = {name: _scaled(getattr(spec.encoder, name), width) for name in names}
    return replace(spec, encoder=replace(spec.encoder, **scaled))


def _widths(published: tuple[int, ...], width: float) -> int:
    return one_of(*dict.fromkeys(_scaled(each, width) for each in published))


def _scaled(channels: int, width: float) -> int:
    return channels if width == 1.0 else round_filters(channels * width, DIVISOR)

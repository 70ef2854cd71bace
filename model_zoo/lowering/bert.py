"""MobileBERT and BERT encoders and the heads on them.

Sources: BERT (Devlin et al. 2018), MobileBERT (Sun et al. 2020) and MobileBERT-EdgeTPU as published in the
TensorFlow Model Garden, official/projects/edgetpu/nlp and official/nlp/modeling/layers/mobile_bert_layers.py.
"""

from functools import partial
from typing import TypeVar

from hw_model.graph import Builder, ops
from model_zoo.spec.text import (
    MaskedLmHead,
    SentenceHead,
    SpanHead,
    TextEncoder,
    TextInput,
    TextSpec,
)

H = TypeVar("H")
R = TypeVar("R")
#: Names of the inputs, in the published order; masked words add the last one.
WORD_IDS, MASK, TYPE_IDS = "input_word_ids", "input_mask", "input_type_ids"
POSITIONS = "masked_lm_positions"
#: Names the initialisers go by.
SPANS = "spans"
WORDS = "word_embedding"
PROJECTION = "embedding_projection"
#: Source: published layer norms of the teacher and of the masked words.
_LAYER_NORM = ops.LayerNorm(epsilon=1e-12)


def hidden_layer(block: int) -> str:
    """Name of the layer whose output (N, L, hidden) is that of a block; -1 is the embedding's."""
    return f"block_{block}_output_norm" if block >= 0 else "embedding_norm"


def attention_layer(block: int) -> str:
    """Name of the layer whose output (N, heads, L, L) is the attention of a block."""
    return f"block_{block}_attention"


def masked_scores_layer(block: int) -> str:
    """Name of the layer with the scores (N, heads, L, L) of a block, padding put below words."""
    return f"block_{block}_scores_masked"


def lower_text(spec: TextSpec, b: Builder[H, R]) -> H | dict[str, H]:
    """What the network returns; shapes are those of its head, or of `TextSpec` without one."""
    shape = (1, spec.input.sequence_length)
    ids, mask, types = (b.input(shape, name=n, dtype="int32") for n in (WORD_IDS, MASK, TYPE_IDS))
    encoder = spec.encoder
    key = (spec.input.vocabulary_size, spec.input.max_length, spec.input.types, encoder)
    x = b.join(key, (ids, types), partial(_embed, spec.input, encoder))
    adder = b.part(("mask", encoder.mask_value), mask, partial(_mask, encoder))
    for index in range(encoder.blocks - 1):
        x = b.join(encoder, (x, adder), partial(_block, encoder, index))
    head = spec.head
    # The last norm merges into a head that is nothing but a dense layer, so the two are one part.
    last = _spans if isinstance(head, SpanHead) else _block
    x = b.join((last, encoder), (x, adder), partial(last, encoder, encoder.blocks - 1))
    if isinstance(head, MaskedLmHead):
        return _masked_words(head, spec, b, x)
    if isinstance(head, SentenceHead):
        return b.part(head, x, partial(_sentence, head, "classifier"))
    if isinstance(head, SpanHead):
        return {
            name: b.part((SPANS, index), x, partial(_column, index, name))
            # In the order of the names, which is that of the outputs of an exported file.
            for name, index in (("end_logits", 1), ("start_logits", 0))
        }
    return {"pooled_output": b.part("pooled", x, partial(_first, "pooled")), "sequence_output": x}


def _embed(tables: TextInput, encoder: TextEncoder, b: Builder[H, R], inputs: tuple[H, ...]) -> H:
    """Words, their neighbours, types and positions as (N, L, hidden)."""
    ids, types = inputs
    words = ops.Embedding(rows=tables.vocabulary_size, width=encoder.embedding)
    x = b.emit(words, (ids,), name=WORDS)[0]
    if encoder.trigram:
        following = b.emit(ops.Shift(steps=-1), (x,), name="embedding_next")[0]
        previous = b.emit(ops.Shift(steps=1), (x,), name="embedding_previous")[0]
        x = b.concat((following, x, previous), name="embedding_trigram")
    if b.shape(x)[-1] != encoder.hidden:
        x = b.dense(x, encoder.hidden, name=PROJECTION)
    x = b.emit(ops.PositionEmbedding(rows=tables.max_length), (x,), name="position_embedding")[0]
    kinds = ops.Embedding(rows=tables.types, width=encoder.hidden)
    x = b.add(x, b.emit(kinds, (types,), name="type_embedding")[0], name="embedding_add")
    x = _norm(encoder, b, x, hidden_layer(-1))
    return b.dropout(x, encoder.dropout, name="embedding_dropout")


def _mask(encoder: TextEncoder, b: Builder[H, R], mask: H) -> H:
    return b.emit(ops.MaskAdder(value=encoder.mask_value), (mask,), name="attention_mask")[0]


def _norm(encoder: TextEncoder, b: Builder[H, R], x: H, name: str) -> H:
    op = ops.ScaleShift() if encoder.norm == "no_norm" else _LAYER_NORM
    return b.emit(op, (x,), name=name)[0]


def _block(encoder: TextEncoder, index: int, b: Builder[H, R], inputs: tuple[H, ...]) -> H:
    """One transformer block behind (N, L, hidden) and what masks its scores."""
    x, adder = inputs
    prefix = f"block_{index}_"
    plain = encoder.bottleneck is None
    inner = x if plain else _bottleneck(encoder, b, x, f"{prefix}bottleneck")
    shared = x
    if encoder.shared_key_query and not plain:
        shared = _bottleneck(encoder, b, x, f"{prefix}shared")
    y = _attention(encoder, index, b, (shared, x, adder))
    if plain:
        y = b.dropout(y, encoder.dropout, name=f"{prefix}mix_dropout")
    y = b.add(y, inner, name=f"{prefix}attention_add")
    y = _norm(encoder, b, y, f"{prefix}attention_norm")
    for number in range(encoder.ffns):
        name = f"{prefix}ffn_{number}_"
        z = b.dense(y, encoder.intermediate, name=f"{name}expand")
        z = b.activation(z, encoder.activation, name=f"{name}activation")
        z = b.dense(z, encoder.inner, name=f"{name}project")
        last = plain and number == encoder.ffns - 1
        if plain:
            z = b.dropout(z, encoder.dropout, name=f"{name}dropout")
        y = b.add(z, y, name=f"{name}add")
        y = _norm(encoder, b, y, hidden_layer(index) if last else f"{name}norm")
    if plain:
        return y
    y = b.dense(y, encoder.hidden, name=f"{prefix}output_dense")
    y = b.dropout(y, encoder.dropout, name=f"{prefix}output_dropout")
    y = b.add(y, x, name=f"{prefix}output_add")
    return _norm(encoder, b, y, hidden_layer(index))


def _bottleneck(encoder: TextEncoder, b: Builder[H, R], x: H, prefix: str) -> H:
    x = b.dense(x, encoder.inner, name=f"{prefix}_dense")
    return _norm(encoder, b, x, f"{prefix}_norm")


def _attention(encoder: TextEncoder, index: int, b: Builder[H, R], inputs: tuple[H, H, H]) -> H:
    """What each position takes from the values of all, `inner` wide."""
    shared, x, adder = inputs
    prefix = f"block_{index}_"
    size = encoder.inner // encoder.heads
    query = b.dense(shared, encoder.inner, name=f"{prefix}query")
    query = b.emit(ops.Rescale(factor=size**-0.5), (query,), name=f"{prefix}query_scale")[0]
    key = b.dense(shared, encoder.inner, name=f"{prefix}key")
    value = b.dense(x, encoder.inner, name=f"{prefix}value")
    query = _heads(encoder, b, query, (0, 2, 1, 3), f"{prefix}query")
    key = _heads(encoder, b, key, (0, 2, 3, 1), f"{prefix}key")
    value = _heads(encoder, b, value, (0, 2, 1, 3), f"{prefix}value")
    scores = b.emit(ops.MatMul(), (query, key), name=f"{prefix}scores")[0]
    scores = b.add(scores, adder, name=masked_scores_layer(index))
    scores = b.softmax(scores, name=attention_layer(index))
    scores = b.dropout(scores, encoder.attention_dropout, name=f"{prefix}attention_dropout")
    y = b.emit(ops.MatMul(), (scores, value), name=f"{prefix}mix")[0]
    y = b.emit(ops.Transpose(permutation=(0, 2, 1, 3)), (y,), name=f"{prefix}mix_transpose")[0]
    y = b.reshape(y, (*b.shape(x)[:2], encoder.inner), name=f"{prefix}mix_join")
    return b.dense(y, encoder.inner, name=f"{prefix}attention_dense")


def _heads(encoder: TextEncoder, b: Builder[H, R], x: H, order: tuple[int, ...], prefix: str) -> H:
    """(N, L, heads, size) from (N, L, inner), its axes in another order."""
    batch, length, width = b.shape(x)
    x = b.reshape(x, (batch, length, encoder.heads, width // encoder.heads), name=f"{prefix}_heads")
    return b.emit(ops.Transpose(permutation=order), (x,), name=f"{prefix}_transpose")[0]


def _first(prefix: str, b: Builder[H, R], x: H) -> H:
    """The first position, (N, hidden)."""
    width = b.shape(x)[-1]
    x = b.emit(ops.Slice(begin=(0, 0, 0), sizes=(1, 1, width)), (x,), name=f"{prefix}_first")[0]
    return b.reshape(x, (1, width), name=f"{prefix}_output")


def _sentence(head: SentenceHead, prefix: str, b: Builder[H, R], x: H) -> H:
    x = _first(prefix, b, x)
    if head.units is not None:
        x = b.dense(x, head.units, name=f"{prefix}_dense")
        x = b.activation(x, "tanh", name=f"{prefix}_tanh")
    x = b.dropout(x, head.dropout, name=f"{prefix}_dropout")
    return b.dense(x, head.num_classes, name=f"{prefix}_logits")


def _spans(encoder: TextEncoder, index: int, b: Builder[H, R], inputs: tuple[H, ...]) -> H:
    """The last block, and scores (N, L, 2) of each position as a start and an end."""
    return b.dense(_block(encoder, index, b, inputs), 2, name=f"{SPANS}_dense")


def _column(index: int, name: str, b: Builder[H, R], scores: H) -> H:
    """One of the columns of (N, L, 2), as (N, L)."""
    batch, length, _ = b.shape(scores)
    cut = ops.Slice(begin=(0, 0, index), sizes=(batch, length, 1))
    x = b.emit(cut, (scores,), name=f"{name}_slice")[0]
    return b.reshape(x, (batch, length), name=name)


def _masked_words(head: MaskedLmHead, spec: TextSpec, b: Builder[H, R], x: H) -> H | dict[str, H]:
    positions = b.input((1, head.predictions), name=POSITIONS, dtype="int32")
    words = b.join((head, spec.input, spec.encoder), (x, positions), partial(_words, spec))
    if not head.next_sentence:
        return words
    sentence = SentenceHead(num_classes=2, units=spec.encoder.hidden, dropout=0.0)
    scores = b.part(sentence, x, partial(_sentence, sentence, "next_sentence"))
    return {"masked_lm": words, "next_sentence": scores}


def _words(spec: TextSpec, b: Builder[H, R], inputs: tuple[H, ...]) -> H:
    """Scores of every word at each of the positions."""
    encoder = spec.encoder
    x = b.emit(ops.Gather(), inputs, name="masked_lm_gather")[0]
    x = b.dense(x, encoder.hidden, name="masked_lm_dense")
    x = b.activation(x, encoder.activation, name="masked_lm_activation")
    x = b.emit(_LAYER_NORM, (x,), name="masked_lm_norm")[0]
    if encoder.projected_logits:
        narrow = ops.Dense(units=encoder.embedding, bias=False)
        x = b.emit(narrow, (x,), name="masked_lm_projection")[0]
    tied = ops.TiedLogits(table=WORDS, rows=spec.input.vocabulary_size, width=encoder.embedding)
    return b.emit(tied, (x,), name="masked_lm_logits")[0]

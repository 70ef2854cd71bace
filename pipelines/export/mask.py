"""Attention in 8 bits: scores keep the range that words need, and padding lies at its lower end."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from model_zoo.lowering.bert import MASK, attention_layer, masked_scores_layer
from model_zoo.spec.text import TextSpec
from pipelines.export.convert import Sample

#: How far below a position's best word padding is at least: e to the minus 10 of its share. Softmax in int8 rounds
#: shares below 1/512, e to the minus 6.2, to nothing.
MARGIN = 10.0
_MASK = "attention_mask"
_BATCH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Clipping:
    """What padding's scores are given, and the range of each block's scores after that."""

    mask_value: float
    bounds: tuple[tuple[float, float], ...]


def clipping_of(model: Any, samples: Sequence[Sample]) -> Clipping | None:
    """How an int8 file treats padding; None for a model that masks nothing, or has learned its ranges.

    One tensor of 8 bits holds the scores of words and of padding. What padding is put below the words, such as the
    published 120, would take most of its steps; so the tensor ends at the lowest score that means anything.
    """
    spec = getattr(model, "spec", None)
    if not isinstance(spec, TextSpec):
        return None
    import keras

    layers = {layer.name: layer for layer in model.layers}
    blocks = range(spec.encoder.blocks)
    if any(f"{masked_scores_layer(block)}_range" in layers for block in blocks):
        return None
    probe = keras.Model(model.inputs, [layers[f"block_{b}_scores"].output for b in blocks])
    place = next(i for i, tensor in enumerate(model.inputs) if tensor.name == MASK)
    # Of each block: least and largest score of a word, least best word of a position, largest score of anything.
    seen = np.tile([np.inf, -np.inf, np.inf, -np.inf], (len(blocks), 1))
    for first in range(0, len(samples), _BATCH):
        some = samples[first : first + _BATCH]
        inputs = [np.concatenate(parts) for parts in zip(*some, strict=True)]
        found = probe.predict_on_batch(inputs)
        for block, scores in enumerate([found] if len(blocks) == 1 else found):
            low, high, best, anything = _extent(np.asarray(scores), inputs[place].astype(bool))
            seen[block, ::2] = np.minimum(seen[block, ::2], (low, best))
            seen[block, 1::2] = np.maximum(seen[block, 1::2], (high, anything))
    floors = np.minimum(seen[:, 0], seen[:, 2] - MARGIN)
    depth = math.ceil((seen[:, 3] - floors).max())
    return Clipping(
        mask_value=max(spec.encoder.mask_value, -float(depth)),
        bounds=tuple(
            (min(float(floor), 0.0), max(float(high), 0.0))
            for floor, high in zip(floors, seen[:, 1], strict=True)
        ),
    )


def floors_of(model: Any, batches: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The lowest score that means anything by the layers of a text model; empty for one that masks nothing.

    `batches` are inputs by name.
    """
    samples = [[batch[tensor.name] for tensor in model.inputs] for batch in batches]
    clipping = clipping_of(model, samples)
    bounds = clipping.bounds if clipping else ()
    return {masked_scores_layer(block): low for block, (low, _) in enumerate(bounds)}


def _extent(scores: Any, words: Any) -> tuple[float, float, float, float]:
    """Extremes of scores (N, heads, L, L) in the rows of words (N, L): what padding attends to nobody reads."""
    rows = np.moveaxis(scores, 1, 2)[words]
    columns = np.repeat(words, words.sum(axis=1), axis=0)[:, None, :]
    high = np.where(columns, rows, -np.inf)
    low = np.where(columns, rows, np.inf).min()
    return float(low), float(high.max()), float(high.max(axis=-1).min()), float(rows.max())


@contextmanager
def clipped(model: Any, clipping: Clipping | None) -> Iterator[None]:
    """Runs a model's attention as its int8 file does, and as before afterwards."""
    if clipping is None:
        yield
        return
    attributes = model.get_layer(_MASK).attributes
    softmaxes = [model.get_layer(attention_layer(block)) for block in range(len(clipping.bounds))]
    former = attributes["value"]
    attributes["value"] = clipping.mask_value
    for softmax, bounds in zip(softmaxes, clipping.bounds, strict=True):
        softmax.bounds = bounds
    try:
        yield
    finally:
        attributes["value"] = former
        for softmax in softmaxes:
            softmax.bounds = None

"""A converted language network is the one its spec predicts, all of it in integers."""

from typing import Any

import numpy as np
import pytest

from hw_model.graph import to_inference
from hw_model.io import float_operators
from model_zoo.nn.model import ZooModel
from model_zoo.spec import SentenceHead, SpanHead, TextEncoder, TextHead, TextInput, TextSpec
from pipelines.export.compare import compare_with_file
from pipelines.export.convert import convert

pytestmark = pytest.mark.slow
LENGTH = 12


def _samples(count: int) -> list[list[Any]]:
    rng = np.random.default_rng(0)
    mask = (np.arange(LENGTH) < 8)[None]
    rows = [
        (rng.integers(0, 50, (1, LENGTH)), mask, rng.integers(0, 2, (1, LENGTH)))
        for _ in range(count)
    ]
    return [[part.astype(np.int32) for part in row] for row in rows]


@pytest.mark.parametrize(
    ("head", "activation", "ffns"),
    [
        (SpanHead(), "relu", 2),
        (SentenceHead(num_classes=3, units=16), "relu", 1),
        (None, "gelu", 2),
    ],
)
def test_the_file_is_the_predicted_graph(head: TextHead | None, activation: Any, ffns: int) -> None:
    encoder = TextEncoder(
        blocks=2,
        bottleneck=16,
        intermediate=24,
        ffns=ffns,
        hidden=32,
        embedding=8,
        activation=activation,
    )
    tables = TextInput(sequence_length=LENGTH, vocabulary_size=50, max_length=16)
    spec = TextSpec(input=tables, encoder=encoder, head=head)
    model = ZooModel(spec)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.2, variable.shape))
    converted = convert(model, _samples(8), lambda *_: None)
    assert not float_operators(converted.int8)
    assert compare_with_file(to_inference(spec.graph()), converted.int8) == ()

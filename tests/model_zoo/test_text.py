"""MobileBERT-EdgeTPU: published sizes, one network in graph, Keras and plain NumPy, heads, lengths, refusals."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

import model_zoo
from hw_model.cost import Analytical
from hw_model.cost.batch import SpecCost, coster_for
from hw_model.errors import SpecError, UnknownNameError, UsageError
from hw_model.graph import verify
from hw_model.targets import load_target
from model_zoo.create import create_spec
from model_zoo.lowering.bert import attention_layer, hidden_layer
from model_zoo.nn.model import ZooModel
from model_zoo.registry import match, spec_of
from model_zoo.spec import (
    MaskedLmHead,
    SentenceHead,
    SpanHead,
    TextEncoder,
    TextHead,
    TextInput,
    TextSpec,
    from_json,
)

pytestmark = pytest.mark.backends
#: Encoder parameters as published with the checkpoints: 27.1 (printed), 38.3, 50.9 and 24.6 million of them.
PUBLISHED = {
    "mobilebert_edgetpu_xxs": 9_416_960,
    "mobilebert_edgetpu_xs": 27_006_720,
    "mobilebert_edgetpu_s": 38_326_016,
    "mobilebert_edgetpu_m": 50_951_936,
    "mobilebert_baseline": 24_581_888,
    "ib_bert_large": 294_205_184,
}
HEADS: tuple[TextHead | None, ...] = (
    None,
    SpanHead(),
    SentenceHead(num_classes=3),
    SentenceHead(units=24),
    MaskedLmHead(predictions=3),
    MaskedLmHead(predictions=3, next_sentence=True),
)


def tiny(head: TextHead | None = None, **encoder: Any) -> TextSpec:
    """Two blocks over 8 word pieces."""
    sizes = {"blocks": 2, "bottleneck": 12, "intermediate": 20, "ffns": 2, "heads": 3}
    chosen = {**sizes, "hidden": 16, "embedding": 6, "dropout": 0.0, "attention_dropout": 0.0}
    return TextSpec(
        input=TextInput(sequence_length=8, vocabulary_size=30, max_length=10),
        encoder=TextEncoder(**(chosen | encoder)),
        head=head,
    )


TEACHER = {
    "norm": "layer_norm",
    "activation": "gelu",
    "shared_key_query": False,
    "mask_value": -1e9,
    "projected_logits": True,
}


def batch(length: int = 8, predictions: int = 0, count: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    mask = np.ones((count, length), np.int32)
    mask[0, length - 3 :] = 0
    arrays = [rng.integers(0, 30, (count, length)), mask, rng.integers(0, 2, (count, length))]
    if predictions:
        arrays.append(rng.integers(0, length, (count, predictions)))
    return [array.astype(np.int32) for array in arrays]


def randomized(spec: TextSpec, **options: Any) -> Any:
    """A model whose norms and biases do something."""
    model = ZooModel(spec, **options)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(ops.convert_to_numpy(variable) + rng.normal(0, 0.2, variable.shape))
    return model


def numbers(outputs: Any) -> Any:
    if isinstance(outputs, dict):
        return {name: numbers(value) for name, value in outputs.items()}
    return ops.convert_to_numpy(outputs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_encoders_have_the_published_parameters(name: str) -> None:
    spec = create_spec(name, backbone=True)
    assert verify(spec.graph()).param_count == PUBLISHED[name]
    # The span head is the one the published scores were measured with.
    assert spec_of(name).graph().param_count == PUBLISHED[name] + 512 * 2 + 2


@pytest.mark.parametrize("name", ["mobilebert_edgetpu_xxs"])
def test_keras_has_them_too(name: str) -> None:
    assert model_zoo.create_model(name, backbone=True).count_params() == PUBLISHED[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_keras_has_them_in_every_size(name: str) -> None:
    keras.backend.clear_session()
    assert model_zoo.create_model(name, backbone=True).count_params() == PUBLISHED[name]


def test_an_embedding_and_a_block_of_s_are_as_published() -> None:
    graph = create_spec("mobilebert_edgetpu_s", backbone=True).graph()
    sizes = {op.name: sum(param.size for param in graph.params(op)) for op in graph.ops}
    assert sum(size for name, size in sizes.items() if "embedding" in name) == 4_368_128
    assert sum(size for name, size in sizes.items() if name.startswith("block_3_")) == 2_829_824


def test_multiply_adds_by_hand() -> None:
    """Every matrix product of XS at 384: attention grows with the square of the length, all else with the length."""
    graph = create_spec("mobilebert_edgetpu_xs", backbone=True).graph()
    dense = 2 * 512 * 256 + 2 * 256 * 256 + 512 * 256 + 256 * 256 + 8 * 256 * 1024 + 256 * 512
    assert graph.macs == 384 * (384 * 512 + 8 * (dense + 2 * 384 * 256))
    short = create_spec("mobilebert_edgetpu_xs", backbone=True, sequence_length=128).graph()
    assert short.macs == 128 * (384 * 512 + 8 * (dense + 2 * 128 * 256))


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
@pytest.mark.parametrize("kind", [{}, TEACHER, {"trigram": False, "embedding": 16}])
def test_graph_and_keras_are_one_network(head: TextHead | None, kind: dict[str, Any]) -> None:
    spec = tiny(head, **kind)
    assert from_json(spec.to_json()) == spec
    graph, model = verify(spec.graph()), ZooModel(spec)
    assert model.count_params() == graph.param_count
    by_name = {layer.name: layer for layer in model.layers}
    for op in graph.ops:
        shape = (None, *graph.tensors[op.outputs[0]].shape[1:])
        assert tuple(by_name[op.name].output.shape) == shape, op.name
    names = [graph.tensors[index].name for index in graph.inputs]
    assert [tensor.name for tensor in model.inputs] == names
    assert names[:3] == ["input_word_ids", "input_mask", "input_type_ids"]
    assert {tensor.dtype for tensor in model.inputs} == {"int32"}


def _norm(spec: TextSpec, weights: dict[str, Any], name: str, x: np.ndarray) -> np.ndarray:
    gamma, beta = weights[name]
    if spec.encoder.norm == "layer_norm":
        mean = x.mean(-1, keepdims=True)
        x = (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + 1e-12)
    return gamma * x + beta


def _forward(spec: TextSpec, weights: dict[str, Any], inputs: list[np.ndarray]) -> np.ndarray:
    """The published maths, sample by sample and head by head, in float64."""
    encoder = spec.encoder
    gelu = np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))
    activate = gelu if encoder.activation == "gelu" else lambda v: np.maximum(v, 0)

    def dense(name: str, x: np.ndarray) -> np.ndarray:
        kernel, bias = weights[name]
        return x @ kernel + bias

    results = []
    for ids, mask, types in zip(*inputs, strict=True):
        (words,), zero = weights["word_embedding"], np.zeros((1, encoder.embedding))
        e = words[ids]
        joined = np.concatenate([np.r_[e[1:], zero], e, np.r_[zero, e[:-1]]], axis=1)
        x = dense("embedding_projection", joined) + weights["position_embedding"][0][: len(ids)]
        x = _norm(spec, weights, "embedding_norm", x + weights["type_embedding"][0][types])
        for block in range(encoder.blocks):
            name = f"block_{block}_"
            b = _norm(spec, weights, f"{name}bottleneck_norm", dense(f"{name}bottleneck_dense", x))
            kq = x
            if encoder.shared_key_query:
                kq = _norm(spec, weights, f"{name}shared_norm", dense(f"{name}shared_dense", x))
            query, key = dense(f"{name}query", kq), dense(f"{name}key", kq)
            value, size = dense(f"{name}value", x), encoder.bottleneck // encoder.heads
            taken = []
            for head in range(encoder.heads):
                part = slice(head * size, (head + 1) * size)
                scores = query[:, part] @ key[:, part].T / math.sqrt(size)
                scores = scores + (1 - mask) * encoder.mask_value
                scores = np.exp(scores - scores.max(-1, keepdims=True))
                taken.append(scores / scores.sum(-1, keepdims=True) @ value[:, part])
            attention = dense(f"{name}attention_dense", np.concatenate(taken, axis=1))
            h = _norm(spec, weights, f"{name}attention_norm", attention + b)
            for ffn in range(encoder.ffns):
                inner = activate(dense(f"{name}ffn_{ffn}_expand", h))
                inner = dense(f"{name}ffn_{ffn}_project", inner)
                h = _norm(spec, weights, f"{name}ffn_{ffn}_norm", inner + h)
            x = _norm(spec, weights, f"{name}output_norm", dense(f"{name}output_dense", h) + x)
        results.append(x)
    return np.stack(results)


def _weights(model: Any) -> dict[str, Any]:
    return {
        layer.name: [np.asarray(array, np.float64) for array in layer.get_weights()]
        for layer in model.layers
        if layer.weights
    }


@pytest.mark.parametrize("norm", ["no_norm", "layer_norm"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("shared", [True, False])
def test_keras_computes_the_published_maths(norm: str, activation: str, shared: bool) -> None:
    spec = tiny(norm=norm, activation=activation, shared_key_query=shared)
    model = randomized(spec)
    outputs = numbers(model(batch()))
    expected = _forward(spec, _weights(model), batch())
    assert expected.std() > 0.1
    np.testing.assert_allclose(outputs["sequence_output"], expected, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(outputs["pooled_output"], expected[:, 0], rtol=2e-4, atol=2e-4)


def test_masked_words_are_scored_by_the_embedding_table_and_its_widening() -> None:
    for projected in (False, True):
        model = randomized(tiny(MaskedLmHead(predictions=3), projected_logits=projected))
        inputs, weights = batch(predictions=3), _weights(model)
        states = _forward(model.spec, weights, inputs[:3])
        x = np.stack([row[chosen] for row, chosen in zip(states, inputs[3], strict=True)])
        x = np.maximum(x @ weights["masked_lm_dense"][0] + weights["masked_lm_dense"][1], 0)
        x = _norm(tiny(norm="layer_norm"), weights, "masked_lm_norm", x)
        table, own = weights["word_embedding"][0], weights["masked_lm_logits"]
        if projected:
            x = x @ weights["masked_lm_projection"][0]
        else:
            table = np.concatenate([table, own[0]], axis=1)
        np.testing.assert_allclose(
            numbers(model(inputs)), x @ table.T + own[-1], rtol=5e-4, atol=5e-4
        )


def test_a_model_in_training_takes_any_length_the_table_holds() -> None:
    free = randomized(tiny(SpanHead()), free_length=True)
    for length in (2, 5, 10):
        outputs = numbers(free(batch(length)))
        assert {name: value.shape for name, value in outputs.items()} == {
            "end_logits": (2, length),
            "start_logits": (2, length),
        }
    with pytest.raises(Exception, match="At most 10 positions"):
        free(batch(11))
    fixed = free.with_length(5)
    assert fixed.spec.graph().tensors[0].shape == (1, 5)
    assert fixed.input_shape[0] == (None, 5)
    expected, found = numbers(free(batch(5))), numbers(fixed(batch(5)))
    np.testing.assert_allclose(found["end_logits"], expected["end_logits"], atol=1e-6)
    with pytest.raises(SpecError, match="position table"):
        free.with_length(11)


def test_what_is_masked_changes_nothing_elsewhere() -> None:
    model = randomized(tiny())
    first, other = batch(), batch()
    other[0][0, 6:] = 1
    left, right = (numbers(model(each))["sequence_output"] for each in (first, other))
    # The trigram of the last word that counts sees one masked neighbour: the last but three is free of them.
    np.testing.assert_allclose(left[0, :4], right[0, :4], atol=1e-5)
    assert np.abs(left[0, 6:] - right[0, 6:]).max() > 1e-3


def test_layers_have_names_that_distillation_can_ask_for() -> None:
    model = randomized(tiny())
    names = [hidden_layer(-1), hidden_layer(0), attention_layer(1)]
    inside = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    embedded, hidden, attention = map(numbers, inside(batch()))
    assert embedded.shape == hidden.shape == (2, 8, 16)
    assert attention.shape == (2, 3, 8, 8)
    np.testing.assert_allclose(attention.sum(-1), 1, atol=1e-5)
    assert attention[0, ..., 5:].max() < 1e-6


def test_inputs_may_come_by_name_and_a_saved_model_comes_back_whole(tmp_path: Path) -> None:
    spec = tiny(MaskedLmHead(predictions=3, next_sentence=True))
    model = randomized(spec, free_length=True)
    inputs = batch(predictions=3)
    named = dict(zip([tensor.name for tensor in model.inputs], inputs, strict=True))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert (again.spec, again.free_length, again.preprocessing) == (spec, True, None)
    expected = numbers(model(inputs))
    for found in (numbers(model(named)), numbers(again(inputs))):
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_a_few_steps_of_training_lower_the_loss() -> None:
    keras.utils.set_random_seed(1)
    model = ZooModel(tiny(SentenceHead(num_classes=2, dropout=0.0)), free_length=True)
    words = batch(count=32)[0]
    inputs = [words, np.ones_like(words), np.zeros_like(words)]
    labels = (words[:, 0] > 14).astype(np.int32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=False)
    history = model.fit(inputs, labels, epochs=20, batch_size=16, verbose=0).history["loss"]
    assert history[-1] < 0.7 * history[0]


def test_weights_start_as_published() -> None:
    model = ZooModel(create_spec("mobilebert_edgetpu_xxs", vocabulary_size=2000))
    kernels = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    # A normal cut at two deviations has 0.88 of its deviation.
    for name in ("word_embedding", "position_embedding", "block_2_ffn_0_expand"):
        assert np.std(kernels[name][0]) == pytest.approx(0.88 * 0.02, rel=0.05)
    assert np.std(kernels["spans_dense"][0]) == pytest.approx(0.88 * 0.01, rel=0.1)
    gamma, beta = kernels["block_0_output_norm"]
    assert gamma.min() == 1
    assert np.abs(beta).max() == np.abs(kernels["spans_dense"][1]).max() == 0


def test_create_knows_heads_and_lengths() -> None:
    named = create_spec("mobilebert_edgetpu_xs", head="sentence", num_classes=3, sequence_length=64)
    assert named.head == SentenceHead(num_classes=3)
    assert named.graph().tensors[0].shape == (1, 64)
    assert named.task == "text_classification"
    words = create_spec("mobilebert_edgetpu_xxs", head="pretraining", dropout=0.0)
    assert words.head == MaskedLmHead(next_sentence=True)
    assert words.encoder.dropout == 0.0
    assert create_spec("mobilebert_edgetpu_xs", head="next_sentence").head.units == 512
    assert set(match("*", task="answering")) == {*PUBLISHED, "bert_minilm_l6_h384"}
    model = model_zoo.create_model("mobilebert_edgetpu_xxs", sequence_length=16, vocabulary_size=50)
    assert model.input_shape == [(None, 16)] * 3
    other = model_zoo.create_model(tiny(SentenceHead())).with_head(4)
    assert other.output_shape == (None, 4)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sequence_length": 513}, SpecError, r"input\.sequence_length: .* 512 rows"),
        ({"sequence_length": 1}, SpecError, "from 2"),
        ({"vocabulary_size": 0}, SpecError, r"input\.vocabulary_size"),
        ({"head": "spam"}, UnknownNameError, "Did you mean span"),
        ({"num_classes": 3}, UsageError, "head='sentence'"),
        ({"input_shape": (8, 8, 3)}, UsageError, "reads text; leave input_shape out"),
        ({"output": "argmax"}, UsageError, "leave output out"),
        ({"head": "sentence", "classifier_activation": None}, UsageError, "classifiers of images"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        create_spec("mobilebert_edgetpu_xs", **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("heads", 5), ("embedding", 20), ("mask_value", 1.0), ("dropout", 1.0), ("blocks", 0)],
)
def test_impossible_encoders_are_named(field: str, value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        tiny(**{field: value})
    assert caught.value.path == field


def test_image_networks_know_nothing_of_text() -> None:
    with pytest.raises(UsageError, match="reads images; leave sequence_length out"):
        create_spec("mobilenet_edgetpu_v2_s", sequence_length=4)
    with pytest.raises(UsageError, match="language networks only"):
        model_zoo.create_model("mobilenet_edgetpu_v2_tiny", input_shape=(32, 32, 3)).with_length(4)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_costs_of_parts_are_those_of_the_whole(head: TextHead | None) -> None:
    target = load_target("pixel4")
    for spec in (
        tiny(head),
        tiny(head, **TEACHER),
        replace(spec_of("mobilebert_edgetpu_xs"), head=head),
    ):
        found = coster_for(target)(spec)
        report = Analytical(target).report(spec.graph())
        expected = [getattr(report, name) for name in SpecCost._fields[:-1]]
        assert list(found) == [*expected, spec.graph().param_count]

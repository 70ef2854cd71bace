"""A text student and its teacher of a few hundred weights, questions and masked words to learn, and quick recipes."""

import re
import string
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from model_zoo.spec.text import MaskedLmHead, SpanHead, TextEncoder, TextInput, TextSpec
from model_zoo.text import QuestionPreprocessor, QuestionSettings, Vocabulary
from pipelines.data.text import (
    Corpus,
    MaskedExamples,
    MaskedSplit,
    MaskingSettings,
    QuestionSplit,
    TextDataset,
)
from pipelines.data.text.questions import QuestionExample, find_answer
from pipelines.train import Recipe
from pipelines.train.recipe import parse_recipe

LENGTH = 24
_PLACES = ("mill", "farm", "barn", "dock", "gate", "yard", "well", "tower")
_NAMES = ("ann", "bob", "carl", "dora", "emil", "fay")


def _examples() -> list[QuestionExample]:
    """Who keeps which place, one sentence each."""
    found = []
    for number, (place, name) in enumerate((p, n) for p in _PLACES for n in _NAMES):
        context = f"the {place} by the river is kept by {name} and two dogs"
        found.append(
            QuestionExample(
                key=str(number),
                question=f"who keeps the {place}",
                context=context,
                answers=(find_answer(context, name),),
                paragraph=number,
            )
        )
    return found


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    """Special tokens, letters, and every word of the examples."""
    pytest.importorskip("tokenizers")
    texts = [text for each in _examples() for text in (each.question, each.context)]
    words = sorted(set(re.findall("[a-z]{2,}", " ".join(texts))))
    letters = list(string.ascii_lowercase)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return Vocabulary(tokens=(*special, *letters, *(f"##{c}" for c in letters), *words))


@pytest.fixture(scope="session")
def preprocessor(vocabulary: Vocabulary) -> QuestionPreprocessor:
    settings = QuestionSettings(sequence_length=LENGTH, max_query_length=6, doc_stride=8, n_best=5)
    return QuestionPreprocessor(vocabulary=vocabulary, settings=settings)


@pytest.fixture(scope="session")
def questions() -> TextDataset:
    """40 questions to train and 8 to test."""
    examples = _examples()
    order = np.random.default_rng(0).permutation(len(examples))
    whole = QuestionSplit(examples)
    return TextDataset(
        name="places", splits={"train": whole.part(order[:40]), "test": whole.part(order[40:])}
    )


@pytest.fixture(scope="session")
def words(vocabulary: Vocabulary) -> TextDataset:
    """Masked examples with next sentences."""
    documents = tuple((each.context, each.question) for each in _examples())
    settings = MaskingSettings(sequence_length=LENGTH, max_predictions=3)
    corpus = Corpus(name="places", documents=documents)
    split = MaskedSplit(MaskedExamples(corpus, vocabulary, settings))
    return TextDataset(
        name="places", splits={"train": split.part(range(40)), "test": split.part(range(40, 48))}
    )


@pytest.fixture(scope="session")
def make_text_model(vocabulary: Vocabulary) -> Callable[..., Any]:
    """A model of the zoo with random weights of a seed; keywords are those of its encoder."""

    def make(seed: int = 1, *, head: str = "span", **encoder: Any) -> Any:
        import keras

        from model_zoo.nn.model import ZooModel

        keras.utils.set_random_seed(seed)
        settings = {"blocks": 1, "bottleneck": 4, "intermediate": 6, "ffns": 1, "heads": 2}
        settings |= {"hidden": 8, "embedding": 4}
        heads = {
            "span": SpanHead(),
            "pretraining": MaskedLmHead(predictions=3, next_sentence=True),
            "masked_lm": MaskedLmHead(predictions=3),
        }
        tables = TextInput(
            sequence_length=LENGTH, vocabulary_size=len(vocabulary), max_length=LENGTH + 8
        )
        encoder_spec = TextEncoder(**{**settings, **encoder})
        return ZooModel(
            TextSpec(input=tables, encoder=encoder_spec, head=heads[head]), free_length=True
        )

    return make


@pytest.fixture(scope="session")
def make_toy(vocabulary: Vocabulary) -> Callable[..., Any]:
    """A model that is not of the zoo, with layers called as the zoo calls them: blocks of one attention each."""

    def make(
        blocks: int = 2, *, width: int = 8, seed: int = 1, norm: str = "no_norm", **form: Any
    ) -> Any:
        import keras
        from keras import layers

        from model_zoo.nn.layers import ScaleShift

        keras.utils.set_random_seed(seed)
        heads, length = form.get("heads", 1), form.get("length", LENGTH)
        kind = ScaleShift if norm == "no_norm" else layers.LayerNormalization
        names = ("input_word_ids", "input_mask", "input_type_ids")
        inputs = [keras.Input((length,), dtype="int32", name=name) for name in names]
        x = layers.Embedding(len(vocabulary), width, name="word_embedding")(inputs[0])
        x = kind(name="embedding_norm")(x)
        for index in range(blocks):
            scores = layers.Dot(axes=2, normalize=True)([x, x])
            scores = layers.Reshape((1, length, length))(scores)
            if heads > 1:
                scores = layers.Concatenate(axis=1)([scores] * heads)
            weights = layers.Softmax(name=f"block_{index}_attention")(scores)
            weights = layers.Lambda(lambda each: each[:, 0])(weights)
            mixed = layers.Dot(axes=(2, 1))([weights, x])
            mixed = layers.Dropout(0.1)(layers.Dense(width, name=f"block_{index}_dense")(mixed))
            x = kind(name=f"block_{index}_output_norm")(layers.Add()([mixed, x]))
        outputs = {
            name: layers.Flatten(name=name)(layers.Dense(1, name=f"{name}_dense")(x))
            for name in ("end_logits", "start_logits")
        }
        return keras.Model(inputs, outputs, name=f"toy_{seed}")

    return make


@pytest.fixture(scope="session")
def text_recipe() -> Callable[..., Recipe]:
    """The published stages in a few steps: embedding, an epoch for each layer, two end to end."""

    def make(**changes: Any) -> Recipe:
        table: dict[str, Any] = {
            "batch_size": 8,
            "steps_per_epoch": 2,
            "optimizer": {
                "name": "lamb",
                "learning_rate": 5e-3,
                "weight_decay": 0.01,
                "epsilon": 1e-6,
                "clip_each_norm": 1.0,
            },
            "schedule": {"kind": "polynomial", "final_share": 1e-4, "warmup_epochs": 0.5},
            "distillation": {"copy_embedding": True, "double_softmax": True},
            "stages": [
                {"name": "layers", "learn": "layers", "epochs": 2},
                {"name": "end_to_end", "epochs": 2},
            ],
        }
        return parse_recipe({**table, **changes})

    return make

"""A question-answering network small enough for every test: four questions' words, one block, 48 word pieces."""

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_zoo.spec import SpanHead, TextEncoder, TextInput, TextSpec
from model_zoo.text import QuestionPreprocessor, QuestionSettings, Vocabulary
from pipelines.data.text import TextDataset, question_dataset

SQUAD = Path(__file__).parent / "data" / "text" / "squad_small.json"
LENGTH = 48


@dataclass(frozen=True)
class Files:
    """One network as a weights folder, a `.keras` file, a `.tflite` file and a vocabulary."""

    folder: Path
    keras: Path
    tflite: Path
    vocabulary: Path


def words() -> Vocabulary:
    """Special tokens, what spells ASCII, and a few words."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [c for c in string.printable if not c.isspace() and not c.isupper()]
    whole = ["who", "what", "when", "how", "the", "did", "keeper", "lamp", "oven", "morning"]
    tokens = [*special, *characters, *(f"##{c}" for c in characters), *whole]
    return Vocabulary(tokens=tuple(tokens))


def reading(length: int = LENGTH) -> QuestionPreprocessor:
    """Windows of 48 word pieces with room for a question of 16."""
    settings = QuestionSettings(sequence_length=length, doc_stride=16, max_query_length=16)
    return QuestionPreprocessor(vocabulary=words(), settings=settings)


def small_spec(**encoder: Any) -> TextSpec:
    """One block over 48 word pieces."""
    sizes = {"blocks": 1, "bottleneck": 16, "intermediate": 24, "ffns": 1, "hidden": 32}
    return TextSpec(
        input=TextInput(sequence_length=LENGTH, vocabulary_size=len(words()), max_length=64),
        encoder=TextEncoder(**(sizes | {"embedding": 8} | encoder)),
        head=SpanHead(),
    )


def small_model(spec: TextSpec | None = None, **options: Any) -> Any:
    """The network with weights as far from their start as a training leaves them."""
    import keras

    from model_zoo.nn.model import ZooModel

    keras.utils.set_random_seed(0)
    settings = {"preprocessing": reading(), "weights_origin": "trained for a test"} | options
    model = ZooModel(spec or small_spec(), name="small_answerer", **settings)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))
    return model


def small_data() -> TextDataset:
    """A dozen questions about four paragraphs."""
    return question_dataset(SQUAD)

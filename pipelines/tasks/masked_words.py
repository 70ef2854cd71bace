"""Masked language modelling: words that were masked, and whether one text follows another."""

from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import UsageError
from model_zoo.text import check_vocabulary
from pipelines.data.augment import Augmentation
from pipelines.data.batches import Batches
from pipelines.data.dataset import ImageDataset
from pipelines.data.text.batches import UNCOUNTED, MaskedBatches
from pipelines.data.text.splits import MaskedSplit, TextDataset
from pipelines.tasks.answer import (
    check_length,
    log_softmax,
    refuse_augmentation,
    refuse_smoothing,
)
from pipelines.tasks.base import Metrics, Task, outputs_of
from pipelines.tasks.labels import counted_labels

WORDS, NEXT = "masked_lm", "next_sentence"
_BATCH = 32


class MaskedWords(Task):
    """The words behind masks: logits (N, predictions, vocabulary), or a dict with those and of next sentences."""

    NAME = "masked_lm"
    METRICS = {
        "masked_accuracy": "masked words",
        "next_sentence_accuracy": "next sentence",
        "loss": "loss",
    }
    HEADLINE = "masked_accuracy"
    EXAMPLES = "texts"
    FINETUNE_RECIPE = "mobilebert_distill"
    SOFT_OUTPUTS = frozenset({"", WORDS})

    def batches(
        self,
        split: MaskedSplit,
        *,
        model: Any,
        preprocessing: Any = None,
        num_classes: int = 0,
        augmentation: Augmentation | None = None,
        **settings: Any,
    ) -> Batches:
        refuse_augmentation(augmentation)
        return MaskedBatches(split, next_sentence=_pairs(model), **settings)

    def preprocessing_of(self, model: Any, given: Any) -> None:
        """None: masked examples bring their own vocabulary."""
        return

    def classes_of(self, model: Any) -> int | None:
        """0, as there are no classes, for a model that predicts masked words."""
        words = _words_shape(model)
        return 0 if words is not None and len(words) == 3 else None

    def check_fit(self, model: Any, dataset: ImageDataset | TextDataset) -> None:
        if self.classes_of(model) is None:
            raise UsageError(
                f"Data set {dataset.name!r} has masked words, and {model.name!r} predicts none; create it with "
                "head='masked_lm' or 'pretraining'"
            )
        split = dataset.train
        assert isinstance(split, MaskedSplit)
        examples, words = split.examples, _words_shape(model)
        assert words is not None, "classes_of found them"
        check_length(model, examples.settings.sequence_length)
        check_vocabulary(examples.vocabulary, words[2] or 0, where=model.name)
        if words[1] not in (None, examples.settings.max_predictions):
            raise UsageError(
                f"{model.name!r} predicts {words[1]} words at a time and the examples mask up to "
                f"{examples.settings.max_predictions}; set max_predictions to {words[1]}"
            )

    def loss(self, *, from_logits: bool, label_smoothing: float) -> Any:
        refuse_smoothing(label_smoothing)
        # "" is the only output of a model without next sentences.
        return {name: counted_labels()() for name in ("", WORDS, NEXT)}

    def training_metrics(self) -> list[Any]:
        return []

    def evaluate(
        self,
        model: Any,
        split: MaskedSplit,
        preprocessing: Any = None,
        *,
        batch_size: int = 256,
        verbose: int = 0,
    ) -> Metrics:
        from tqdm import tqdm

        batches = MaskedBatches(split, next_sentence=_pairs(model), batch_size=_BATCH)
        steps = tqdm(
            range(len(batches)),
            desc="words",
            delay=2,
            leave=False,
            disable=None if verbose else True,
        )
        likelihood, right = _Tally(), _Tally()
        for step in steps:
            inputs, targets = batches[step]
            outputs = model.predict_on_batch(inputs)
            pairs = targets.items() if isinstance(targets, dict) else ((WORDS, targets),)
            for name, ids in pairs:
                scores = np.asarray(outputs[name] if isinstance(outputs, dict) else outputs)
                counted = ids != UNCOUNTED
                own = np.take_along_axis(log_softmax(scores), np.maximum(ids, 0)[..., None], -1)
                likelihood.add(name, own[..., 0][counted])
                right.add(name, scores.argmax(axis=-1)[counted] == ids[counted])
        found = {"masked_accuracy": right.mean(WORDS)}
        if _pairs(model):
            found["next_sentence_accuracy"] = right.mean(NEXT)
        return {**found, "loss": -sum(likelihood.mean(name) for name in likelihood.sums)}

    def evaluate_file(
        self,
        path: str | Path,
        split: MaskedSplit,
        preprocessing: Any,
        *,
        batch_size: int = 256,
        progress: bool = True,
    ) -> Metrics:
        raise UsageError(
            f"{path}: .tflite files are not scored on masked words; evaluate the model"
        )


class _Tally:
    """Means over everything added, by name."""

    def __init__(self) -> None:
        self.sums: dict[str, tuple[float, int]] = {}

    def add(self, name: str, values: Any) -> None:
        total, count = self.sums.get(name, (0.0, 0))
        self.sums[name] = (total + float(np.sum(values)), count + len(values))

    def mean(self, name: str) -> float:
        total, count = self.sums[name]
        return total / max(1, count)


def _pairs(model: Any) -> bool:
    """Whether the model tells too if one text follows the other."""
    return NEXT in outputs_of(model)


def _words_shape(model: Any) -> tuple[int | None, ...] | None:
    outputs = outputs_of(model)
    words = outputs.get(WORDS, outputs.get(""))
    return None if words is None else tuple(words.shape)

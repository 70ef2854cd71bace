"""Question answering: spans of a context; exact match and F1 by the official rules of SQuAD."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, SpecError, UsageError
from model_zoo.text import QuestionPreprocessor, Window, check_vocabulary
from pipelines.data.augment import Augmentation
from pipelines.data.batches import Batches
from pipelines.data.dataset import ImageDataset
from pipelines.data.text.batches import Inputs, QuestionBatches, question_inputs
from pipelines.data.text.features import answer_span
from pipelines.data.text.splits import QuestionSplit, TextDataset
from pipelines.tasks.base import Metrics, Task, outputs_of
from pipelines.tasks.labels import counted_labels
from pipelines.tasks.squad_metrics import question_scores

#: A network's answer: scores (N, L) of each position as the start and as the end. Sorted, as its outputs are.
OUTPUTS = ("end_logits", "start_logits")
_BATCH = 32

Logits = dict[str, npt.NDArray[np.float32]]


class Answering(Task):
    """A span of a context for a question; the model answers with `start_logits` and `end_logits` (N, L)."""

    NAME = "answering"
    METRICS = {"f1": "F1", "exact_match": "exact match", "loss": "loss"}
    HEADLINE = "f1"
    ALSO_STATED = ("exact_match",)
    EXAMPLES = "questions"
    FINETUNE_RECIPE = "squad_finetune"
    SOFT_OUTPUTS = frozenset(OUTPUTS)

    def batches(
        self,
        split: QuestionSplit,
        *,
        model: Any,
        num_classes: int = 0,
        augmentation: Augmentation | None = None,
        **settings: Any,
    ) -> Batches:
        refuse_augmentation(augmentation)
        return QuestionBatches(split, **settings)

    def preprocessing_of(self, model: Any, given: Any) -> QuestionPreprocessor:
        """`given`, which must be of the model's vocabulary and a length it reads."""
        found = given or getattr(model, "preprocessing", None)
        if not isinstance(found, QuestionPreprocessor):
            raise UsageError(
                "A network that answers questions reads them through a vocabulary; pass "
                f"preprocessing=QuestionPreprocessor(...). Received: {type(found).__name__}"
            )
        length = found.settings.sequence_length
        check_length(model, length)
        spec = getattr(model, "spec", None)
        if spec is not None:
            check_vocabulary(found.vocabulary, spec.input.vocabulary_size, where=model.name)
        return found

    def classes_of(self, model: Any) -> int | None:
        """0, as there are no classes, for a model with both outputs."""
        return 0 if set(OUTPUTS) <= set(outputs_of(model)) else None

    def check_fit(self, model: Any, dataset: ImageDataset | TextDataset) -> None:
        if self.classes_of(model) is None:
            raise UsageError(
                f"Data set {dataset.name!r} has questions, and {model.name!r} has no outputs "
                f"{' and '.join(OUTPUTS)}; create it with head='span'"
            )

    def loss(self, *, from_logits: bool, label_smoothing: float) -> Any:
        refuse_smoothing(label_smoothing)
        # Half each: the published loss is their mean.
        return {name: counted_labels()(0.5) for name in OUTPUTS}

    def training_metrics(self) -> list[Any]:
        return []

    def evaluate(
        self,
        model: Any,
        split: QuestionSplit,
        preprocessing: QuestionPreprocessor | None = None,
        *,
        batch_size: int = 256,
        verbose: int = 0,
    ) -> Metrics:
        prepared = self.preprocessing_of(model, preprocessing)

        def ask(inputs: Inputs) -> Logits:
            found = model.predict_on_batch(inputs)
            return {name: np.asarray(found[name]) for name in OUTPUTS}

        return score_answers(
            ask, split, prepared, batch_size=min(batch_size, _BATCH), progress=bool(verbose)
        )

    def evaluate_file(
        self,
        path: str | Path,
        split: QuestionSplit,
        preprocessing: Any,
        *,
        batch_size: int = 256,
        progress: bool = True,
    ) -> Metrics:
        from pipelines.export.questions import QuestionRunner

        with QuestionRunner(path) as runner:
            prepared = reading_of_file(path, runner.length, preprocessing)
            return score_answers(
                runner, split, prepared, batch_size=min(batch_size, _BATCH), progress=progress
            )


def reading_of_file(path: str | Path, length: int, given: Any = None) -> QuestionPreprocessor:
    """`given`, or what a `.tflite` file itself says of how it reads, checked against its length and its words.

    Raises:
        UsageError: neither is there, or `given` makes sequences of another length.
        DataError: the vocabulary is not the file's.
    """
    from pipelines.export.questions import embedded_words, question_reading

    own = question_reading(path)
    found = given or own
    if not isinstance(found, QuestionPreprocessor):
        raise UsageError(
            f"{path} does not say how it reads questions; give the vocabulary of its network (--vocabulary)"
        )
    if found.settings.sequence_length != length:
        raise UsageError(
            f"{path} reads {length} tokens, the preprocessing makes {found.settings.sequence_length}; "
            "set its sequence_length"
        )
    words = embedded_words(path)
    if words is not None:
        check_vocabulary(found.vocabulary, words, where=str(path))
    if own is not None and own.vocabulary != found.vocabulary:
        raise DataError(
            f"The vocabulary is not the one {path} holds, though it has as many tokens; leave it out"
        )
    return found


def score_answers(
    ask: Callable[[Inputs], Logits],
    split: QuestionSplit,
    preprocessor: QuestionPreprocessor,
    *,
    batch_size: int = _BATCH,
    progress: bool = False,
) -> Metrics:
    """{"f1", "exact_match", "loss"} of whatever turns inputs of `batch_size` windows into logits, on all of a split.

    The loss counts windows of questions whose answer is in their context.
    """
    examples = split.examples
    windows = preprocessor.windows([(each.question, each.context) for each in examples])
    logits = logits_of(ask, preprocessor, windows, batch_size, progress)
    rows_of: dict[int, list[int]] = {}
    for row, window in enumerate(windows):
        rows_of.setdefault(window.example, []).append(row)
    predictions = {}
    for number, rows in rows_of.items():
        found = preprocessor.answers(
            examples[number].context,
            [windows[row] for row in rows],
            logits["start_logits"][rows],
            logits["end_logits"][rows],
        )
        predictions[examples[number].key] = found[0].text if found else ""
    scores = question_scores(predictions, [(each.key, each.texts) for each in examples])
    spans = [answer_span(each) for each in examples]
    return {
        "f1": scores["f1"],
        "exact_match": scores["exact_match"],
        "loss": _loss(windows, spans, logits),
    }


def logits_of(
    ask: Callable[[Inputs], Logits],
    preprocessor: QuestionPreprocessor,
    windows: list[Window],
    batch_size: int,
    progress: bool,
) -> Logits:
    """Logits of all windows; the last batch is filled up, since compiled code likes one shape."""
    from tqdm import tqdm

    parts: dict[str, list[npt.NDArray[np.float32]]] = {name: [] for name in OUTPUTS}
    steps = range(0, len(windows), batch_size)
    bar = tqdm(steps, desc="windows", delay=2, leave=False, disable=None if progress else True)
    for first in bar:
        some = [windows[row % len(windows)] for row in range(first, first + batch_size)]
        found = ask(question_inputs(preprocessor, some))
        for name in OUTPUTS:
            parts[name].append(found[name])
    return {name: np.concatenate(rows)[: len(windows)] for name, rows in parts.items()}


def _loss(windows: list[Window], spans: list[tuple[int, int] | None], logits: Logits) -> float:
    """Mean of the cross-entropies of both ends."""
    counted = [row for row, window in enumerate(windows) if spans[window.example] is not None]
    if not counted:
        return float("nan")
    ends = np.array(
        [windows[row].locate(*(spans[windows[row].example] or (0, 0))) for row in counted]
    )
    losses = [
        -log_softmax(logits[name][counted])[np.arange(len(counted)), ends[:, column]].mean()
        for name, column in (("start_logits", 0), ("end_logits", 1))
    ]
    return float(np.mean(losses))


def log_softmax(logits: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Logarithms of the softmax over the last axis."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    result: npt.NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return result


def check_length(model: Any, length: int) -> None:
    """Raises `UsageError` where a text model does not read sequences of this length."""
    fixed = model.inputs[0].shape[1]
    spec = getattr(model, "spec", None)
    most = length if spec is None else spec.input.max_length
    if fixed not in (None, length) or length > most:
        wanted = fixed or f"at most {most}"
        raise UsageError(
            f"{model.name!r} reads {wanted} tokens, the preprocessing makes {length}; set its sequence_length"
        )


def refuse_augmentation(augmentation: Augmentation | None) -> None:
    """Text is not changed in training."""
    if augmentation not in (None, Augmentation()):
        raise SpecError("augmentation", "is for images; leave it out of a recipe for text")


def refuse_smoothing(label_smoothing: float) -> None:
    """Text tasks train on hard labels, or on a teacher's soft ones."""
    if label_smoothing:
        raise UsageError("Networks for text train without label smoothing; set it to 0")

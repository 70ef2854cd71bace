"""What a task decides about training, evaluation and export; everything else is the same for all of them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from hw_model.errors import UsageError
from pipelines.data.batches import Batches, Preprocess
from pipelines.data.dataset import ImageDataset, Split
from pipelines.data.text.splits import TextDataset

Metrics = dict[str, float]


class Task(ABC):
    """One kind of answer a network gives, with its targets, loss and metrics."""

    #: As `ImageDataset.task`, `ModelSpec.task` and presets call it.
    NAME: ClassVar[str]
    #: Metrics by key, in words; all are fractions but `loss`.
    METRICS: ClassVar[Mapping[str, str]]
    #: The metric a search maximises, a certificate compares and a table shows.
    HEADLINE: ClassVar[str]
    #: Metrics a shipped preset states beside the headline.
    ALSO_STATED: ClassVar[tuple[str, ...]] = ()
    #: What its examples are called.
    EXAMPLES: ClassVar[str] = "images"
    #: The recipe a fine-tuning takes when none is named.
    FINETUNE_RECIPE: ClassVar[str]
    #: Outputs by name whose labels a teacher can soften; "" is the only output. Empty: none can.
    SOFT_OUTPUTS: ClassVar[frozenset[str]] = frozenset()

    @property
    def headline_words(self) -> str:
        """The headline metric in words."""
        return self.METRICS[self.HEADLINE]

    @abstractmethod
    def batches(self, split: Any, *, model: Any, **settings: Any) -> Batches:
        """Batches of a split of this task for `model`; `settings` are those of its batches."""

    def preprocessing_of(self, model: Any, given: Any) -> Any:
        """`given`, or what travels with the model, checked."""
        return preprocessing_of(model, given)

    @abstractmethod
    def classes_of(self, model: Any) -> int | None:
        """Number of classes a model tells apart; None where it cannot do the task."""

    @abstractmethod
    def loss(self, *, from_logits: bool, label_smoothing: float) -> Any:
        """The Keras loss."""

    @abstractmethod
    def training_metrics(self) -> list[Any]:
        """Keras metrics cheap enough to be taken on every training batch."""

    @abstractmethod
    def evaluate(
        self,
        model: Any,
        split: Any,
        preprocessing: Any = None,
        *,
        batch_size: int = 256,
        verbose: int = 0,
    ) -> Metrics:
        """The metrics of a Keras model on all of a split."""

    @abstractmethod
    def evaluate_file(
        self,
        path: str | Path,
        split: Any,
        preprocessing: Preprocess,
        *,
        batch_size: int = 256,
        progress: bool = True,
    ) -> Metrics:
        """The metrics of a `.tflite` file on all of a split."""

    def check_fit(self, model: Any, dataset: ImageDataset | TextDataset) -> None:
        """Raises `UsageError` when the model cannot do the task, or its classes are not the data's."""
        classes, wanted = self.classes_of(model), dataset.num_classes
        if classes == wanted:
            return
        has, remedy = f"has {classes} classes", f"build it with num_classes={wanted}"
        if classes is None:
            has, remedy = f"is none for {self.NAME}", "take one that is"
        raise UsageError(
            f"Data set {dataset.name!r} has {wanted} classes for {self.NAME} but the model {has}; {remedy}."
        )


def outputs_of(model: Any) -> dict[str, Any]:
    """A model's outputs by name; "" is the only output, and a list of several has none."""
    # A sequential model has an output, but no way to ask for it as others have.
    sequential = type(model).__name__ == "Sequential"
    outputs = model.outputs[0] if sequential else model.output
    if isinstance(outputs, list | tuple):
        return {}
    return outputs if isinstance(outputs, dict) else {"": outputs}


def input_shape_of(model: Any, split: Split) -> tuple[int, int, int]:
    """(H, W, C) the model takes; a free height or width is the split's own."""
    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise UsageError(f"An image network takes one (N, H, W, C) input. Received: {shape}")
    height, width, channels = (
        int(wanted or own) for wanted, own in zip(shape[1:], split.image_shape, strict=True)
    )
    return height, width, channels


def preprocessing_of(model: Any, given: Preprocess | None) -> Preprocess:
    """`given`, or the preprocessing that travels with the model."""
    own: Preprocess | None = given or getattr(model, "preprocessing", None)
    if own is None:
        raise UsageError(
            "The model carries no preprocessing; pass preprocessing= (uint8 images to model input)."
        )
    return own

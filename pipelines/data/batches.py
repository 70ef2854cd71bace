"""Batches for training and evaluation: a pure function of (seed, epoch, batch index)."""

import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from hw_model.errors import EdgeZooError, EnvironmentFault, SpecError, UsageError
from model_zoo.preprocessing import Preprocessing
from pipelines.data import augment, autoaugment
from pipelines.data.augment import Augmentation
from pipelines.data.dataset import Images, LabelSplit, Split
from pipelines.data.resize import resize, to_channels

Floats = npt.NDArray[np.float32]
Preprocess = Callable[[Images], Any]

# Salts keep the order of the epoch and the changes of a batch independent of each other.
_ORDER, _CHANGES = 0x0D, 0xC4


class Batches(ABC):
    """The batches of one split, indexable; `epoch` selects which epoch's order and changes they have.

    In training an epoch has `steps` batches where given, of as many passes as that takes, else one pass.
    """

    #: Whether training shows an example as it is, in every epoch.
    LASTING: ClassVar[bool] = False

    def __init__(
        self, split: Any, *, batch_size: int, training: bool = False, seed: int = 0, steps: int = 0
    ) -> None:
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1. Received: {batch_size}")
        self.split = split
        self.batch_size = min(batch_size, len(split))
        self.training = training
        self.seed = seed
        self.steps = steps if training else 0
        self.epoch = 0
        self.error: EdgeZooError | None = None
        #: Adds to inputs and targets what a teacher says about the inputs.
        self.teach: Callable[[Any, Any], tuple[Any, Any]] | None = None
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None

    def __len__(self) -> int:
        if self.steps:
            return self.steps
        # Training drops the incomplete last batch: batch norm and compiled steps like one shape, and
        # another shuffle brings the dropped images back next epoch.
        count = len(self.split)
        return count // self.batch_size if self.training else -(-count // self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        rng = np.random.default_rng([self.seed, self.epoch, index, _CHANGES])
        inputs, targets = self.examples(self.indices(index), rng)
        return self.teach(inputs, targets) if self.teach else (inputs, targets)

    @abstractmethod
    def examples(self, chosen: npt.NDArray[np.int64], rng: np.random.Generator) -> tuple[Any, Any]:
        """Inputs and targets for these members of the split; in training `rng` decides their changes."""

    def indices(self, index: int) -> npt.NDArray[np.int64]:
        """Which members of the split batch `index` of the current epoch holds."""
        order = self._epoch_order() if self.training else np.arange(len(self.split))
        return order[index * self.batch_size : (index + 1) * self.batch_size]

    def _epoch_order(self) -> npt.NDArray[np.int64]:
        epoch = self.epoch
        if self._order is None or self._order[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch, _ORDER])
            passes = max(1, -(-self.steps * self.batch_size // len(self.split)))
            order = np.concatenate([rng.permutation(len(self.split)) for _ in range(passes)])
            self._order = (epoch, order)
        return self._order[1]


class ImageBatches(Batches):
    """Batches of images, changed in training, prepared as the model takes them."""

    split: Split

    def __init__(
        self,
        split: Any,
        *,
        num_classes: int,
        preprocessing: Preprocess,
        input_shape: tuple[int, int, int] | None = None,
        augmentation: Augmentation | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(split, **settings)
        self.num_classes = num_classes
        self.preprocessing = preprocessing
        self.input_shape = input_shape or split.image_shape
        self.augmentation = (augmentation or Augmentation()) if self.training else Augmentation()

    def prepared(self, images: Images) -> Floats:
        """Images as the model takes them."""
        return np.asarray(self.preprocessing(images), dtype=np.float32)


class LabelBatches(ImageBatches):
    """Batches of images with one class each; targets are one-hot rows (n, num_classes)."""

    split: LabelSplit

    def __init__(self, split: LabelSplit, **settings: Any) -> None:
        super().__init__(split, **settings)
        if self.augmentation.scale is not None:
            raise SpecError("augmentation.scale", "is for segmentation; use crop_area here")
        if self.augmentation.ssd_crop:
            raise SpecError("augmentation.ssd_crop", "is for detection; use crop_area here")

    def examples(
        self, chosen: npt.NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        images = self.split.read(chosen)
        if self.training or not isinstance(self.preprocessing, Preprocessing):
            images = to_channels(self._changed(images, rng), self.input_shape[2])
        targets = np.zeros((len(chosen), self.num_classes), dtype=np.float32)
        targets[np.arange(len(chosen)), self.split.labels[chosen]] = 1.0
        # The zoo's own preprocessing crops and resizes what is not of its size yet, as in evaluation.
        inputs = self.prepared(images)
        if self.augmentation.mixup_alpha > 0:
            inputs, targets = augment.mixup(inputs, targets, rng, self.augmentation.mixup_alpha)
        return inputs, targets

    def _changed(self, images: Images, rng: np.random.Generator) -> Images:
        """Augmented (in training) and brought to the model's height and width."""
        settings = self.augmentation
        size = self.input_shape[:2]
        if settings.crop_area is not None:
            count, height, width, _ = images.shape
            boxes = augment.crop_boxes(
                count, height, width, rng, settings.crop_area, settings.crop_aspect
            )
            images = resize(images, size, boxes)
        else:
            images = resize(images, size)
        if settings.policy:
            images = autoaugment.apply(images, rng)
        if settings.flip:
            images = augment.flip(images, rng)
        if settings.shift_pixels:
            images = augment.shift(images, rng, settings.shift_pixels)
        if settings.cutout_pixels:
            images = augment.cutout(
                images,
                rng,
                settings.cutout_pixels,
                settings.cutout_probability,
                settings.cutout_value,
            )
        return images


def as_keras(batches: Batches) -> Any:
    """`batches` as a `keras.utils.PyDataset`, which `fit` and `predict` take on every backend."""
    import keras

    class Sequence(keras.utils.PyDataset):
        """One thread, no multiprocessing: the changes are vectorised and cost far less than a step."""

        def __init__(self) -> None:
            super().__init__(workers=1, use_multiprocessing=False)

        def __len__(self) -> int:
            return len(batches)

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            try:
                return batches[index]
            except EdgeZooError as error:
                batches.error = error
                raise

    return Sequence()


@contextmanager
def plain_errors(batches: Batches) -> Iterator[None]:
    """Lets an error of `batches` out as it is; TensorFlow would wrap it in its own, with a traceback.

    Raises:
        EnvironmentFault: a framework met a full disk, which it reports as an error of its own.
    """
    try:
        yield
    except Exception as error:
        if batches.error is not None:
            raise batches.error from None
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            raise EnvironmentFault(
                f"{full} while the run was writing its logs; free some space and resume it."
            ) from error
        raise

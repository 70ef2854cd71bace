"""What every source of images becomes: named splits that hand out uint8 batches by index."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Indices = Sequence[int] | npt.NDArray[np.integer]


class Split(ABC):
    """A fixed list of labelled images with random access."""

    @property
    @abstractmethod
    def labels(self) -> Labels:
        """Class ids, (N,)."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of what `read` returns."""

    @abstractmethod
    def read(self, indices: Indices) -> Images:
        """Images at `indices`, (len(indices), H, W, C)."""

    def __len__(self) -> int:
        return len(self.labels)


class ArraySplit(Split):
    """A split held in memory as one (N, H, W, C) uint8 array."""

    def __init__(self, images: npt.ArrayLike, labels: npt.ArrayLike) -> None:
        pixels = np.asarray(images)
        classes = np.asarray(labels)
        if pixels.ndim == 3:
            pixels = pixels[..., np.newaxis]
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise DataError(
                "Images must be uint8 of shape (N, H, W, C) or (N, H, W). "
                f"Received: {pixels.dtype} {pixels.shape}"
            )
        if classes.shape != (len(pixels),):
            raise DataError(
                f"Every image needs one label. Received: {len(pixels)} images, labels {classes.shape}"
            )
        self._images: Images = pixels
        self._labels: Labels = classes.astype(np.int64)

    @property
    def labels(self) -> Labels:
        return self._labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self._images.shape
        return height, width, channels

    def read(self, indices: Indices) -> Images:
        return self._images[np.asarray(indices, dtype=np.int64)]


class SubSplit(Split):
    """Some of another split's images, in the given order."""

    def __init__(self, whole: Split, indices: Indices) -> None:
        self._whole = whole
        self._indices = np.asarray(indices, dtype=np.int64)
        self._labels = whole.labels[self._indices]

    @property
    def labels(self) -> Labels:
        return self._labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._whole.image_shape

    def read(self, indices: Indices) -> Images:
        return self._whole.read(self._indices[np.asarray(indices, dtype=np.int64)])


def subset(split: Split, count: int, *, seed: int = 0) -> Split:
    """At most `count` images of `split`, the same number of each class where possible.

    >>> whole = ArraySplit(np.zeros((9, 2, 2), np.uint8), [0, 0, 0, 0, 0, 0, 1, 1, 1])
    >>> subset(whole, 4).labels.tolist()
    [0, 0, 1, 1]
    """
    if count >= len(split):
        return split
    return SubSplit(split, np.sort(balanced_order(split.labels, seed)[:count]))


def balanced_order(labels: Labels, seed: int) -> npt.NDArray[np.int64]:
    """A random order in which the k-th image of every class comes before the (k+1)-th of any."""
    order = np.random.default_rng([seed, 0x5B]).permutation(len(labels))
    rank_in_class = np.empty(len(order), dtype=np.int64)
    for label in np.unique(labels):
        (where,) = np.nonzero(labels[order] == label)
        rank_in_class[where] = np.arange(len(where))
    return order[np.argsort(rank_in_class, kind="stable")]


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageDataset:
    """A labelled image data set: its name, its classes and its splits (always `train` and `test`)."""

    name: str
    class_names: tuple[str, ...]
    splits: Mapping[str, Split]
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "splits", MappingProxyType(dict(self.splits)))
        for name in ("train", "test"):
            if name not in self.splits:
                raise DataError(
                    f"Data set {self.name!r} has no {name} split. Received: {sorted(self.splits)}"
                )
        if len(self.class_names) < 2:
            raise DataError(
                f"Data set {self.name!r} needs at least two classes. "
                f"Received: {len(self.class_names)} {list(self.class_names)}"
            )
        for name, split in self.splits.items():
            _check_split(f"{self.name}/{name}", split, len(self.class_names))

    @property
    def train(self) -> Split:
        return self.splits["train"]

    @property
    def test(self) -> Split:
        return self.splits["test"]

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of the training images."""
        return self.train.image_shape


def _check_split(where: str, split: Split, num_classes: int) -> None:
    if len(split) == 0:
        raise DataError(f"Split {where} is empty; give it at least one image.")
    low, high = int(split.labels.min()), int(split.labels.max())
    if low < 0 or high >= num_classes:
        raise DataError(
            f"Split {where} has labels from {low} to {high}, outside 0..{num_classes - 1}."
        )

"""What every source of images becomes: named splits that hand out uint8 batches by index."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, Self, TypeVar

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]
Masks = npt.NDArray[np.uint8]
Indices = Sequence[int] | npt.NDArray[np.integer]
Boxes = npt.NDArray[np.float32]
Task = Literal["classification", "segmentation", "detection", "answering", "masked_lm"]
S = TypeVar("S", bound="Examples")

#: Class id of mask pixels that count for nothing.
IGNORED = 255


class Examples(ABC):
    """A fixed list of what a network learns from or is judged by."""

    #: What a network is to learn from them.
    task: ClassVar[Task]

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def part(self, indices: Indices) -> Self:
        """Some of them, in the given order."""


class Split(Examples):
    """Images with random access; what is known about each image depends on the kind."""

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of what `read` returns."""

    @abstractmethod
    def read(self, indices: Indices) -> Images:
        """Images at `indices`, (len(indices), H, W, C)."""


class LabelSplit(Split):
    """Images of which each has one class."""

    task = "classification"

    @property
    @abstractmethod
    def labels(self) -> Labels:
        """Class ids, (N,)."""

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, indices: Indices) -> "LabelSplit":
        return SubSplit(self, indices)


class MaskSplit(Split):
    """Images of which every pixel has a class; `IGNORED` marks pixels that no loss and no metric counts."""

    task = "segmentation"

    @abstractmethod
    def read_pairs(self, indices: Indices) -> tuple[Images, Masks]:
        """Images (n, H, W, C) and their masks of class ids (n, H, W)."""

    def read(self, indices: Indices) -> Images:
        return self.read_pairs(indices)[0]

    def part(self, indices: Indices) -> "MaskSplit":
        return MaskSubSplit(self, indices)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Objects:
    """The objects of one image.

    `boxes` (n, 4) are top, left, bottom and right as shares 0..1 of the image; `classes` (n,) are class ids
    from 0, none of them a background; `crowd` (n,) marks regions in which nothing counts, found or missed.
    """

    boxes: Boxes
    classes: Labels
    crowd: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        count = len(self.classes)
        if self.boxes.shape != (count, 4) or self.crowd.shape != (count,):
            raise DataError(
                "Objects need a box of four shares, a class and a crowd mark each. Received: boxes "
                f"{self.boxes.shape}, classes {self.classes.shape}, crowd {self.crowd.shape}"
            )

    def __len__(self) -> int:
        return len(self.classes)


class BoxSplit(Split):
    """Images of which every object has a box and a class."""

    task = "detection"

    @abstractmethod
    def read_boxed(self, indices: Indices) -> tuple[Images, list[Objects]]:
        """Images (n, H, W, C) and the objects of each."""

    def known_objects(self) -> list[Objects] | None:
        """The objects of every image where they are known without reading the images."""
        return None

    def read(self, indices: Indices) -> Images:
        return self.read_boxed(indices)[0]

    def part(self, indices: Indices) -> "BoxSplit":
        return BoxSubSplit(self, indices)


class ArraySplit(LabelSplit):
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


class SubSplit(LabelSplit):
    """Some of another split's images, in the given order."""

    def __init__(self, whole: LabelSplit, indices: Indices) -> None:
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


class MaskArraySplit(MaskSplit):
    """Images (N, H, W, C) and masks (N, H, W), both uint8, held in memory."""

    def __init__(self, images: npt.ArrayLike, masks: npt.ArrayLike) -> None:
        pixels, classes = np.asarray(images), np.asarray(masks)
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise DataError(
                f"Images must be uint8 of shape (N, H, W, C). Received: {pixels.dtype} {pixels.shape}"
            )
        if classes.dtype != np.uint8 or classes.shape != pixels.shape[:3]:
            raise DataError(
                f"Masks must be uint8 of shape {pixels.shape[:3]}. "
                f"Received: {classes.dtype} {classes.shape}"
            )
        self._images: Images = pixels
        self._masks: Masks = classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self._images.shape
        return height, width, channels

    def __len__(self) -> int:
        return len(self._images)

    def read_pairs(self, indices: Indices) -> tuple[Images, Masks]:
        chosen = np.asarray(indices, dtype=np.int64)
        return self._images[chosen], self._masks[chosen]


class BoxArraySplit(BoxSplit):
    """Images (N, H, W, C) uint8 and the objects of each, held in memory."""

    def __init__(self, images: npt.ArrayLike, objects: Sequence[Objects]) -> None:
        pixels = np.asarray(images)
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise DataError(
                f"Images must be uint8 of shape (N, H, W, C). Received: {pixels.dtype} {pixels.shape}"
            )
        if len(objects) != len(pixels):
            raise DataError(
                "Every image needs its objects, none at all where it shows none. "
                f"Received: {len(pixels)} images, objects of {len(objects)}"
            )
        self._images: Images = pixels
        self._objects = list(objects)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self._images.shape
        return height, width, channels

    def __len__(self) -> int:
        return len(self._images)

    def read_boxed(self, indices: Indices) -> tuple[Images, list[Objects]]:
        chosen = np.asarray(indices, dtype=np.int64)
        return self._images[chosen], [self._objects[index] for index in chosen]

    def known_objects(self) -> list[Objects]:
        return self._objects


class BoxSubSplit(BoxSplit):
    """Some of another split's images, in the given order."""

    def __init__(self, whole: BoxSplit, indices: Indices) -> None:
        self._whole = whole
        self._indices = np.asarray(indices, dtype=np.int64)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._whole.image_shape

    def __len__(self) -> int:
        return len(self._indices)

    def read_boxed(self, indices: Indices) -> tuple[Images, list[Objects]]:
        return self._whole.read_boxed(self._indices[np.asarray(indices, dtype=np.int64)])

    def known_objects(self) -> list[Objects] | None:
        whole = self._whole.known_objects()
        return None if whole is None else [whole[index] for index in self._indices]


class MaskSubSplit(MaskSplit):
    """Some of another split's images, in the given order."""

    def __init__(self, whole: MaskSplit, indices: Indices) -> None:
        self._whole = whole
        self._indices = np.asarray(indices, dtype=np.int64)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._whole.image_shape

    def __len__(self) -> int:
        return len(self._indices)

    def read_pairs(self, indices: Indices) -> tuple[Images, Masks]:
        return self._whole.read_pairs(self._indices[np.asarray(indices, dtype=np.int64)])


def task_of(split: Examples) -> Task:
    """What a network is to learn from a split."""
    return split.task


def subset(split: S, count: int, *, seed: int = 0) -> S:
    """At most `count` examples of `split`; where each has one class, the same number of each where possible.

    >>> whole = ArraySplit(np.zeros((9, 2, 2), np.uint8), [0, 0, 0, 0, 0, 0, 1, 1, 1])
    >>> subset(whole, 4).labels.tolist()
    [0, 0, 1, 1]
    """
    if count >= len(split):
        return split
    return split.part(np.sort(random_order(split, seed)[:count]))


def random_order(split: Examples, seed: int) -> npt.NDArray[np.int64]:
    """A random order of a split, balanced where each image has one class."""
    if isinstance(split, LabelSplit):
        return balanced_order(split.labels, seed)
    return np.random.default_rng([seed, 0x5B]).permutation(len(split))


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
    """Images with classes, of the whole image, each pixel or each object; `train` and `test` are always there.

    Masks and boxes are checked where they are read: looking through all of them first would take as long as an epoch.
    """

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
        least, called = (1, "one class") if self.task == "detection" else (2, "two classes")
        if len(self.class_names) < least:
            raise DataError(
                f"Data set {self.name!r} needs at least {called}. "
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
    def task(self) -> Task:
        """What a network is to learn from it."""
        return task_of(self.train)

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
    if not isinstance(split, LabelSplit):
        return
    low, high = int(split.labels.min()), int(split.labels.max())
    if low < 0 or high >= num_classes:
        raise DataError(
            f"Split {where} has labels from {low} to {high}, outside 0..{num_classes - 1}."
        )

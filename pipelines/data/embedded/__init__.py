"""Small real data sets that travel with the package, so that demos and tests need no network."""

from pathlib import Path

import numpy as np

from hw_model.errors import DataError
from pipelines.data.dataset import ArraySplit, ImageDataset

FASHION_CLASSES = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

_DIGIT_CLASSES = tuple(str(digit) for digit in range(10))

_LICENCES = {"fashion_mnist_small": "MIT", "digits": "CC BY 4.0"}
_CLASSES = {"fashion_mnist_small": FASHION_CLASSES, "digits": _DIGIT_CLASSES}
NAMES = tuple(_LICENCES)


def load_embedded(name: str) -> ImageDataset:
    """One of `NAMES`, wholly in memory."""
    path = Path(__file__).with_name(f"{name}.npz")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            splits = {
                split: ArraySplit(arrays[f"{split}_images"], arrays[f"{split}_labels"])
                for split in ("train", "test")
            }
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"The embedded data set {path} is missing or damaged ({error}).") from error
    return ImageDataset(
        name=name,
        class_names=_CLASSES[name],
        splits=splits,
        source="embedded",
        licence=_LICENCES[name],
    )

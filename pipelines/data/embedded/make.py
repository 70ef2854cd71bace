"""Makes the embedded data sets from their published files; run once, the results are in the repository.

python -m pipelines.data.embedded.make fashion /usr/share/datasets/fashion-mnist
python -m pipelines.data.embedded.make digits /path/to/sklearn/datasets/data/digits.csv.gz
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import UsageError
from hw_model.files import atomic_path
from pipelines.data.dataset import ArraySplit, LabelSplit, subset
from pipelines.data.sources import idx_fashion_mnist

_FOLDER = Path(__file__).parent


def fashion(folder: Path) -> Path:
    """300 training and 150 test images of each of the ten classes."""
    whole = idx_fashion_mnist(folder)
    arrays = {}
    for name, count in (("train", 3_000), ("test", 1_500)):
        part = subset(whole.splits[name], count)
        assert isinstance(part, LabelSplit)
        arrays[f"{name}_images"] = part.read(np.arange(len(part)))[..., 0]
        arrays[f"{name}_labels"] = part.labels.astype(np.uint8)
    return _write("fashion_mnist_small", arrays)


def digits(csv: Path) -> Path:
    """Three quarters for training, one quarter for testing, each class divided alike."""
    table = np.loadtxt(csv, delimiter=",", dtype=np.int64)
    images = np.round(table[:, :64].reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    whole = ArraySplit(images, table[:, 64])
    test = np.zeros(len(whole), dtype=bool)
    for label in range(10):
        (where,) = np.nonzero(whole.labels == label)
        test[where[3::4]] = True
    arrays = {}
    for name, chosen in (("train", ~test), ("test", test)):
        arrays[f"{name}_images"] = images[chosen]
        arrays[f"{name}_labels"] = whole.labels[chosen].astype(np.uint8)
    return _write("digits", arrays)


def _write(name: str, arrays: dict[str, Any]) -> Path:
    path = _FOLDER / f"{name}.npz"
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)
    return path


def main(arguments: list[str]) -> None:
    """Command line: `fashion FOLDER` or `digits FILE`."""
    makers = {"fashion": fashion, "digits": digits}
    if len(arguments) != 2 or arguments[0] not in makers:
        raise UsageError(f"Give one of {sorted(makers)} and a path. Received: {arguments}")
    path = makers[arguments[0]](Path(arguments[1]))
    print(f"{path} {path.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])

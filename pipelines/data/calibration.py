"""Representative samples for quantization: distinct, of all classes, and checked to be so."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from hw_model.errors import DataError, UsageError
from pipelines.data.dataset import Images, Split, random_order


def calibration_samples(split: Split, count: int, seed: int = 0) -> Images:
    """`count` different images of `split`, (count, H, W, C), spread evenly over its classes.

    Raises:
        DataError: the split holds fewer different images.
    """
    if count < 1:
        raise UsageError(f"A calibration set needs at least one image. Received: {count}")
    order = random_order(split, seed)
    seen: set[bytes] = set()
    chosen: list[Images] = []
    for start in range(0, len(order), count):
        for image in split.read(order[start : start + count]):
            digest = _digest(image)
            if digest not in seen:
                seen.add(digest)
                chosen.append(image)
            if len(chosen) == count:
                return np.stack(chosen)
    raise DataError(
        f"A calibration set of {count} different images was asked for; the split has {len(chosen)}."
    )


def check_distinct(samples: Iterable[Any]) -> list[Any]:
    """The samples as a list, after making sure that no two are equal.

    A sample is an array, or a list, tuple or dict of arrays, as a representative data set yields.

    Raises:
        DataError: empty, or a sample comes twice; a range measured on copies of one image is wrong.
    """
    first_place: dict[bytes, int] = {}
    kept = []
    for place, sample in enumerate(samples):
        digest = _digest(sample)
        if digest in first_place:
            raise DataError(
                f"Calibration sample {place} repeats sample {first_place[digest]}; a representative "
                "data set must yield different images."
            )
        first_place[digest] = place
        kept.append(sample)
    if not kept:
        raise DataError("The calibration set is empty; give it at least one sample.")
    return kept


def _digest(sample: Any) -> bytes:
    digest = hashlib.sha256()
    _update(digest, sample)
    return digest.digest()


def _update(digest: Any, sample: Any) -> None:
    if isinstance(sample, dict):
        for key in sorted(sample):
            digest.update(str(key).encode())
            _update(digest, sample[key])
    elif isinstance(sample, list | tuple):
        for item in sample:
            _update(digest, item)
    else:
        array = np.ascontiguousarray(sample)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())

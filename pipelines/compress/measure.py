"""What compression changes: zeros, different weights, and bytes before and after gzip."""

import gzip
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Kernels = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Size:
    """Bytes of a file, and of what gzip makes of it."""

    raw_bytes: int
    gzip_bytes: int


def size_of(content: bytes) -> Size:
    """The size of a file with this content.

    >>> size_of(bytes(1000)).gzip_bytes < 50
    True
    """
    return Size(raw_bytes=len(content), gzip_bytes=len(gzip.compress(content, mtime=0)))


def weight_size(model: Any) -> Size:
    """The size of all weights of a Keras model, one after the other in float32."""
    return size_of(b"".join(np.asarray(weight, "<f4").tobytes() for weight in model.get_weights()))


def kernels_of(model: Any) -> Kernels:
    """The kernels that pruning and clustering change, by layer (and group)."""
    import keras

    from model_zoo.nn.layers import GroupConv2D

    found: Kernels = {}
    for layer in model.layers:
        if isinstance(layer, GroupConv2D):
            for group, kernel in enumerate(layer.kernels):
                found[f"{layer.name}_{group}"] = keras.ops.convert_to_numpy(kernel)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.Dense):
            found[layer.name] = keras.ops.convert_to_numpy(layer.kernel)
    return found


def zero_share(kernels: Kernels) -> float:
    """Share of all weights in `kernels` that are zero."""
    zeros = sum(int(np.count_nonzero(kernel == 0)) for kernel in kernels.values())
    return zeros / max(1, sum(kernel.size for kernel in kernels.values()))


def distinct(kernels: Kernels) -> dict[str, int]:
    """Number of different weights in each kernel."""
    return {name: len(np.unique(kernel)) for name, kernel in kernels.items()}

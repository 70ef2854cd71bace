"""A trained cost model as a value and as a file: .npz with a checksum, every byte checked before it is used."""

import ast
import hashlib
import io
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_model import codec
from hw_model.errors import DataError, SpecError
from hw_model.files import atomic_path

#: Largest file that is read, and longest list of layers.
_MAX_BYTES = 16 << 20
_MAX_LAYERS = 8
#: Inputs are cut at this many standard deviations, factors at exp of this: far from the samples a model bends,
#: and does not explode.
INPUT_LIMIT = 6.0
FACTOR_LIMIT = 4.0
Weights = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Agreement with the simulator on specs that the training did not see; errors are mean and relative."""

    specs: int
    latency_mape: float
    latency_spearman: float
    energy_mape: float
    energy_spearman: float


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a trained model is for, and how good it is."""

    target_name: str
    target_id: str
    simulator_id: str
    features_version: int
    samples: int
    seed: int
    held_out: HeldOut


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Operations of a training: their kinds, and the least and largest of their sizes (`sizes_of`)."""

    kinds: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostModel:
    """A perceptron that turns rows of features into factors for what the counters say."""

    about: About
    mean: Weights
    scale: Weights
    #: (weights, bias) of every layer; ReLU between them.
    layers: tuple[tuple[Weights, Weights], ...]
    #: Files written before it was kept have none, and then nothing is known of what is outside.
    seen: Seen | None = None

    def factors(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Factors (rows, 3) for time on the chip, time of the link, and energy."""
        h = np.clip((x.astype(np.float32) - self.mean) / self.scale, -INPUT_LIMIT, INPUT_LIMIT)
        for weights, bias in self.layers[:-1]:
            h = np.maximum(h @ weights + bias, 0)
        weights, bias = self.layers[-1]
        out = (h @ weights + bias).astype(np.float64)
        found: NDArray[np.float64] = np.exp(FACTOR_LIMIT * np.tanh(out / FACTOR_LIMIT))
        return found

    @property
    def model_id(self) -> str:
        """First 12 hex digits of the SHA-256 of everything in it that costs depend on."""
        return _digest(_members(self))[:12]


def write_cost_model(model: CostModel, path: str | os.PathLike[str]) -> None:
    """Writes a model; equal models give equal bytes.

    Raises:
        EnvironmentFault: the folder cannot be written or the disk is full.
    """
    members = _members(model)
    if model.seen is not None:
        members["seen"] = _text(model.seen)
    members["sha256"] = _packed(np.frombuffer(_digest(members).encode(), np.uint8))
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, content in members.items():
            # A fixed date: when a model was written is no part of it.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0)), content)


def read_cost_model(path: str | os.PathLike[str]) -> CostModel:
    """Reads what `write_cost_model` wrote.

    Raises:
        DataError: no such file, or one that is not what it was when it was written.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DataError(f"Cannot read cost model {path}: {error.strerror or error}.") from error
    try:
        return _parsed(_opened(content))
    except (
        ValueError, KeyError, EOFError, SyntaxError, RecursionError, MemoryError, NotImplementedError, RuntimeError,
        SpecError, struct.error, zlib.error, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise DataError(
            f"{path} is no cost model or is damaged ({type(error).__name__}: {str(error)[:120]}); "
            "run edgezoo train-cost-model to write a new one."
        ) from error


def _members(model: CostModel) -> dict[str, bytes]:
    arrays: dict[str, NDArray[Any]] = {"mean": model.mean, "scale": model.scale}
    for index, (weights, bias) in enumerate(model.layers):
        arrays |= {f"weights_{index}": weights, f"bias_{index}": bias}
    packed = {name: _packed(array) for name, array in arrays.items()}
    return {"about": _text(model.about), **packed}


def _text(value: Any) -> bytes:
    return _packed(np.frombuffer(codec.dumps(value).encode(), np.uint8))


def _digest(members: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name in sorted(members):
        digest.update(f"{name}:{len(members[name])}:".encode() + members[name])
    return digest.hexdigest()


def _packed(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), (1, 0), allow_pickle=False)
    return file.getvalue()


def _opened(content: bytes) -> dict[str, bytes]:
    """The members of a file by name, checksum checked; nothing is taken at its word about its size."""
    if len(content) > _MAX_BYTES:
        raise ValueError(f"larger than {_MAX_BYTES:,} bytes")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        if len(infos) > 2 * _MAX_LAYERS + 5 or sum(info.file_size for info in infos) > _MAX_BYTES:
            raise ValueError("holds more than a cost model")
        members = {info.filename.removesuffix(".npy"): archive.read(info) for info in infos}
    stated = bytes(_array(members.pop("sha256"), np.uint8)).decode("ascii")
    if stated != _digest(members):
        raise ValueError("its checksum does not match")
    return members


def _array(content: bytes, kind: type[np.generic]) -> NDArray[Any]:
    """An array in NumPy's own format, version 1.0, without believing its header."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("is of another array format")
    (length,) = struct.unpack("<H", file.read(2))
    header = ast.literal_eval(file.read(min(length, 256)).decode("latin1"))
    wanted = np.dtype(kind).newbyteorder("<")
    if np.dtype(str(header["descr"])) != wanted or header["fortran_order"] is not False:
        raise ValueError(f"holds {str(header['descr'])[:16]} where {wanted.str} belongs")
    shape = tuple(int(side) for side in header["shape"])
    data = file.read()
    if min(shape, default=1) < 0 or math.prod(shape) * wanted.itemsize != len(data):
        raise ValueError(f"holds {len(data)} bytes for shape {shape}")
    return np.frombuffer(data, wanted).reshape(shape)


def _parsed(members: dict[str, bytes]) -> CostModel:
    about = codec.loads(About, bytes(_array(members.pop("about"), np.uint8)))
    seen = members.pop("seen", None)
    count = sum(name.startswith("weights_") for name in members)
    arrays = {name: _array(content, np.float32) for name, content in members.items()}
    model = CostModel(
        about=about,
        mean=arrays["mean"],
        scale=arrays["scale"],
        layers=tuple((arrays[f"weights_{i}"], arrays[f"bias_{i}"]) for i in range(count)),
        seen=None if seen is None else codec.loads(Seen, bytes(_array(seen, np.uint8))),
    )
    _check(model, arrays.values())
    return model


def _check(model: CostModel, arrays: Any) -> None:
    """Shapes that follow from one another, and numbers."""
    widths = [model.mean.size, *(bias.size for _, bias in model.layers)]
    shapes = [(weights.shape, bias.shape) for weights, bias in model.layers]
    wanted = [((a, b), (b,)) for a, b in zip(widths, widths[1:], strict=False)]
    if shapes != wanted or not model.layers or widths[-1] != 3:
        raise ValueError(f"its layers do not fit together: {shapes}")
    if model.mean.shape != model.scale.shape or model.mean.ndim != 1:
        raise ValueError("its mean and scale do not fit together")
    if model.seen is not None and len(model.seen.low) != len(model.seen.high):
        raise ValueError("its ranges do not fit together")
    if not all(np.isfinite(array).all() for array in arrays) or not (model.scale > 0).all():
        raise ValueError("holds numbers that are not finite, or a scale of zero")

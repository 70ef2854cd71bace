"""Reading the files others keep trained weights in: TensorFlow checkpoints of both kinds, and safetensors.

A source answers by the names a layout knows, so that nothing else has to know how a format stores them.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, EnvironmentFault

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

#: What TensorFlow appends to the keys of checkpoints of objects.
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_SLOT = "/.OPTIMIZER_SLOT/optimizer/average"
#: What TensorFlow 1 appends to the names of moving averages.
AVERAGE = "/ExponentialMovingAverage"
_PICKLES = (".pth", ".pt", ".bin", ".pkl", ".pickle")
#: A zip archive, as torch.save writes it, and the first bytes of plain pickles.
_PICKLE_STARTS = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_PARTS = (".index", ".meta")
_ARRAYS = ".safetensors"
#: What TensorFlow raises of damaged files beside its own errors.
_FAULTS = (ValueError, RuntimeError, IndexError)


class Source(Protocol):
    """Named arrays in a file."""

    path: Path

    @property
    def names(self) -> Iterable[str]:
        """Names as the file has them; of checkpoints of objects, whose names depend on the root, keys."""

    def shape(self, name: str) -> Shape | None:
        """Shape of a variable; None where the file has none of this name."""

    def average(self, name: str) -> str | None:
        """Name of a variable's moving average; None where the file keeps none."""

    def read(self, name: str) -> Array:
        """The values of a variable, float32.

        Raises:
            DataError: the file is damaged.
        """


def open_source(path: str | os.PathLike[str]) -> Source:
    """The source of a `.safetensors` file or a checkpoint: by its prefix, one of its files, or a folder it is alone in.

    Raises:
        DataError: missing, damaged, or of a format that is not read; pickles are none for safety's sake.
        EnvironmentFault: the package that reads the format is not installed.
    """
    place = _only_one(Path(path))
    if place.suffix in _PICKLES or _starts_as_pickle(place):
        raise DataError(
            f"{place} is a pickle, which may run any code when it is read; "
            "convert it with safetensors.torch.save_file and import the .safetensors file"
        )
    if place.suffix == _ARRAYS:
        return ArraySource(place, read_arrays(place))
    prefix = _prefix(place)
    if not Path(f"{prefix}.index").is_file():
        raise DataError(
            f"{place} is no checkpoint: give a .safetensors file, or the prefix of a TensorFlow checkpoint, "
            "such as ckpt-171600 beside ckpt-171600.index"
        )
    return _open_checkpoint(prefix)


def _starts_as_pickle(place: Path) -> bool:
    if not place.is_file():
        return False
    with place.open("rb") as file:
        return file.read(4).startswith(_PICKLE_STARTS)


def files_of(path: str | os.PathLike[str]) -> tuple[Path, ...]:
    """The files weights at a path are read from: one archive, or all parts of a checkpoint."""
    place = Path(path)
    if place.is_file() and place.suffix not in (*_PARTS, _ARRAYS) and ".data-" not in place.name:
        return (place,)
    place = _only_one(place)
    if place.suffix == _ARRAYS:
        return tuple(each for each in (place, place.with_name("config.json")) if each.is_file())
    prefix = _prefix(place)
    return tuple(
        sorted(
            each
            for each in prefix.parent.glob("*")
            if each.name == f"{prefix.name}.index" or each.name.startswith(f"{prefix.name}.data-")
        )
    )


def _only_one(place: Path) -> Path:
    """The only weights in a folder; any other path as it is."""
    if not place.is_dir():
        return place
    found = sorted(each for end in (".index", _ARRAYS) for each in place.rglob(f"*{end}"))
    if len(found) != 1:
        held = ", ".join(str(each.relative_to(place)) for each in found[:4]) or "none"
        raise DataError(f"{place} must hold one checkpoint; name its prefix. Received: {held}")
    return found[0]


def _prefix(place: Path) -> Path:
    """The prefix of the checkpoint a path means."""
    if place.suffix in _PARTS:
        return place.with_suffix("")
    name, data, _ = place.name.rpartition(".data-")
    return place.with_name(name) if data else place


class ArraySource:
    """Arrays that were read already."""

    def __init__(self, path: Path, arrays: Mapping[str, Array]) -> None:
        self.path = path
        self._arrays = arrays

    @property
    def names(self) -> Iterable[str]:
        return self._arrays

    def shape(self, name: str) -> Shape | None:
        return self._arrays[name].shape if name in self._arrays else None

    def average(self, name: str) -> str | None:
        return None

    def read(self, name: str) -> Array:
        return np.asarray(self._arrays[name], np.float32)


def read_arrays(path: Path) -> dict[str, Array]:
    """The arrays of a .safetensors file by their published names.

    Raises:
        DataError: missing or damaged.
        EnvironmentFault: safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise EnvironmentFault(
            "Reading .safetensors needs the package safetensors; pip install 'edgezoo[text]'"
        ) from error
    try:
        arrays: dict[str, Array] = load_file(path)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"Cannot read weights {path}: {error}") from error
    return arrays


def _open_checkpoint(prefix: Path) -> Source:
    try:
        import tensorflow as tf
    except ImportError as error:
        raise EnvironmentFault(
            "Reading a TensorFlow checkpoint needs TensorFlow; install it"
        ) from error
    try:
        reader = tf.train.load_checkpoint(os.fspath(prefix))
        shapes = {name: tuple(s) for name, s in reader.get_variable_to_shape_map().items()}
        if _GRAPH in shapes or any(name.endswith(SUFFIX) for name in shapes):
            return ObjectSource(prefix, reader, shapes)
    except (tf.errors.OpError, *_FAULTS) as error:
        raise DataError(f"{prefix} is not a readable TensorFlow checkpoint") from error
    return NameSource(prefix, reader, shapes)


class NameSource:
    """A checkpoint of TensorFlow 1: variables by name."""

    def __init__(self, path: Path, reader: Any, shapes: Mapping[str, Shape]) -> None:
        self.path = path
        self._reader = reader
        self._shapes = shapes

    @property
    def names(self) -> Iterable[str]:
        return self._shapes

    def shape(self, name: str) -> Shape | None:
        return self._shapes.get(name)

    def average(self, name: str) -> str | None:
        return name + AVERAGE if name + AVERAGE in self._shapes else None

    def read(self, name: str) -> Array:
        return _tensor(self._reader, name, self.path)


class ObjectSource:
    """A checkpoint of TensorFlow 2: variables by their path from object to object.

    Whoever saves more than a model has shorter ways to its variables, and the shortest is the key: where the file
    holds the graph of its objects, every way is found in it.
    """

    def __init__(self, path: Path, reader: Any, shapes: Mapping[str, Shape]) -> None:
        self.path = path
        self._reader = reader
        self._shapes = shapes
        self._keys: dict[str, str] = {}
        self._nodes = _nodes(reader.get_tensor(_GRAPH)) if _GRAPH in shapes else []

    @property
    def names(self) -> Iterable[str]:
        return self._shapes

    def shape(self, name: str) -> Shape | None:
        return self._shapes.get(self._key(name))

    def average(self, name: str) -> str | None:
        """Averages are kept by the optimizer; a key stands for itself as a name."""
        slot = self._key(name).removesuffix(SUFFIX) + _SLOT + SUFFIX
        return slot if slot in self._shapes else None

    def read(self, name: str) -> Array:
        return _tensor(self._reader, self._key(name), self.path)

    def _key(self, name: str) -> str:
        if name not in self._keys:
            self._keys[name] = self._walk(name) or self._plain(name)
        return self._keys[name]

    def _plain(self, name: str) -> str:
        return name if name.endswith(SUFFIX) else name + SUFFIX

    def _walk(self, name: str) -> str | None:
        node = 0
        for step in name.split("/") if self._nodes else ():
            following = self._nodes[node][0].get(step)
            if following is None:
                return None
            node = following
        return self._nodes[node][1] if self._nodes else None


def _nodes(graph: bytes) -> list[tuple[dict[str, int], str | None]]:
    """For each object its children by name, and the key of its value where it is a variable."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    return [
        (
            {child.local_name: child.node_id for child in node.children},
            next((value.checkpoint_key for value in node.attributes), None),
        )
        for node in TrackableObjectGraph.FromString(graph).nodes
    ]


def _tensor(reader: Any, key: str, path: Path) -> Array:
    import tensorflow as tf

    try:
        return np.asarray(reader.get_tensor(key), np.float32)
    except (tf.errors.OpError, *_FAULTS) as error:
        raise DataError(f"{path} is damaged or cut short: cannot read {key}") from error

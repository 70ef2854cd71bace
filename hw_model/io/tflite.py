"""Reads a `.tflite` file as a graph, or answers single questions about it; needs neither TensorFlow nor Keras."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hw_model.errors import DataError, SpecError
from hw_model.graph.types import Graph, Shape
from hw_model.graph.verify import verify
from hw_model.io.tflite_file import FileOperator, Source, TensorQuantization, TFLiteFile, load
from hw_model.io.tflite_graph import Reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of a file's model."""

    name: str
    shape: Shape
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says about itself; `operators` counts them by name."""

    size_bytes: int
    weight_bytes: int
    version: int
    description: str
    metadata: tuple[str, ...]
    subgraphs: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: dict[str, int]


def read_tflite(source: Source) -> Graph:
    """The main subgraph of a `.tflite` file given by path or as bytes.

    Constants become attributes (filter shape, axis, padding) or vanish (values). An operator without
    counterpart becomes `Opaque`. What a graph cannot hold (further subgraphs, sizes known while running only,
    operators whose result nothing reads) is left out and said in `Graph.notes`.

    Raises:
        DataError: the file is missing, no `.tflite` file, truncated, corrupt or contradicts itself.
    """
    return read_whole(source).graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A file, the graph it was read as, and what each operation was read from, by the operation's name."""

    file: TFLiteFile
    graph: Graph
    operators: dict[str, FileOperator]


def read_whole(source: Source) -> Whole:
    """As `read_tflite`, with the way back to the file's operators and so to its weights."""
    file = load(source)
    name = "model" if isinstance(source, bytes) else Path(os.fspath(source)).stem
    reading = Reading(file)
    try:
        graph = verify(reading.graph(name))
    except SpecError as error:
        raise DataError(
            f"{file.source} contradicts itself: {error}; export the model again"
        ) from error
    return Whole(file=file, graph=graph, operators=reading.origins)


def tensor_quantization(source: Source) -> tuple[TensorQuantization, ...]:
    """Scale and zero point of every quantized tensor of the main subgraph, in file order."""
    return tuple(
        tensor.quantization for tensor in load(source).tensors if tensor.quantization is not None
    )


def weight_bytes(source: Source) -> int:
    """Bytes of all constant tensors of the main subgraph."""
    return _weight_bytes(load(source))


def float_operators(source: Source) -> tuple[str, ...]:
    """Name and output of every operator that reads or writes a floating-point tensor; empty for an int8 file."""
    file = load(source)
    found = []
    for op in file.operators:
        touched = [file.tensors[index] for index in (*op.inputs, *op.outputs) if index >= 0]
        if any("FLOAT" in tensor.element_type for tensor in touched):
            label = file.tensors[op.outputs[0]].name if op.outputs else "no output"
            found.append(f"{op.code} ({label})")
    return tuple(found)


def read_header(source: Source) -> Header:
    """Size, ports and operator counts of a file."""
    file = load(source)

    def ports(indices: tuple[int, ...]) -> tuple[Port, ...]:
        tensors = [file.tensors[index] for index in indices]
        return tuple(
            Port(name=tensor.name, shape=tensor.shape, dtype=tensor.element_type.lower())
            for tensor in tensors
        )

    return Header(
        size_bytes=file.size_bytes,
        weight_bytes=_weight_bytes(file),
        version=file.version,
        description=file.description,
        metadata=file.metadata,
        subgraphs=file.subgraphs,
        inputs=ports(file.inputs),
        outputs=ports(file.outputs),
        operators=dict(Counter(op.code for op in file.operators).most_common()),
    )


def _weight_bytes(file: TFLiteFile) -> int:
    return sum(len(file.tensors[index].data) for index in file.constants())

"""Reads a `.tflite` file as a graph, or answers single questions about it; needs neither TensorFlow nor Keras."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hw_model.errors import DataError, SpecError
from hw_model.graph.ops import OpType, Reshape
from hw_model.graph.types import Graph, Op, Shape, Tensor
from hw_model.graph.verify import verify
from hw_model.io.tflite_call import Call, dtype_of
from hw_model.io.tflite_file import (
    FileOperator,
    Source,
    TensorQuantization,
    TFLiteFile,
    load,
)
from hw_model.io.tflite_ops import BROADCASTING, chain_of


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
    counterpart becomes `Opaque`. Operators whose result nothing reads are left out.

    Raises:
        DataError: the file is missing, no `.tflite` file, truncated, corrupt or contradicts itself.
    """
    file = load(source)
    name = "model" if isinstance(source, bytes) else Path(os.fspath(source)).stem
    try:
        return verify(_Reading(file).graph(name))
    except SpecError as error:
        raise DataError(
            f"{file.source} contradicts itself: {error}; export the model again"
        ) from error


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


class _Reading:
    """Turns a file's operators into operations, one after the other."""

    def __init__(self, file: TFLiteFile) -> None:
        self._file = file
        self._constants = set(file.constants())
        self._tensors: list[Tensor] = []
        self._ops: list[Op] = []
        self._names: Counter[str] = Counter()
        self._index: dict[int, int] = {}

    def graph(self, name: str) -> Graph:
        """The whole file as a graph, without operators that have no effect."""
        file = self._file
        if len(set(file.inputs)) != len(file.inputs):
            raise SpecError("inputs", f"name a tensor twice. Received: {file.inputs[:16]}")
        for index in file.inputs:
            self._add_tensor(index, file.tensors[index].shape)
        used = _used_operators(file)
        for position, operator in enumerate(file.operators):
            if position in used:
                self._add(position, operator)
        inputs = tuple(self._known("inputs", index) for index in file.inputs)
        outputs = tuple(self._known("outputs", index) for index in file.outputs)
        return Graph(tuple(self._tensors), tuple(self._ops), inputs, outputs, name)

    def _known(self, path: str, index: int) -> int:
        if index not in self._index:
            label = self._file.tensors[index].name
            raise SpecError(path, f"tensor {label!r} has no value when it is needed")
        return self._index[index]

    def _add_tensor(self, index: int, shape: Shape) -> None:
        tensor = self._file.tensors[index]
        if tensor.shape not in ((), shape):  # old converters leave shapes out
            raise SpecError(f"tensor {tensor.name!r}", f"must be {shape}. Received: {tensor.shape}")
        self._tensors.append(Tensor(tensor.name, shape, dtype_of(tensor)))
        self._index[index] = len(self._tensors) - 1

    def _add(self, position: int, operator: FileOperator) -> None:
        """Appends the operations of one operator; one that reads constants only makes constants."""
        activations = tuple(
            index for index in operator.inputs if index >= 0 and index not in self._constants
        )
        if not activations:
            self._constants.update(operator.outputs)
            return
        path = f"operators[{position}] {operator.code}"
        sources = tuple(self._known(path, index) for index in activations)
        if operator.code in BROADCASTING:
            sources = self._of_equal_rank(sources)
        call = Call(
            file=self._file,
            operator=operator,
            activations=activations,
            input_shapes=self._shapes(sources),
        )
        try:
            chain = chain_of(call)
            for step in chain[:-1]:
                sources = self._intermediate(call, step, sources)
            self._last(call, chain[-1], sources)
        except SpecError as error:
            raise error.under(path) from None

    def _of_equal_rank(self, sources: tuple[int, ...]) -> tuple[int, ...]:
        """Operands with leading axes of size 1 where one has fewer axes; files leave those out."""
        rank = max(len(shape) for shape in self._shapes(sources))
        aligned = []
        for index in sources:
            tensor = self._tensors[index]
            if 0 < len(tensor.shape) < rank:
                shape = (1,) * (rank - len(tensor.shape)) + tensor.shape
                name = self._unique(tensor.name)
                self._tensors.append(Tensor(name, shape, tensor.dtype))
                index = self._append(
                    name, Reshape(shape=shape), (index,), (len(self._tensors) - 1,)
                )
            aligned.append(index)
        return tuple(aligned)

    def _append(
        self, name: str, kind: OpType, inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> int:
        self._ops.append(Op(name, kind, inputs, outputs))
        return outputs[0]

    def _intermediate(self, call: Call, step: OpType, sources: tuple[int, ...]) -> tuple[int, ...]:
        """An operation whose result the file does not name."""
        (shape,) = step.infer(self._shapes(sources))
        name = self._unique(self._file.tensors[call.operator.outputs[0]].name)
        self._tensors.append(Tensor(name, shape, call.output_dtype))
        return (self._append(name, step, sources, (len(self._tensors) - 1,)),)

    def _last(self, call: Call, step: OpType, sources: tuple[int, ...]) -> None:
        outputs = call.operator.outputs
        made = step.infer(self._shapes(sources))
        if len(made) != len(outputs):
            raise SpecError("outputs", f"must be {len(made)}. Received: {len(outputs)}")
        for index, shape in zip(outputs, made, strict=True):
            if index in self._index:
                raise SpecError("outputs", f"tensor {index} is written twice")
            self._add_tensor(index, shape)
        name = self._unique(self._file.tensors[outputs[0]].name)
        self._append(name, step, sources, tuple(self._index[index] for index in outputs))

    def _shapes(self, tensors: tuple[int, ...]) -> tuple[Shape, ...]:
        return tuple(self._tensors[index].shape for index in tensors)

    def _unique(self, name: str) -> str:
        """A name for an operation; the second use of one gets `#2`."""
        name = name or "unnamed"
        self._names[name] += 1
        uses = self._names[name]
        return name if uses == 1 else f"{name}#{uses}"


def _used_operators(file: TFLiteFile) -> frozenset[int]:
    """Operators that an output of the model depends on, walking backwards through the execution order."""
    needed = set(file.outputs)
    used = set()
    for position in range(len(file.operators) - 1, -1, -1):
        operator = file.operators[position]
        if needed.intersection(operator.outputs):
            used.add(position)
            needed.update(operator.inputs)
    return frozenset(used)

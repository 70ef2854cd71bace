"""A `.tflite` file as plain records: tensors with quantization and data, operators with their raw options."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import DataError
from hw_model.io import tflite_schema as schema
from hw_model.io.flatbuffer import FlatBuffer, Table

Source = str | os.PathLike[str] | bytes
FloatArray = np.ndarray[Any, np.dtype[np.float32]]
IntArray = np.ndarray[Any, np.dtype[np.int64]]

_MAX_RANK = 16
_MAX_ELEMENTS = 1 << 34
_MAX_FILE_BYTES = (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorQuantization:
    """Real value = scale * (stored - zero_point); one entry, or one per index of `axis`."""

    name: str
    dtype: str
    scale: FloatArray
    zero_point: IntArray
    axis: int

    @property
    def per_channel(self) -> bool:
        """Whether every channel has its own scale."""
        return len(self.scale) > 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileTensor:
    """A tensor of the main subgraph; `data` is empty for activations.

    `dynamic` says that sizes are known while running only; they are 1 in `shape`.
    """

    name: str
    shape: tuple[int, ...]
    element_type: str
    quantization: TensorQuantization | None
    data: memoryview
    is_variable: bool
    is_sparse: bool
    dynamic: bool

    def values(self) -> list[int] | None:
        """Content of a small constant integer tensor such as a shape or an axis; None where it is not one."""
        kinds = {"INT32": "<i4", "INT64": "<i8", "UINT32": "<u4"}
        if self.element_type not in kinds or len(self.data) > 1024:
            return None
        if not len(self.data) and 0 not in self.shape:
            return None
        numbers: list[int] = np.frombuffer(self.data, kinds[self.element_type]).tolist()
        return numbers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FileOperator:
    """An operator of the main subgraph; an absent optional input is -1."""

    code: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Table | None

    def option(self, slot: int, fmt: str, default: Any = 0) -> Any:
        """One number of the operator's options."""
        return default if self.options is None else self.options.scalar(slot, fmt, default)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TFLiteFile:
    """What a file says, before it is understood as a graph."""

    source: str
    size_bytes: int
    version: int
    description: str
    metadata: tuple[str, ...]
    subgraphs: int
    tensors: tuple[FileTensor, ...]
    operators: tuple[FileOperator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def constants(self) -> frozenset[int]:
        """Tensors that hold their value: filled by the file, never written, and no input of the model."""
        filled_later = {index for op in self.operators for index in op.outputs} | {*self.inputs}
        return frozenset(
            index
            for index, tensor in enumerate(self.tensors)
            if index not in filled_later
            and (len(tensor.data) or tensor.is_variable or 0 in tensor.shape)
        )


def load(source: Source) -> TFLiteFile:
    """Reads and checks a file given by path or as bytes.

    Raises:
        DataError: the file is missing, is no `.tflite` file, or is truncated or corrupt.
    """
    return _parse(_opened(source))


def read_metadata(source: Source, name: str) -> bytes | None:
    """What a file keeps under a name beside its model; None where it keeps nothing there.

    Raises:
        DataError: the file is missing, is no `.tflite` file, or is truncated or corrupt.
    """
    buffer = _opened(source)
    model = buffer.root()
    for entry in model.tables(schema.ModelSlot.METADATA):
        if entry.text(schema.MetadataSlot.NAME) == name:
            index = int(entry.scalar(schema.MetadataSlot.BUFFER, "I"))
            return bytes(_data(buffer, index, model.tables(schema.ModelSlot.BUFFERS)))
    return None


def _opened(source: Source) -> FlatBuffer:
    data, name = _content(source)
    if len(data) < 8 or data[4:8] != schema.IDENTIFIER:
        raise DataError(
            f"{name} is not a .tflite file: bytes 4 to 8 must read TFL3. "
            f"Received: {data[4:8]!r} in {len(data):,} bytes"
        )
    return FlatBuffer(data, name)


def _content(source: Source) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, "<bytes>"
    path = Path(source)
    try:
        if not path.is_file():
            kind = "is a folder" if path.is_dir() else "does not exist"
            raise DataError(f"{path} {kind}; give the path of a .tflite file")
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise DataError(f"{path} is larger than the 2 GiB a .tflite file can have")
        return path.read_bytes(), str(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _parse(buffer: FlatBuffer) -> TFLiteFile:
    model = buffer.root()
    subgraphs = model.tables(schema.ModelSlot.SUBGRAPHS)
    if not subgraphs:
        raise buffer.corrupt("it holds no subgraph")
    main = subgraphs[0]
    buffers = model.tables(schema.ModelSlot.BUFFERS)
    codes = [_code(buffer, table) for table in model.tables(schema.ModelSlot.OPERATOR_CODES)]
    tensors = tuple(
        _tensor(buffer, table, buffers) for table in main.tables(schema.SubgraphSlot.TENSORS)
    )
    operators = tuple(
        _operator(buffer, table, codes, len(tensors))
        for table in main.tables(schema.SubgraphSlot.OPERATORS)
    )
    metadata = model.tables(schema.ModelSlot.METADATA)
    return TFLiteFile(
        source=buffer.source,
        size_bytes=len(buffer.data),
        version=model.scalar(schema.ModelSlot.VERSION, "I"),
        description=model.text(schema.ModelSlot.DESCRIPTION),
        metadata=tuple(entry.text(schema.MetadataSlot.NAME) for entry in metadata),
        subgraphs=len(subgraphs),
        tensors=tensors,
        operators=operators,
        inputs=_references(buffer, main.ints(schema.SubgraphSlot.INPUTS), len(tensors)),
        outputs=_references(buffer, main.ints(schema.SubgraphSlot.OUTPUTS), len(tensors)),
    )


def _references(
    buffer: FlatBuffer, indices: tuple[int, ...], count: int, *, least: int = 0
) -> tuple[int, ...]:
    for index in indices:
        if not least <= index < count:
            raise buffer.corrupt(f"tensor {index} is referred to, but there are {count:,}")
    return indices


def _code(buffer: FlatBuffer, table: Table) -> tuple[str, bool]:
    """(operator name, whether it is a custom operator)."""
    old = int(table.scalar(schema.OperatorCodeSlot.OLD_BUILTIN, "b"))
    code = max(old, int(table.scalar(schema.OperatorCodeSlot.BUILTIN, "i")))
    if code == schema.CUSTOM:
        return table.text(schema.OperatorCodeSlot.CUSTOM) or "CUSTOM", True
    if code < 0:
        raise buffer.corrupt(f"operator code {code} is negative")
    known = code < len(schema.OPERATORS)
    return (schema.OPERATORS[code] if known else f"BUILTIN_{code}"), False


def _operator(
    buffer: FlatBuffer, table: Table, codes: list[tuple[str, bool]], tensors: int
) -> FileOperator:
    opcode = int(table.scalar(schema.OperatorSlot.OPCODE, "I"))
    if opcode >= len(codes):
        raise buffer.corrupt(f"operator code {opcode} is used, but there are {len(codes)}")
    code, custom = codes[opcode]
    inputs = table.ints(schema.OperatorSlot.INPUTS)
    outputs = table.ints(schema.OperatorSlot.OUTPUTS)
    return FileOperator(
        code=code,
        custom=custom,
        inputs=_references(buffer, inputs, tensors, least=-1),
        outputs=_references(buffer, outputs, tensors),
        options=table.table(schema.OperatorSlot.OPTIONS),
    )


def _tensor(buffer: FlatBuffer, table: Table, buffers: list[Table]) -> FileTensor:
    name = table.text(schema.TensorSlot.NAME)
    stated = table.ints(schema.TensorSlot.SHAPE)
    if len(stated) > _MAX_RANK or any(size < -1 for size in stated):
        raise buffer.corrupt(f"tensor {name!r} has the impossible shape {list(stated[:_MAX_RANK])}")
    shape = tuple(1 if size == -1 else size for size in stated)
    elements = math.prod(shape)
    if elements > _MAX_ELEMENTS:
        raise buffer.corrupt(f"tensor {name!r} claims {elements:,} elements")
    code = int(table.scalar(schema.TensorSlot.TYPE, "b"))
    if not 0 <= code < len(schema.ELEMENT_TYPES):
        raise buffer.corrupt(f"tensor {name!r} has the unknown element type {code}")
    element_type, bits = schema.ELEMENT_TYPES[code]
    data = _data(buffer, int(table.scalar(schema.TensorSlot.BUFFER, "I")), buffers)
    is_sparse = table.table(schema.TensorSlot.SPARSITY) is not None
    if len(data) and bits and not is_sparse and len(data) != (elements * bits + 7) // 8:
        raise buffer.corrupt(
            f"tensor {name!r} of shape {list(shape)} and type {element_type} holds {len(data):,} bytes"
        )
    return FileTensor(
        name=name,
        shape=shape,
        element_type=element_type,
        quantization=_quantization(buffer, table, name, element_type, shape),
        data=data,
        is_variable=table.scalar(schema.TensorSlot.IS_VARIABLE, "?", False),
        is_sparse=is_sparse,
        dynamic=-1 in stated or -1 in table.ints(schema.TensorSlot.SHAPE_SIGNATURE),
    )


def _data(buffer: FlatBuffer, index: int, buffers: list[Table]) -> memoryview:
    if index >= len(buffers):
        raise buffer.corrupt(f"buffer {index} is referred to, but there are {len(buffers)}")
    data = buffers[index].raw(schema.BufferSlot.DATA)
    offset = int(buffers[index].scalar(schema.BufferSlot.OFFSET, "Q"))
    if (
        len(data) or offset <= 1
    ):  # 1 marks an empty buffer in files whose data lies outside the tables
        return data
    end = offset + int(buffers[index].scalar(schema.BufferSlot.SIZE, "Q"))
    if end > len(buffer.data):
        raise buffer.corrupt(f"buffer {index} ends at byte {end:,} of {len(buffer.data):,}")
    return buffer.view[offset:end]


def _quantization(
    buffer: FlatBuffer, tensor: Table, name: str, element_type: str, shape: tuple[int, ...]
) -> TensorQuantization | None:
    table = tensor.table(schema.TensorSlot.QUANTIZATION)
    if table is None:
        return None
    scale = table.array(schema.QuantizationSlot.SCALE, "<f4")
    if scale is None:
        return None
    zero_point = table.array(schema.QuantizationSlot.ZERO_POINT, "<i8")
    if zero_point is None:
        zero_point = np.zeros(len(scale), np.int64)
    axis = int(table.scalar(schema.QuantizationSlot.AXIS, "i"))
    if len(scale) != 1 and not (0 <= axis < len(shape) and len(scale) == shape[axis]):
        raise buffer.corrupt(f"tensor {name!r} of shape {list(shape)} has {len(scale):,} scales")
    buffer.spend(len(scale) // 64)
    if not np.isfinite(scale).all() or scale.min() < 0:
        raise buffer.corrupt(f"tensor {name!r} has a scale that is no positive number")
    if len(zero_point) not in (1, len(scale)):
        raise buffer.corrupt(
            f"tensor {name!r} has {len(scale):,} scales, {len(zero_point):,} zeros"
        )
    return TensorQuantization(
        name=name, dtype=element_type.lower(), scale=scale, zero_point=zero_point, axis=axis
    )

"""Small changes to a finished `.tflite` file: names of outputs, metadata, further operators behind its network."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import EnvironmentFault
from hw_model.io import tflite_schema as schema

#: Runtimes read constants in place, so each begins where a vector register can load it.
#: Source: the published format definition, force_align of Buffer.data.
ALIGNMENT_BYTES = 16
_TYPES = {name: code for code, (name, _) in enumerate(schema.ELEMENT_TYPES)}
_OLD_CODES = 127


class Edit:
    """The main subgraph of a file, open for changes; `content` is the changed file."""

    def __init__(self, content: bytes) -> None:
        self._schema = _schema()
        self._model = self._schema.ModelT.InitFromPackedBuf(content, 0)
        for buffer in self._model.buffers:
            # Some writers keep constants behind the tables, at an offset; here they come back among them.
            if buffer.offset > 1:
                data = content[buffer.offset : buffer.offset + buffer.size]
                buffer.data, buffer.offset, buffer.size = np.frombuffer(data, np.uint8), 0, 0
        self._graph = self._model.subgraphs[0]
        self._size = len(content)

    @property
    def outputs(self) -> tuple[int, ...]:
        """The tensors the file answers with."""
        return tuple(int(index) for index in self._graph.outputs)

    @outputs.setter
    def outputs(self, tensors: Sequence[int]) -> None:
        self._graph.outputs = np.asarray(tensors, np.int32)

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(int(size) for size in self._graph.tensors[tensor].shape)

    def rename(self, tensor: int, name: str) -> None:
        """Gives a tensor another name."""
        self._graph.tensors[tensor].name = name.encode()

    def add_metadata(self, name: str, data: bytes) -> None:
        """Keeps bytes in the file under a name."""
        entry = self._schema.MetadataT()
        entry.name, entry.buffer = name, self._add_buffer(data)
        self._model.metadata = [*(self._model.metadata or []), entry]

    def add_tensor(
        self,
        name: str,
        shape: Sequence[int],
        element_type: str,
        *,
        quantization: tuple[float, int] | None = None,
        values: npt.NDArray[Any] | None = None,
    ) -> int:
        """A tensor by its position; `quantization` is (scale, zero point), `values` those of a constant."""
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape = name, np.asarray(shape, np.int32)
        tensor.type = _TYPES[element_type]
        tensor.buffer = 0 if values is None else self._add_buffer(values.tobytes())
        if quantization is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            tensor.quantization.scale = [quantization[0]]
            tensor.quantization.zeroPoint = [quantization[1]]
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def add_operator(
        self,
        code: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        *,
        version: int = 1,
        custom_options: bytes | None = None,
    ) -> None:
        """An operator behind all others; one with `custom_options` is a custom operator."""
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._code(code, version, custom_options is not None)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(outputs, np.int32)
        if custom_options is not None:
            operator.customOptions = np.frombuffer(custom_options, np.uint8)
        self._graph.operators.append(operator)

    def content(self) -> bytes:
        """The file as it is now."""
        builder = _aligned_builder(self._size + (1 << 16))
        builder.Finish(self._model.Pack(builder), schema.IDENTIFIER)
        return bytes(builder.Output())

    def _add_buffer(self, data: bytes) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(data, np.uint8)
        self._model.buffers.append(buffer)
        return len(self._model.buffers) - 1

    def _code(self, name: str, version: int, custom: bool) -> int:
        """Place of an operator in the file's table of them, where it is added if need be."""
        number = schema.CUSTOM if custom else schema.OPERATORS.index(name)
        entry = self._schema.OperatorCodeT()
        entry.builtinCode, entry.deprecatedBuiltinCode = number, min(number, _OLD_CODES)
        entry.version, entry.customCode = version, name.encode() if custom else None
        table = self._model.operatorCodes
        for place, known in enumerate(table):
            same = (known.builtinCode, known.version) == (number, version)
            if same and (not custom or known.customCode == entry.customCode):
                return place
        table.append(entry)
        return len(table) - 1


def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise EnvironmentFault(
            "Writing .tflite files needs LiteRT: pip install 'edgezoo[export]'"
        ) from error
    return schema_py_generated


def _aligned_builder(size: int) -> Any:
    from flatbuffers import Builder

    class Aligned(Builder):
        """Begins every vector of bytes where the format wants constants to begin."""

        def StartVector(self, item: int, count: int, alignment: int) -> Any:  # noqa: N802
            wanted = ALIGNMENT_BYTES if item == 1 else alignment
            return super().StartVector(item, count, wanted)

    return Aligned(size)

"""Graphs as strict JSON files."""

from dataclasses import dataclass, fields
from typing import Any

from hw_model import codec
from hw_model.errors import SpecError
from hw_model.graph.ops import OP_TYPES
from hw_model.graph.types import Graph, Op, Shape, Tensor
from hw_model.graph.verify import verify

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _OpFile:
    name: str
    kind: str
    attributes: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _GraphFile:
    version: int
    name: str
    tensors: tuple[Tensor, ...]
    ops: tuple[_OpFile, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def to_json(graph: Graph, *, indent: int | None = None) -> str:
    """Canonical JSON of a graph."""
    ops = tuple(
        _OpFile(
            name=op.name,
            kind=op.kind,
            attributes={field.name: getattr(op.type, field.name) for field in fields(op.type)},
            inputs=op.inputs,
            outputs=op.outputs,
        )
        for op in graph.ops
    )
    file = _GraphFile(
        version=VERSION,
        name=graph.name,
        tensors=graph.tensors,
        ops=ops,
        inputs=graph.inputs,
        outputs=graph.outputs,
    )
    return codec.dumps(file, indent=indent)


def from_json(text: str | bytes) -> Graph:
    """Reads and verifies a graph; raises `SpecError` with the path of what is wrong."""
    file = codec.loads(_GraphFile, text)
    if file.version != VERSION:
        raise SpecError("version", f"must be {VERSION}. Received: {file.version}")
    ops = tuple(_read_op(index, op) for index, op in enumerate(file.ops))
    return verify(Graph(file.tensors, ops, file.inputs, file.outputs, file.name))


def _read_op(index: int, op: _OpFile) -> Op:
    path = f"ops[{index}]"
    if op.kind not in OP_TYPES:
        raise SpecError(
            f"{path}.kind", f"is unknown; known: {', '.join(OP_TYPES)}. Received: {op.kind!r}"
        )
    if not isinstance(op.attributes, dict):
        raise SpecError(f"{path}.attributes", f"must be an object. Received: {op.attributes!r}")
    try:
        kind = codec.from_data(OP_TYPES[op.kind], {codec.TAG: op.kind, **op.attributes})
    except SpecError as error:
        raise error.under(f"{path}.attributes") from None
    return Op(op.name, kind, op.inputs, op.outputs)


def signature(graph: Graph) -> tuple[tuple[str, Shape], ...]:
    """(kind, output shape) of each operation: what a converted file must show."""
    return tuple((op.kind, graph.tensors[op.outputs[0]].shape) for op in graph.ops)

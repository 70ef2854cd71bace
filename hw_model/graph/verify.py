"""The definition of a legal graph, executable: every graph that is built, read or rewritten passes through here."""

from hw_model.errors import SpecError
from hw_model.graph.ops import OP_TYPES
from hw_model.graph.types import DTYPE_BYTES, Graph, Op


def verify(graph: Graph) -> Graph:
    """Returns the graph when it is legal.

    Raises:
        SpecError: the first broken rule, its path naming the operation or tensor.
    """
    _check_tensors(graph)
    ready = set(graph.inputs)
    names: set[str] = set()
    for op in graph.ops:
        if not op.name or op.name in names:
            raise SpecError(_at(op), "needs a name no other operation has")
        names.add(op.name)
        _check_op(graph, op, ready)
        ready.update(op.outputs)
    _check_ends(graph, ready)
    return graph


def _check_tensors(graph: Graph) -> None:
    for index, tensor in enumerate(graph.tensors):
        if tensor.dtype not in DTYPE_BYTES:
            raise SpecError(f"tensors[{index}].dtype", f"is unknown. Received: {tensor.dtype!r}")
        if any(size < 1 for size in tensor.shape):
            raise SpecError(
                f"tensors[{index}].shape", f"must be positive. Received: {tensor.shape}"
            )
    for end, indices in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if not indices:
            raise SpecError(end, "must name at least one tensor")
        for index in indices:
            if not 0 <= index < len(graph.tensors):
                raise SpecError(end, f"name tensors the graph does not have. Received: {index}")


def _check_op(graph: Graph, op: Op, ready: set[int]) -> None:
    if OP_TYPES.get(op.kind) is not type(op.type):
        raise SpecError(_at(op), f"is of unknown type {op.kind!r}")
    if not op.inputs or not op.outputs:
        raise SpecError(_at(op), "must read and write at least one tensor")
    if op.type.ARITY not in (None, len(op.inputs)):
        raise SpecError(_at(op), f"reads {op.type.ARITY} tensors. Received: {len(op.inputs)}")
    for index in op.inputs:
        if index not in ready:
            raise SpecError(_at(op), f"reads tensor {index}, which nothing before it writes")
    for index in op.outputs:
        if not 0 <= index < len(graph.tensors):
            raise SpecError(_at(op), f"writes tensor {index}, which the graph does not have")
        if index in ready:
            raise SpecError(_at(op), f"writes tensor {index}, which already has a value")
    try:
        expected = op.type.infer(graph.input_shapes(op))
    except SpecError as error:
        raise error.under(_at(op)) from None
    if expected != graph.output_shapes(op):
        raise SpecError(
            _at(op), f"writes shape {expected}, but its tensors say {graph.output_shapes(op)}"
        )


def _check_ends(graph: Graph, ready: set[int]) -> None:
    for index in graph.outputs:
        if index not in ready:
            raise SpecError("outputs", f"tensor {index} is never written")
    used = {index for op in graph.ops for index in op.inputs} | set(graph.outputs)
    for op in graph.ops:
        if not used.intersection(op.outputs):
            raise SpecError(_at(op), "has no effect: nothing reads its output")


def _at(op: Op) -> str:
    return f"ops[{op.name}]"

"""One form for all graphs that compute the same, whoever wrote them down, and whether two of them are wired alike."""

import math
from dataclasses import replace

from hw_model.graph import ops
from hw_model.graph.ops import OpType
from hw_model.graph.types import Graph, Op, Shape


def canonical(graph: Graph) -> Graph:
    """The graph in the form a converter would give it, whoever wrote it.

    These are all the liberties the converter takes; nothing else is forgiven:
    - branches that do not depend on each other run in the order of their names (10 before 2);
    - convolution kernels always add a bias, and a dense layer's bias of zeros is dropped;
    - a 1x1 kernel needs no padding, so SAME and VALID are one;
    - reshapes follow each other, come twice or lead back, and dense layers see all axes but the last as one.
    """
    graph = _Plain(graph).graph()
    operations = [graph.ops[position] for position in _order(graph)]
    return replace(
        graph, ops=tuple(replace(op, type=_canonical_type(op.type)) for op in operations)
    )


class _Plain:
    """A graph without detours: views of views are views, equal views are one, dense layers work on rows."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tensors = list(graph.tensors)
        self._ops: list[Op] = []
        # Of tensors that are views: what of, in which shape; and those that some operation reads.
        self._views: dict[int, tuple[int, Shape]] = {}
        self._made: dict[tuple[int, Shape], int] = {}
        for op in graph.ops:
            self._take(op)

    def graph(self) -> Graph:
        """What became of it."""
        return replace(self._graph, tensors=tuple(self._tensors), ops=tuple(self._ops))

    def _take(self, op: Op) -> None:
        output = op.outputs[0]
        if isinstance(op.type, ops.Reshape) and output not in self._graph.outputs:
            base, _ = self._views.get(op.inputs[0], (op.inputs[0], ()))
            self._views[output] = (base, op.type.shape)
            return
        rows = _rows(self._tensors[op.inputs[0]].shape)
        if not isinstance(op.type, ops.Dense) or rows == self._tensors[op.inputs[0]].shape:
            self._add(replace(op, inputs=tuple(self._read(index) for index in op.inputs)))
            return
        base, _ = self._views.get(op.inputs[0], (op.inputs[0], ()))
        made = self._new(output, (rows[0], op.type.units))
        self._add(replace(op, inputs=(self._view(base, rows),), outputs=(made,)))
        shape = self._tensors[output].shape
        if output in self._graph.outputs:
            self._add(Op(f"{op.name}/shape", ops.Reshape(shape=shape), (made,), (output,)))
        else:
            self._views[output] = (made, shape)

    def _read(self, index: int) -> int:
        return self._view(*self._views[index]) if index in self._views else index

    def _view(self, base: int, shape: Shape) -> int:
        if self._tensors[base].shape == shape:
            return base
        if (base, shape) not in self._made:
            made = self._made[base, shape] = self._new(base, shape)
            name = f"{self._tensors[base].name}/view_{made}"
            self._add(Op(name, ops.Reshape(shape=shape), (base,), (made,)))
        return self._made[base, shape]

    def _new(self, like: int, shape: Shape) -> int:
        self._tensors.append(replace(self._tensors[like], shape=shape))
        return len(self._tensors) - 1

    def _add(self, op: Op) -> None:
        self._ops.append(op)


def _rows(shape: Shape) -> Shape:
    """All axes but the last as one."""
    return (math.prod(shape[:-1]), shape[-1])


def _order(graph: Graph) -> list[int]:
    """Operations so that each follows what it reads, first operand first: wiring alone decides."""
    depths: list[int] = []
    for op in graph.ops:
        writers = [graph.producers[index] for index in op.inputs if index in graph.producers]
        depths.append(1 + max((depths[writer] for writer in writers), default=0))
    order: list[int] = []
    placed: set[int] = set()
    waiting = [graph.producers[i] for i in reversed(graph.outputs) if i in graph.producers]
    while waiting:
        position = waiting[-1]
        op = graph.ops[position]
        needs = [graph.producers[index] for index in op.inputs if index in graph.producers]
        if isinstance(op.type, ops.Add | ops.Mul):  # operands may be swapped: the longer way first
            needs.sort(key=lambda writer: -depths[writer])
        open_needs = [writer for writer in needs if writer not in placed]
        if open_needs:
            waiting += reversed(open_needs)
            continue
        waiting.pop()
        if position not in placed:
            placed.add(position)
            order.append(position)
    return order


def _canonical_type(kind: OpType) -> OpType:
    if isinstance(kind, ops.Dense):
        return replace(kind, bias=True)
    if isinstance(kind, ops.Conv2D | ops.DepthwiseConv2D):
        padding = "same" if kind.kernel == (1, 1) else kind.padding
        return replace(kind, bias=True, padding=padding)
    return kind


def wiring(expected: Graph, found: Graph) -> list[str]:
    """Where equal operations read from different places; sums and products may swap their operands."""
    lines = []
    for number, (left, right) in enumerate(zip(expected.ops, found.ops, strict=True)):
        wanted, got = _sources(expected, left), _sources(found, right)
        if isinstance(left.type, ops.Add | ops.Mul):
            wanted, got = sorted(wanted), sorted(got)
        if wanted != got:
            lines += [
                f"- {left.name}: operation {number} reads {', '.join(wanted)}",
                f"+ {right.name}: operation {number} reads {', '.join(got)}",
            ]
    ends = [[_source(graph, index) for index in graph.outputs] for graph in (expected, found)]
    if ends[0] != ends[1]:
        lines += [f"- outputs come from {ends[0]}", f"+ outputs come from {ends[1]}"]
    return lines


def _sources(graph: Graph, op: Op) -> list[str]:
    return [_source(graph, index) for index in op.inputs]


def _source(graph: Graph, tensor: int) -> str:
    """Where a tensor comes from, without names: an input, or which output of which operation."""
    if tensor in graph.inputs:
        return f"input {graph.inputs.index(tensor)}"
    writer = graph.producers[tensor]
    outputs = graph.ops[writer].outputs
    part = f":{outputs.index(tensor)}" if len(outputs) > 1 else ""
    return f"operation {writer}{part}"

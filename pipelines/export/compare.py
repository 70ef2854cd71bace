"""Is the converted file the network that was predicted from the spec? Operations, attributes, shapes and wiring."""

from dataclasses import replace

from hw_model.graph import Graph, Op, diff_graphs, ops
from hw_model.graph.ops import OpType
from hw_model.io import read_tflite
from hw_model.io.tflite_file import Source


def compare_with_file(predicted: Graph, source: Source) -> tuple[str, ...]:
    """Lines saying how a file's graph differs from the predicted inference graph; empty when it does not.

    `-` lines are only predicted, `+` lines only in the file.
    """
    expected, found = canonical(predicted), canonical(read_tflite(source))
    lines = diff_graphs(expected, found)
    return tuple(lines or _wiring(expected, found))


def canonical(graph: Graph) -> Graph:
    """The graph in the form a converter would give it, whoever wrote it.

    These are all the liberties the converter takes; nothing else is forgiven:
    - branches that do not depend on each other run in the order of their names (10 before 2);
    - convolution kernels always add a bias, and a dense layer's bias of zeros is dropped;
    - a 1x1 kernel needs no padding, so SAME and VALID are one;
    - a map of one pixel is added as a vector: reshaped there and back.
    """
    graph = _without_detours(graph)
    operations = [graph.ops[position] for position in _order(graph)]
    return replace(
        graph, ops=tuple(replace(op, type=_canonical_type(op.type)) for op in operations)
    )


def _without_detours(graph: Graph) -> Graph:
    """The graph without reshapes whose result has the shape it had before the reshape in front of them."""
    origin: dict[int, int] = {}
    dropped: set[int] = set()
    for position, op in enumerate(graph.ops):
        first = graph.producers.get(op.inputs[0])
        if not isinstance(op.type, ops.Reshape) or first is None:
            continue
        source = graph.ops[first].inputs[0]
        known = (
            isinstance(graph.ops[first].type, ops.Reshape) and op.outputs[0] not in graph.outputs
        )
        if known and graph.tensors[source].shape == op.type.shape:
            origin[op.outputs[0]] = origin.get(source, source)
            dropped.add(position)
            if graph.consumers[op.inputs[0]] == (position,):
                dropped.add(first)
    kept = [op for position, op in enumerate(graph.ops) if position not in dropped]
    return replace(
        graph,
        ops=tuple(
            replace(op, inputs=tuple(origin.get(index, index) for index in op.inputs))
            for op in kept
        ),
    )


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


def _wiring(expected: Graph, found: Graph) -> list[str]:
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

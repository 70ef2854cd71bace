"""What a graph computes, whoever wrote it down: files of other makers and graphs of specs in one form."""

import math
from dataclasses import replace

from hw_model.graph import Graph, Op, Shape, Tensor, canonical, ops, to_inference

#: LiteRT's own operator that makes boxes of a detector's codes and scores.
DETECTIONS = "TFLite_Detection_PostProcess"
_NUMBERS = ("float32", "float16", "int8", "uint8", "int16")
_KERNELS = (ops.Conv2D, ops.DepthwiseConv2D)


def essence(graph: Graph) -> Graph:
    """A graph as executed, `to_inference` of a spec's or as read from a file, in a form that says what it computes.

    Beyond what `canonical` forgives a converter, files of other makers may
    - keep numbers in any type, and change it anywhere;
    - have a ReLU or the zeros around a map as an operation of its own;
    - average a whole map by any window that covers it, or as a mean;
    - see a map of one pixel as a vector: its 1x1 convolution is a dense layer;
    - take the softmax of such a vector before or behind its reshape, and return outputs in another shape;
    - name their inputs in any order.
    """
    found = canonical(_Plain(to_inference(graph)).graph())
    used: list[int] = [index for op in found.ops for index in op.inputs if index in found.inputs]
    return replace(found, inputs=tuple(dict.fromkeys((*used, *found.inputs))))


def without_detections(graph: Graph) -> Graph:
    """The graph of a detector's file that ends where its network does, in front of what makes boxes.

    Box codes first, as they enter the operator; its scores have gone through a sigmoid.
    """
    last = next((op for op in graph.ops if getattr(op.type, "code", "") == DETECTIONS), None)
    if last is None:
        return graph
    ends = []
    for index in last.inputs[:2]:
        while isinstance(
            (writer := graph.ops[graph.producers[index]]).type, ops.Quantize
        ) or writer.type == ops.Activation(function="sigmoid"):
            index = writer.inputs[0]
        ends.append(index)
    return replace(graph, outputs=tuple(ends))


class _Plain:
    """One walk over a graph that rewrites what `essence` lists; tensors keep their places, new ones follow."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._tensors = [
            replace(tensor, dtype="int8") if tensor.dtype in _NUMBERS else tensor
            for tensor in graph.tensors
        ]
        self._ops: list[Op] = []
        # Tensors that hold what another one holds, and what of; the same for padded ones, with their zeros.
        self._same: dict[int, int] = {}
        self._padded: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {}
        # What a reshape reads: outputs are compared in whatever shape.
        self._reshaped: dict[int, int] = {}
        for op in graph.ops:
            self._take(op)

    def graph(self) -> Graph:
        """What became of it."""
        ends = []
        for index in self._graph.outputs:
            end = self._same.get(index, index)
            while end in self._reshaped:
                end = self._reshaped[end]
            ends.append(end)
        return replace(
            self._graph,
            tensors=tuple(self._tensors),
            ops=tuple(self._ops),
            outputs=tuple(ends),
        )

    def _take(self, op: Op) -> None:
        op = replace(op, inputs=tuple(self._same.get(index, index) for index in op.inputs))
        kind, source = op.type, op.inputs[0]
        shape = self._tensors[source].shape
        if isinstance(kind, ops.Quantize) and self._is_number(source, op.outputs[0]):
            self._same[op.outputs[0]] = source
        elif isinstance(kind, ops.Pad) and not any(kind.padding[0] + kind.padding[-1]):
            self._padded[op.outputs[0]] = (source, kind.padding)
            self._ops.append(op)
        elif isinstance(kind, _KERNELS) and source in self._padded:
            self._ops.append(self._without_pad(op))
        elif isinstance(kind, ops.Pool) and _covers(kind, shape):
            self._ops.append(replace(op, type=ops.GlobalPool(keep_dims=True)))
        elif kind == ops.GlobalPool():
            pooled = self._new(source, (shape[0], 1, 1, shape[3]))
            self._ops.append(replace(op, type=ops.GlobalPool(keep_dims=True), outputs=(pooled,)))
            self._reshape(op.name, pooled, op.outputs[0])
        elif isinstance(kind, ops.Conv2D) and _is_dense(kind, shape):
            dense = ops.Dense(units=kind.filters, bias=kind.bias, activation=kind.activation)
            self._on_vector(replace(op, type=dense), kind.filters)
        elif isinstance(kind, ops.Softmax | ops.Activation) and math.prod(shape[:-1]) == 1:
            self._on_vector(op, shape[-1])
        else:
            if isinstance(kind, ops.Reshape):
                self._reshaped[op.outputs[0]] = source
            self._ops.append(op)

    def _is_number(self, *tensors: int) -> bool:
        return all(self._graph.tensors[index].dtype in _NUMBERS for index in tensors)

    def _without_pad(self, op: Op) -> Op:
        """A VALID kernel behind zeros as the SAME one it is, if it is."""
        source, padding = self._padded[op.inputs[0]]
        kind = op.type
        assert isinstance(kind, _KERNELS)
        if kind.padding == "same":
            return op
        extents = self._tensors[source].shape[1:3]
        windows = zip(extents, kind.kernel, kind.stride, kind.dilation, strict=True)
        if padding[1:3] != tuple(_same_padding(*window) for window in windows):
            return op
        return replace(op, type=replace(kind, padding="same"), inputs=(source, *op.inputs[1:]))

    def _on_vector(self, op: Op, width: int) -> None:
        """An operation on one pixel as one on (1, C)."""
        shape, output = self._tensors[op.inputs[0]].shape, op.outputs[0]
        if len(shape) == 2:
            self._ops.append(op)
            return
        flat = self._new(op.inputs[0], (1, shape[-1]))
        made = self._new(output, (1, width))
        self._reshape(f"{op.name}/vector", op.inputs[0], flat)
        self._ops.append(replace(op, inputs=(flat,), outputs=(made,)))
        self._reshape(f"{op.name}/map", made, output)

    def _reshape(self, name: str, source: int, output: int) -> None:
        kind = ops.Reshape(shape=self._tensors[output].shape)
        self._ops.append(Op(f"{name}/reshape", kind, (source,), (output,)))
        self._reshaped[output] = source

    def _new(self, like: int, shape: Shape) -> int:
        tensor: Tensor = self._tensors[like]
        self._tensors.append(replace(tensor, shape=shape))
        return len(self._tensors) - 1


def _covers(kind: ops.Pool, shape: Shape) -> bool:
    """Whether a window averages the whole map."""
    return (
        kind.mode == "average"
        and kind.kernel == shape[1:3]
        and (kind.padding == "valid" or kind.kernel == (1, 1))
    )


def _is_dense(kind: ops.Conv2D, shape: Shape) -> bool:
    """Whether a convolution reads one pixel with one weight for each pair of channels."""
    return shape[:3] == (1, 1, 1) and kind.kernel == (1, 1) and kind.groups == 1


def _same_padding(extent: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros before and behind an axis by TensorFlow's SAME rule."""
    reach = (kernel - 1) * dilation + 1
    total = max((-(-extent // stride) - 1) * stride + reach - extent, 0)
    return total // 2, total - total // 2

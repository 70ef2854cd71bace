"""The inference passes one at a time, as plainly as they can be written: what the single sweep must agree with."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Literal

from hw_model.graph.ops import (
    FUSIBLE,
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Gather,
    GroupConv2D,
    MaskAdder,
    Mul,
    Opaque,
    OpType,
    Pad,
    PositionEmbedding,
    Rescale,
    Reshape,
    Scale,
    ScaleShift,
    Shift,
    Slice,
    Split,
    TiedLogits,
)
from hw_model.graph.types import DType, Graph, Op, Tensor

GroupForm = Literal["split", "native"]
_WEIGHTED = (Conv2D, DepthwiseConv2D, Dense)
_FUSES_ACTIVATION = (*_WEIGHTED, Add, Mul)


class _Rewriter:
    """Copies a graph operation by operation; a replaced tensor is found under its old index."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: list[Tensor] = []
        self.ops: list[Op] = []
        self._new: dict[int, int] = {}
        self.inputs = tuple(self._copy(index) for index in graph.inputs)

    def _copy(self, old: int) -> int:
        self.tensors.append(self.graph.tensors[old])
        self._new[old] = len(self.tensors) - 1
        return self._new[old]

    def emit(self, name: str, kind: OpType, inputs: Iterable[int]) -> tuple[int, ...]:
        """Adds an operation reading new tensors and writing fresh ones."""
        sources = tuple(inputs)
        shapes = kind.infer(tuple(self.tensors[index].shape for index in sources))
        dtype = kind.output_dtype(self.tensors[sources[0]].dtype)
        first = len(self.tensors)
        for part, shape in enumerate(shapes):
            label = name if len(shapes) == 1 else f"{name}:{part}"
            self.tensors.append(Tensor(label, shape, dtype))
        outputs = tuple(range(first, first + len(shapes)))
        self.ops.append(Op(name, kind, sources, outputs))
        return outputs

    def sources(self, op: Op) -> tuple[int, ...]:
        """The new tensors an old operation reads."""
        return tuple(self._new[index] for index in op.inputs)

    def stand_for(self, old: Iterable[int], new: Iterable[int]) -> None:
        """Readers of the old tensors shall read the new ones."""
        self._new.update(zip(old, new, strict=True))

    def finish(self) -> Graph:
        """The rewritten graph."""
        outputs = tuple(self._new[index] for index in self.graph.outputs)
        return Graph(tuple(self.tensors), tuple(self.ops), self.inputs, outputs, self.graph.name)


def _rewrite(graph: Graph, step: Callable[[_Rewriter, Op], bool]) -> Graph:
    """Applies `step` to each operation; where it answers False the operation is copied."""
    rewriter = _Rewriter(graph)
    for op in graph.ops:
        if not step(rewriter, op):
            rewriter.stand_for(op.outputs, rewriter.emit(op.name, op.type, rewriter.sources(op)))
    return rewriter.finish()


def drop_training_ops(graph: Graph) -> Graph:
    """Removes dropout and drop-connect."""

    def step(rewriter: _Rewriter, op: Op) -> bool:
        if not isinstance(op.type, Dropout):
            return False
        rewriter.stand_for(op.outputs, rewriter.sources(op))
        return True

    return _rewrite(graph, step)


def lower_group_convs(graph: Graph, form: GroupForm) -> Graph:
    """Replaces each group convolution by split, convolutions and concat, or by one native grouped convolution."""

    def step(rewriter: _Rewriter, op: Op) -> bool:
        kind = op.type
        if not isinstance(kind, GroupConv2D):
            return False
        (source,) = rewriter.sources(op)
        conv = Conv2D(
            filters=kind.group_size,
            kernel=kind.kernel,
            stride=kind.stride,
            padding=kind.padding,
            bias=True,
            activation=kind.activation,
        )
        if form == "native":
            whole = replace(conv, filters=kind.filters, groups=kind.groups)
            rewriter.stand_for(op.outputs, rewriter.emit(op.name, whole, (source,)))
            return True
        pieces = rewriter.emit(f"{op.name}/split", Split(parts=kind.groups), (source,))
        branches = [
            rewriter.emit(f"{op.name}/conv_{group}", conv, (piece,))[0]
            for group, piece in enumerate(pieces)
        ]
        rewriter.stand_for(op.outputs, rewriter.emit(f"{op.name}/concat", Concat(), branches))
        return True

    return _rewrite(graph, step)


def lower_text_ops(graph: Graph) -> Graph:
    """Replaces what only language networks have by what a converter makes of it."""

    def step(rewriter: _Rewriter, op: Op) -> bool:
        kind, sources = op.type, rewriter.sources(op)
        shape = graph.output_shapes(op)[0]
        chain: list[tuple[str, OpType]]
        if isinstance(kind, Shift):
            steps, (batch, length, width) = abs(kind.steps), shape
            later = kind.steps > 0
            cut = Slice(begin=(0, 0 if later else steps, 0), sizes=(batch, length - steps, width))
            zeros = Pad(padding=((0, 0), (steps, 0) if later else (0, steps), (0, 0)))
            chain = [("/kept", cut), ("/zeros", zeros)]
        elif isinstance(kind, MaskAdder):
            chain = [
                ("/look_up", Embedding(rows=2, width=1)),
                ("/reshape", Reshape(shape=shape)),
            ]
        elif isinstance(kind, PositionEmbedding):
            chain = [("", Scale())]
        elif isinstance(kind, Gather):
            chain = [("", Opaque(code="GATHER", output_shapes=(shape,)))]
        elif isinstance(kind, TiedLogits):
            chain = [("", Dense(units=kind.rows))]
        else:
            return False
        for suffix, each in chain:
            sources = rewriter.emit(op.name + suffix, each, sources)
        rewriter.stand_for(op.outputs, sources)
        return True

    return _rewrite(graph, step)


def fold_batch_norms(graph: Graph) -> Graph:
    """Merges norms and factors into the convolution they follow; those that follow nothing foldable stay scales."""

    unscaled: dict[int, int] = {}  # dense layers read what goes into a scale and shift

    def leaves_its_bias(op: Op) -> bool:
        return any(
            isinstance(graph.ops[reader].type, ScaleShift) and to_dense_only(graph.ops[reader])
            for reader in graph.consumers[op.outputs[0]]
        )

    def to_dense_only(op: Op) -> bool:
        readers = graph.consumers[op.outputs[0]]
        return op.outputs[0] not in graph.outputs and all(
            isinstance(graph.ops[reader].type, Dense) for reader in readers
        )

    def step(rewriter: _Rewriter, op: Op) -> bool:
        if isinstance(op.type, Dense) and op.inputs[0] in unscaled and not leaves_its_bias(op):
            made = rewriter.emit(op.name, op.type, (unscaled[op.inputs[0]],))
            rewriter.stand_for(op.outputs, made)
            return True
        if not isinstance(op.type, BatchNorm | ScaleShift | Rescale):
            return False
        factor = isinstance(op.type, Rescale)
        (source,) = rewriter.sources(op)
        (output,) = op.outputs
        host = _only_producer(graph, rewriter, op, source, _WEIGHTED)
        if host is None and isinstance(op.type, ScaleShift):
            if to_dense_only(op):
                rewriter.stand_for(op.outputs, (source,))
                return True
            scaled = rewriter.emit(f"{op.name}/scale", Scale(shift=False), (source,))
            rewriter.stand_for(op.outputs, rewriter.emit(f"{op.name}/shift", Scale(), scaled))
            unscaled[output] = source
        elif host is None:
            scale = Scale(per_channel=not factor, shift=not factor)
            rewriter.stand_for(op.outputs, rewriter.emit(op.name, scale, (source,)))
        else:
            last = rewriter.ops[host]
            assert isinstance(last.type, _WEIGHTED)
            bias = last.type.bias or not factor
            rewriter.ops[host] = replace(last, type=replace(last.type, bias=bias))
            rewriter.stand_for(op.outputs, (source,))
        return True

    return _rewrite(graph, step)


def fuse_activations(graph: Graph) -> Graph:
    """Lets the producer of a tensor apply the ReLU that is its only reader."""

    def step(rewriter: _Rewriter, op: Op) -> bool:
        if not isinstance(op.type, Activation) or op.type.function not in FUSIBLE:
            return False
        (source,) = rewriter.sources(op)
        host = _only_producer(graph, rewriter, op, source, _FUSES_ACTIVATION)
        if host is None:
            return False
        last = rewriter.ops[host]
        assert isinstance(last.type, _FUSES_ACTIVATION)
        fused: OpType = replace(last.type, activation=op.type.function)
        rewriter.ops[host] = replace(last, type=fused)
        rewriter.stand_for(op.outputs, (source,))
        return True

    return _rewrite(graph, step)


def _only_producer(
    graph: Graph, rewriter: _Rewriter, op: Op, source: int, kinds: tuple[type[OpType], ...]
) -> int | None:
    """Position of the new operation writing `source`, if `op` is its only reader and it can absorb `op`."""
    (old,) = op.inputs
    if len(graph.consumers[old]) != 1 or old in graph.outputs:
        return None
    for position in range(len(rewriter.ops) - 1, -1, -1):
        if source in rewriter.ops[position].outputs:
            kind = rewriter.ops[position].type
            free = getattr(kind, "activation", None) is None
            return position if isinstance(kind, kinds) and free else None
    return None


def retype(graph: Graph, dtype: DType) -> Graph:
    """The same graph computing in `dtype`; integer tensors such as ids stay."""
    tensors = tuple(
        replace(tensor, dtype=dtype) if tensor.dtype.startswith("float") else tensor
        for tensor in graph.tensors
    )
    return replace(graph, tensors=tensors)


def to_inference(graph: Graph, *, group_form: GroupForm = "split", dtype: DType = "int8") -> Graph:
    """The graph a converter is expected to produce and an accelerator to run."""
    graph = drop_training_ops(graph)
    graph = lower_group_convs(graph, group_form)
    graph = lower_text_ops(graph)
    graph = fold_batch_norms(graph)
    graph = fuse_activations(graph)
    return retype(graph, dtype)

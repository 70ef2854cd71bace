"""From the graph as trained to the graph as executed: dropout gone, batch norm folded, ReLU fused, int8.

One sweep over the operations does all of it, because a search runs it for every candidate. Its steps are
also what the cost model reads, which needs types and shapes but no graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
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
    QuantizedArgMax,
    Reduce,
    Rescale,
    Reshape,
    Scale,
    ScaleShift,
    Shift,
    Slice,
    Split,
    TiedLogits,
)
from hw_model.graph.types import DType, Graph, Op, Shape, Tensor

GroupForm = Literal["split", "native"]
_WEIGHTED = (Conv2D, DepthwiseConv2D, Dense)
_FUSES_ACTIVATION = (*_WEIGHTED, Add, Mul)
_LARGEST = Reduce(function="max", axes=(-1,), keep_dims=True)
_SMALLEST = Reduce(function="min", axes=(-1,), keep_dims=True)
_TIMES = Scale(per_channel=False, shift=False)
_BY_CHANNEL = Scale(shift=False)
_MASK_TABLE = Embedding(rows=2, width=1)


@dataclass(slots=True)
class Step:
    """An operation of the inference graph while it is being made; tensors are indices into `Steps.shapes`."""

    name: str
    kind: OpType
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Steps:
    """The operations a graph executes, in order.

    Tensors keep the index they have in the graph; those that lowering adds come after them.
    """

    def __init__(self, graph: Graph, group_form: GroupForm, *, ranged: bool = False) -> None:
        self._ranged = ranged
        self.items: list[Step] = []
        self.shapes: list[Shape] = [tensor.shape for tensor in graph.tensors]
        self._group_form: GroupForm = group_form
        # Where to find the value of each tensor: dropped and fused operations pass their input on.
        self._value = list(range(len(graph.tensors)))
        self._writer: dict[int, Step] = {}
        # Outputs of scales and shifts that something else than a dense layer reads; what goes into them.
        self._kept: set[int] = set()
        self._unscaled: dict[int, int] = {}
        #: Outputs of operations the step before has taken over.
        self.absorbed: set[int] = set()
        # What is read by scales and shifts that are not kept: its layer leaves its bias to later ones as well.
        self._bare: set[int] = set()
        readers, ends = self._skip_dropout(graph)
        for op in graph.ops:
            kind = type(op.type)
            if kind is Dropout:
                self._value[op.outputs[0]] = self._value[op.inputs[0]]
                continue
            if kind in _GUESTS:
                source = self._plain[op.inputs[0]]
                alone = readers[source] == 1 and source not in ends
                if self._absorb(op, alone):
                    continue
            elif kind in _STEPWISE:
                _STEPWISE[kind](self, op)
                continue
            sources = self._sources(op)
            if kind is Dense and sources[0] in self._unscaled and op.outputs[0] not in self._bare:
                sources = (self._unscaled[sources[0]],)
            self._add(op.name, op.type, sources, op.outputs)
        self.inputs = graph.inputs
        self.outputs = tuple([self._value[index] for index in graph.outputs])

    def value(self, index: int) -> int:
        """The tensor that holds what a tensor of the graph held."""
        return self._value[index]

    def _skip_dropout(self, graph: Graph) -> tuple[list[int], set[int]]:
        """How many operations read each tensor, and which ones leave the graph, once dropout is gone."""
        self._plain = plain = list(range(len(graph.tensors)))
        readers = [0] * len(plain)
        scaled: dict[int, int] = {}
        for op in graph.ops:
            if type(op.type) is Dropout:
                plain[op.outputs[0]] = plain[op.inputs[0]]
            else:
                for index in op.inputs:
                    readers[plain[index]] += 1
                    if plain[index] in scaled and type(op.type) is not Dense:
                        self._kept.add(plain[index])
                if type(op.type) is ScaleShift:
                    scaled[op.outputs[0]] = plain[op.inputs[0]]
        ends = {plain[index] for index in graph.outputs}
        self._kept |= ends
        self._bare = {source for output, source in scaled.items() if output not in self._kept}
        return readers, ends

    def _sources(self, op: Op) -> tuple[int, ...]:
        value = self._value
        return tuple([value[index] for index in op.inputs])

    def _add(
        self, name: str, kind: OpType, inputs: tuple[int, ...], outputs: tuple[int, ...]
    ) -> None:
        step = Step(name, kind, inputs, outputs)
        self.items.append(step)
        for index in outputs:
            self._writer[index] = step

    def _absorb(self, op: Op, alone: bool) -> bool:
        """Lets the step before take over a norm, factor or ReLU; those it cannot take but a ReLU become scales."""
        source = self._value[op.inputs[0]]
        host = self._writer.get(source) if alone else None
        merged = None if host is None else _merged(host.kind, op.type)
        if host is not None and merged is not None:
            host.kind = merged
            self._value[op.outputs[0]] = source
            self.absorbed.add(op.outputs[0])
            return True
        if isinstance(op.type, Activation):
            return False
        if isinstance(op.type, ScaleShift):
            self._lower_scale_shift(op, source)
        else:
            kind = _TIMES if isinstance(op.type, Rescale) else Scale()
            self._add(op.name, kind, (source,), op.outputs)
        return True

    def _lower_scale_shift(self, op: Op, source: int) -> None:
        """A product and a sum for all readers but dense layers, which take both over."""
        output = op.outputs[0]
        if output not in self._kept:
            self._value[output] = source
            return
        if not self._ranged:
            self._unscaled[output] = source
        (scaled,) = self._new(self.shapes[output], 1)
        self._add(f"{op.name}/scale", _BY_CHANNEL, (source,), (scaled,))
        self._add(f"{op.name}/shift", Scale(), (scaled,), op.outputs)

    def _lower_groups(self, op: Op) -> None:
        """A group convolution as split, convolutions and concat, or as one native grouped convolution."""
        kind = op.type
        assert isinstance(kind, GroupConv2D)
        source = self._value[op.inputs[0]]
        if self._group_form == "native":
            self._add(op.name, _native(kind), (source,), op.outputs)
            return
        batch, height, width, channels = self.shapes[source]
        *out, _ = self.shapes[op.outputs[0]]
        pieces = self._new((batch, height, width, channels // kind.groups), kind.groups)
        parts = self._new((*out, kind.group_size), kind.groups)
        self._add(f"{op.name}/split", Split(parts=kind.groups), (source,), pieces)
        conv = _branch(kind)
        for group, (piece, part) in enumerate(zip(pieces, parts, strict=True)):
            self._add(f"{op.name}/conv_{group}", conv, (piece,), (part,))
        self._add(f"{op.name}/concat", Concat(), parts, op.outputs)

    def _lower_argmax(self, op: Op) -> None:
        """The maximum, distances to it, indices added, the least of them, and its value as a number again."""
        source = self._value[op.inputs[0]]
        shape, one = self.shapes[source], self.shapes[op.outputs[0]]
        highest, least = self._new(one, 2)
        distance, indexed = self._new(shape, 2)
        self._add(f"{op.name}/max", _LARGEST, (source,), (highest,))
        self._add(f"{op.name}/distance", Add(), (highest, source), (distance,))
        self._add(f"{op.name}/index", Scale(), (distance,), (indexed,))
        self._add(f"{op.name}/min", _SMALLEST, (indexed,), (least,))
        self._add(f"{op.name}/number", _TIMES, (least,), op.outputs)

    def _lower_shift(self, op: Op) -> None:
        """What stays of the sequence, and zeros."""
        kind = op.type
        assert isinstance(kind, Shift)
        source = self._value[op.inputs[0]]
        batch, length, width = self.shapes[source]
        steps = abs(kind.steps)
        (kept,) = self._new((batch, length - steps, width), 1)
        begin = (0, max(0, -kind.steps), 0)
        cut = Slice(begin=begin, sizes=self.shapes[kept])
        self._add(f"{op.name}/kept", cut, (source,), (kept,))
        pair = (steps, 0) if kind.steps > 0 else (0, steps)
        self._add(f"{op.name}/zeros", Pad(padding=((0, 0), pair, (0, 0))), (kept,), op.outputs)

    def _lower_mask(self, op: Op) -> None:
        """Looked up in a table of two rows: arithmetic with a mask of integers would leave floats in the file."""
        source = self._value[op.inputs[0]]
        (adder,) = self._new((*self.shapes[source], 1), 1)
        self._add(f"{op.name}/look_up", _MASK_TABLE, (source,), (adder,))
        flat = Reshape(shape=self.shapes[op.outputs[0]])
        self._add(f"{op.name}/reshape", flat, (adder,), op.outputs)

    def _lower_position(self, op: Op) -> None:
        """A sum with the rows of the positions there are."""
        self._add(op.name, Scale(), self._sources(op), op.outputs)

    def _lower_gather(self, op: Op) -> None:
        """No accelerator's operation."""
        host = Opaque(code="GATHER", output_shapes=(self.shapes[op.outputs[0]],))
        self._add(op.name, host, self._sources(op), op.outputs)

    def _lower_tied(self, op: Op) -> None:
        """A dense layer with a copy of the table."""
        kind = op.type
        assert isinstance(kind, TiedLogits)
        self._add(op.name, Dense(units=kind.rows), self._sources(op), op.outputs)

    def _new(self, shape: Shape, count: int) -> tuple[int, ...]:
        first = len(self.shapes)
        self.shapes.extend([shape] * count)
        return tuple(range(first, first + count))


#: Operations the step before may take over.
_GUESTS: frozenset[type[OpType]] = frozenset({Activation, BatchNorm, Rescale, ScaleShift})
#: Operations that become several, or another.
_STEPWISE: dict[type[OpType], Callable[[Steps, Op], None]] = {
    GroupConv2D: Steps._lower_groups,
    QuantizedArgMax: Steps._lower_argmax,
    Shift: Steps._lower_shift,
    MaskAdder: Steps._lower_mask,
    PositionEmbedding: Steps._lower_position,
    Gather: Steps._lower_gather,
    TiedLogits: Steps._lower_tied,
}


# Equal types are shared, so that a cache keyed by type finds them by identity.
@lru_cache(maxsize=1 << 14)
def _merged(host: OpType, guest: OpType) -> OpType | None:
    """`host` doing the work of `guest` as well, if it can."""
    if getattr(host, "activation", None) is not None:
        return None
    if isinstance(guest, BatchNorm | ScaleShift):
        return replace(host, bias=True) if isinstance(host, _WEIGHTED) else None
    if isinstance(guest, Rescale):
        return host if isinstance(host, _WEIGHTED) else None
    if not isinstance(guest, Activation) or guest.function not in FUSIBLE:
        return None
    return replace(host, activation=guest.function) if isinstance(host, _FUSES_ACTIVATION) else None


@lru_cache(maxsize=1 << 14)
def _branch(kind: GroupConv2D) -> Conv2D:
    return Conv2D(
        filters=kind.group_size,
        kernel=kind.kernel,
        stride=kind.stride,
        padding=kind.padding,
        bias=True,
        activation=kind.activation,
    )


@lru_cache(maxsize=1 << 14)
def _native(kind: GroupConv2D) -> Conv2D:
    return replace(_branch(kind), filters=kind.filters, groups=kind.groups)


def executed_outputs(graph: Graph) -> dict[str, OpType]:
    """What the executed graph keeps as tensors: the operation of `graph` each comes out of, and what computes it.

    A convolution whose batch norm and ReLU merge into it keeps one tensor, which comes out of the ReLU.
    """
    steps = Steps(graph, "native")
    written = {
        steps.value(op.outputs[0]): op.name
        for op in graph.ops
        if op.outputs[0] in steps.absorbed or steps.value(op.outputs[0]) == op.outputs[0]
    }
    return {
        written[index]: step.kind
        for step in steps.items
        for index in step.outputs
        if index in written
    }


def to_inference(
    graph: Graph, *, group_form: GroupForm = "split", dtype: DType = "int8", ranged: bool = False
) -> Graph:
    """The graph a converter is expected to produce and an accelerator to run.

    Dropout disappears; group convolutions take `group_form`; a quantized argmax becomes its steps; a batch
    norm merges into the convolution it follows, or stays as a scale; a ReLU merges into the only operation it
    reads; floats become `dtype`. `ranged` is for networks trained with ranges of their tensors: a dense layer then
    reads a norm's output where others do too, and does not take over the norm.
    """
    steps = Steps(graph, group_form, ranged=ranged)
    tensors: list[Tensor] = []
    place: dict[int, int] = {}
    floats: list[DType] = []  # element types before `dtype` replaces the floats

    def put(index: int, name: str, kind: DType) -> None:
        place[index] = len(tensors)
        floats.append(kind)
        tensors.append(
            Tensor(name, steps.shapes[index], dtype if kind.startswith("float") else kind)
        )

    for index in steps.inputs:
        put(index, graph.tensors[index].name, graph.tensors[index].dtype)
    ops: list[Op] = []
    for step in steps.items:
        inputs = _places(place, step.inputs)
        kind = step.kind.output_dtype(floats[inputs[0]])
        single = len(step.outputs) == 1
        for part, index in enumerate(step.outputs):
            put(index, step.name if single else f"{step.name}:{part}", kind)
        ops.append(Op(step.name, step.kind, inputs, _places(place, step.outputs)))
    ends = _places(place, steps.outputs)
    return Graph(tuple(tensors), tuple(ops), _places(place, steps.inputs), ends, graph.name)


def _places(place: dict[int, int], indices: Sequence[int]) -> tuple[int, ...]:
    return tuple([place[index] for index in indices])

"""What a learned cost model reads of a network: one row of numbers for each operation that takes time, in order.

Rows come from the counters all evaluators share. Beside its own work an operation sees what surrounds it:
activations alive while it runs, parameter memory left, and the operations before and after it. The last row
stands for what belongs to no operation: instructions, and transfers at both ends.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hw_model.cost.analytical import OpCost, as_run, ceiling_cycles, model_terms, op_cost
from hw_model.cost.host import NOTHING, Spared, spared_by
from hw_model.cost.placement import Layer, Placement
from hw_model.cost.report import ModelTerms
from hw_model.cost.rows import executed
from hw_model.cost.work import Work, layer_of, work_of
from hw_model.graph import Graph, ops
from hw_model.graph.types import Shape
from hw_model.targets.target import Target

#: Raised whenever a column comes to mean something else: models trained before then are refused.
FEATURES_VERSION = 2
Floats = NDArray[np.float64]

#: Operations that behave alike; those in no group have a column of zeros.
_GROUPS: tuple[tuple[type[ops.OpType], ...], ...] = (
    (ops.DepthwiseConv2D,),
    (ops.Dense, ops.MatMul),
    (ops.Concat, ops.Pad, ops.Slice, ops.Transpose),
    (ops.Pool, ops.GlobalPool, ops.Reduce),
    (ops.Add, ops.Mul),
    (ops.Resize,),
)
#: These read all of an input before the first row of their output is known.
_WHOLE = (ops.MatMul, ops.Transpose)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One operation by itself."""

    kind: ops.OpType
    work: Work
    cost: OpCost
    own: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What the network reads of one inference.

    `x` is (operations + 1, features). `base` is (operations + 1, 3): microseconds on the chip, microseconds of
    the link, and picojoules as the analytical evaluator counts them, each of which the network scales.
    """

    run: Graph
    #: Of every operation of `run`, views included.
    parts: tuple[Part, ...]
    #: Which of them the rows of `x` are.
    rows: tuple[int, ...]
    streamed: tuple[bool, ...]
    #: By place in `run`: what operations on the host spare each other, taken off their `base`.
    spared: Mapping[int, Spared]
    terms: ModelTerms
    x: Floats
    base: Floats


def sizes_of(inputs: Inputs) -> Floats:
    """How large each operation that has a row is, whatever a target makes of it: (operations, columns)."""
    return inputs.x[:-1, _SIZES]


class Reader:
    """Reads graphs for one target; operations met before are remembered."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self._parts: dict[tuple[ops.OpType, tuple[Shape, ...]], Part] = {}

    def read(self, graph: Graph) -> Inputs:
        """The rows of a graph as trained, or as it is when it is quantized already."""
        target = self.target
        run = executed(graph, target)
        parts = tuple([self._part(as_run(run, op), run.input_shapes(op)) for op in run.ops])
        rows = tuple([index for index, part in enumerate(parts) if not part.work.free])
        streamed, free_bytes = _streamed(parts, target)
        terms = model_terms(target, run, sum(part.cost.instruction_bytes for part in parts))
        needs, ends = _flow(run, parts)
        chosen = [parts[index] for index in rows]
        flags = np.array([streamed[index] for index in rows] + [False], dtype=np.float64)
        spared = spared_by(run, {place: part.work for place, part in enumerate(parts)})
        base = _base(chosen, flags, terms)
        for row, place in enumerate(rows):
            less = spared.get(place, NOTHING)
            base[row] -= less.us(target), 0.0, less.pj(target)
        own = np.array([part.own for part in chosen] + [_terms_row(terms, chosen)])
        context = _context(
            chosen, flags, base, target, needs=np.array([needs[i] for i in rows] + [0.0]),
            ends=np.array([ends[i] for i in rows] + [(0.0, 0.0)]), free_bytes=free_bytes,
        )  # fmt: skip
        return Inputs(
            run=run,
            parts=parts,
            rows=rows,
            streamed=streamed,
            spared=spared,
            terms=terms,
            x=np.concatenate([own, context, _around(base, context)], axis=1),
            base=base,
        )

    def _part(self, kind: ops.OpType, inputs: tuple[Shape, ...]) -> Part:
        known = self._parts.get((kind, inputs))
        if known is None:
            if len(self._parts) >= 1 << 15:
                self._parts.clear()
            work = work_of(self.target, kind, inputs)
            cost = op_cost(self.target, kind, work)
            own = _own(kind, inputs, work, cost)
            known = self._parts[kind, inputs] = Part(kind=kind, work=work, cost=cost, own=own)
        return known


def _streamed(parts: Sequence[Part], target: Target) -> tuple[tuple[bool, ...], int]:
    """Whose parameters cross the link each time, whole layers first come, and the memory that is left."""
    room, found = target.memory.parameter_bytes, []
    for part in parts:
        size = part.work.parameter_bytes
        found.append(size > room)
        room -= 0 if found[-1] else size
    return tuple(found), room


def _flow(run: Graph, parts: Sequence[Part]) -> tuple[list[float], list[tuple[float, float]]]:
    """Bytes alive while each operation runs, and whether it reads an input or writes an output of the network."""
    roots = list(range(len(run.tensors)))
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    inputs, ends = set(run.inputs), []
    for position, (op, part) in enumerate(zip(run.ops, parts, strict=True)):
        if part.work.free:
            for index in op.outputs:
                roots[index] = roots[op.inputs[0]]
        for index in (*op.inputs, *op.outputs):
            first.setdefault(roots[index], position)
            last[roots[index]] = position
    outputs = {roots[index] for index in run.outputs}
    for op in run.ops:
        reads = any(roots[index] in inputs for index in op.inputs)
        ends.append((float(reads), float(any(roots[index] in outputs for index in op.outputs))))
    change = np.zeros(len(run.ops) + 1)
    for root, position in first.items():
        change[position] += run.tensors[root].size_bytes
        change[last[root] + 1] -= run.tensors[root].size_bytes
    return change.cumsum()[:-1].tolist(), ends


def _base(chosen: Sequence[Part], streamed: Floats, terms: ModelTerms) -> Floats:
    """Microseconds on the chip and of the link, and picojoules."""
    costs = [part.cost for part in chosen]
    table = np.array(
        [
            (cost.chip_us + cost.overhead_us, cost.stream_us, cost.pj, cost.stream_pj)
            for cost in costs
        ]
        + [(terms.instruction_us, terms.input_us + terms.output_us, 0.0, 0.0)]
    )
    link = np.append(streamed[:-1], 1.0)
    return np.stack([table[:, 0], table[:, 1] * link, table[:, 2] + table[:, 3] * link], axis=1)


def _log(value: float) -> float:
    return math.log2(1.0 + value)


_OWN = 36 + len(_GROUPS)
#: Columns of `_own`: multiply-adds, bytes, passes, whether it is on the host, and the shape of a layer.
_SIZES = [*range(5, 10), 14, *range(18, 25)]


def _own(kind: ops.OpType, inputs: tuple[Shape, ...], work: Work, cost: OpCost) -> Floats:
    """What an operation is by itself, mostly in powers of two."""
    output = kind.infer(inputs)[0]
    layer = None if work.on_host else layer_of(kind, inputs, output)
    values = [
        *map(_log, ceiling_cycles(work.ceilings)),
        _log(work.macs),
        _log(work.input_bytes),
        _log(work.output_bytes),
        _log(work.parameter_bytes),
        _log(work.passes),
        _log(cost.chip_us * 16),
        _log(cost.overhead_us * 16),
        _log(cost.stream_us * 16),
        _log(cost.pj),
        float(work.on_host),
        float(isinstance(kind, _WHOLE)),
        float(layer is not None),
        float(layer is not None and layer.kernel == (1, 1)),
        *_layer_columns(layer, work.placement),
        *(float(isinstance(kind, group)) for group in _GROUPS),
    ]
    assert len(values) == _OWN
    return np.array(values)


def _layer_columns(layer: Layer | None, spot: Placement | None) -> list[float]:
    if layer is None or spot is None:
        return [0.0] * 18
    rows = -(-layer.rows // spot.row_splits)
    columns = -(-layer.columns // spot.column_splits)
    blocks = -(-spot.lane_sets // spot.channel_splits)
    return [
        _log(layer.rows),
        _log(layer.columns),
        _log(layer.fan_in),
        _log(layer.fan_out),
        _log(layer.groups),
        float(layer.kernel[0]),
        float(layer.step),
        _log(spot.row_splits),
        _log(spot.column_splits),
        _log(spot.channel_splits),
        _log(blocks),
        _log(rows * columns),
        spot.lane_fill,
        spot.dot_fill,
        # What a row costs beyond its positions, and what of the split does nothing.
        _log(layer.repeats * rows * blocks * spot.refill_cycles),
        layer.rows / (rows * spot.row_splits),
        layer.columns / (columns * spot.column_splits),
        spot.lane_sets / (blocks * spot.channel_splits),
    ]


def _terms_row(terms: ModelTerms, chosen: Sequence[Part]) -> Floats:
    """The row that is no operation, in the columns where operations have their bytes."""
    row = np.zeros(_OWN)
    row[6:9] = _log(terms.input_bytes), _log(terms.output_bytes), _log(terms.instruction_bytes)
    row[10:13] = (
        _log(terms.input_us * 16),
        _log(terms.output_us * 16),
        _log(terms.instruction_us * 16),
    )
    row[9] = _log(len(chosen))
    return row


def _context(
    chosen: Sequence[Part],
    streamed: Floats,
    base: Floats,
    target: Target,
    *,
    needs: Floats,
    ends: Floats,
    free_bytes: int,
) -> Floats:
    """What an operation meets where it stands; the row that is no operation is marked by the last column."""
    memory = target.memory.activation_bytes
    sizes = np.array([part.work.parameter_bytes for part in chosen] + [0.0])
    sliced = (needs > memory) * np.array([not part.work.on_host for part in chosen] + [False])
    fill = np.log2(np.maximum(needs, 1.0) / memory)
    before_us = np.roll(base[:, 0], 1)
    link_us = np.maximum(base[:, 1], 1e-6)
    columns = [
        np.clip(fill, -8, 8),
        sliced.astype(np.float64),
        np.clip(_run_max(fill, sliced), 0, 8),
        streamed,
        # How much of its parameters fits beside those that stay, and can arrive behind the operation before it.
        streamed * np.minimum(1.0, free_bytes / np.maximum(sizes, 1.0)),
        streamed * np.clip(np.log2(np.maximum(before_us, 1e-6) / link_us), -8, 8),
        streamed * np.clip(np.log2(np.maximum(base[:, 0], 1e-6) / link_us), -8, 8),
        ends[:, 0],
        ends[:, 1],
        np.append(np.zeros(len(chosen)), 1.0),
    ]
    return np.stack(columns, axis=1)


def _run_max(fill: Floats, sliced: NDArray[np.bool_]) -> Floats:
    """The largest fill of the sliced operations around each sliced one: they run slab by slab together."""
    found = np.zeros(len(fill))
    start = 0
    for index in range(len(fill) + 1):
        if index == len(fill) or not sliced[index]:
            if index > start:
                found[start:index] = fill[start:index].max()
            start = index + 1
    return found


def _around(base: Floats, context: Floats) -> Floats:
    """The operations before and after, in short; the ends of a network see the row that is no operation."""
    short = np.concatenate([np.log2(1.0 + 16 * base[:, :2]), context[:, [1, 3, 4, 9]]], axis=1)
    return np.concatenate([np.roll(short, shift, axis=0) for shift in (1, 2, -1)], axis=1)

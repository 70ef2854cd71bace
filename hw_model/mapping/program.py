"""The compile step: what runs where, how each operation is cut, what stays on the chip, in which order slabs run.

Operations whose activations fit run one after the other. Neighbours whose activations do not fit run slab by
slab: a slab of rows goes through all of them before the next one starts, so no tensor between them is ever
whole, and each of them reads its parameters again for every slab.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from hw_model.cost.analytical import as_run
from hw_model.cost.rows import executed
from hw_model.errors import SpecError
from hw_model.graph import Graph, Op, ops
from hw_model.graph.types import Shape
from hw_model.mapping.tiling import Tiling, slab_limits
from hw_model.targets.target import Target

#: These read all of an input before the first row of their output is known.
WHOLE = (ops.Transpose, ops.MatMul)
#: Into how many slabs operations at the ends of a network may be cut, to overlap them with the link.
EDGE_SLABS = (8, 4, 2)
#: Numbers of slabs to try once the first one fits.
SLAB_TRIALS = 4
#: (kind, input shapes, slabs, parameters read again for each slab, parameters streamed) -> `tilings`.
Tiler = Callable[[ops.OpType, tuple[Shape, ...], int, bool, bool], tuple[Tiling, ...]]


@dataclass(slots=True, kw_only=True)
class Unit:
    """An operation as it will run."""

    op: Op
    kind: ops.OpType
    inputs: tuple[Shape, ...]
    #: Tensors it reads and writes, views followed to where their bytes lie.
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    tiling: Tiling
    #: How often the array is told to run it: once for each slab when others run in between.
    starts: int = 1
    #: Its parameters cross the link at every pass.
    streamed: bool = False
    #: Its activations do not fit: it is cut into slabs of rows, or, where rows cannot be told apart, spilled over
    #: the link.
    sliced: bool = False
    spilled: bool = False

    def options(self, tiler: Tiler, slabs: int, *, again: bool = True) -> tuple[Tiling, ...]:
        """Ways to run it in that many slabs."""
        return tiler(self.kind, self.inputs, slabs, again, self.streamed)

    @property
    def on_array(self) -> bool:
        """Whether it takes time on the accelerator."""
        return not (self.tiling.work.free or self.tiling.work.on_host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a target runs for one inference."""

    target: Target
    graph: Graph
    units: tuple[Unit, ...]
    #: (unit, slab) in execution order; views are not in it.
    order: tuple[tuple[int, int], ...]
    #: Parameter memory that no cached layer takes: streamed parameters are fetched ahead into it.
    free_bytes: int
    #: Tensor index -> where its bytes lie.
    roots: tuple[int, ...]


def compile_graph(graph: Graph, target: Target, tiler: Tiler) -> Program:
    """The program of a graph.

    Raises:
        SpecError: an operation whose smallest tile does not fit the target's activation memory.
    """
    run = executed(graph, target)
    units, roots = _units(run, tiler)
    free_bytes = _cache_parameters(units, target)
    ends = ({roots[index] for index in run.inputs}, {roots[index] for index in run.outputs})
    for unit, need in zip(units, _live_bytes(run, units, roots), strict=True):
        if unit.on_array:
            _fit(unit, need, target, tiler, ends)
    order: list[tuple[int, int]] = []
    for segment in _segments(units):
        _align([units[index] for index in segment], target, tiler)
        order += _interleaved(segment, units)
    return Program(
        target=target,
        graph=run,
        units=tuple(units),
        order=tuple(order),
        free_bytes=free_bytes,
        roots=tuple(roots),
    )


def _units(run: Graph, tiler: Tiler) -> tuple[list[Unit], list[int]]:
    """Operations in one slab each, and the root of every tensor."""
    roots = list(range(len(run.tensors)))
    units = []
    for op in run.ops:
        kind, inputs = as_run(run, op), run.input_shapes(op)
        tiling = tiler(kind, inputs, 1, True, False)[0]
        reads = tuple([roots[index] for index in op.inputs])
        if tiling.work.free:
            for index in op.outputs:
                roots[index] = reads[0]
        writes = tuple([roots[index] for index in op.outputs])
        units.append(
            Unit(op=op, kind=kind, inputs=inputs, reads=reads, writes=writes, tiling=tiling)
        )
    return units, roots


def _live_bytes(run: Graph, units: Sequence[Unit], roots: Sequence[int]) -> list[int]:
    """Activation bytes that are needed while each operation runs."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for position, unit in enumerate(units):
        for root in (*unit.reads, *unit.writes):
            first.setdefault(root, position)
            last[root] = position
    change = [0] * (len(units) + 1)
    for root, position in first.items():
        change[position] += run.tensors[root].size_bytes
        change[last[root] + 1] -= run.tensors[root].size_bytes
    return list(itertools.accumulate(change))[:-1]


def _fit(
    unit: Unit, need: int, target: Target, tiler: Tiler, ends: tuple[set[int], set[int]]
) -> None:
    """Cuts an operation into as few slabs as the memory allows, or into more where that is faster."""
    memory, work = target.memory.activation_bytes, unit.tiling.work
    whole = None
    if need <= memory:
        room = memory - need + work.input_bytes + work.output_bytes
        options = unit.options(tiler, 1)
        whole = _first(options, room)
        if whole is options[0]:
            at_end = not ends[0].isdisjoint(unit.reads) or not ends[1].isdisjoint(unit.writes)
            unit.tiling = _at_end(unit, whole, room, target, tiler) if at_end else whole
            return
    sliced = _in_slabs(unit, need, target, tiler)
    best = min((each for each in (whole, *sliced) if each), key=lambda each: each.cycles)
    unit.tiling = best
    unit.spilled = need > memory and isinstance(unit.kind, WHOLE)
    unit.sliced = best is not whole and not unit.spilled


def _in_slabs(unit: Unit, need: int, target: Target, tiler: Tiler) -> list[Tiling]:
    """Tilings in the smallest number of slabs that fits, and in more until the fastest split fits as well."""
    memory, (rows, most) = target.memory.activation_bytes, slab_limits(unit.kind, unit.inputs)
    slabs = min(rows, max(2, -(-2 * need // memory)))
    found: list[Tiling] = []
    while True:
        options = unit.options(tiler, slabs)
        fits = _first(options, memory)
        found += [fits] if fits else []
        if fits is options[0] or len(found) == SLAB_TRIALS:
            return found
        smallest = options[-1].tile_bytes
        if slabs >= most:
            # The finest cut may do without second buffers: nothing overlaps with it then.
            if not found and smallest // 2 <= memory:
                found = [replace(options[-1], tile_bytes=smallest // 2)]
            if found:
                return found
            raise SpecError(
                f"ops[{unit.op.name}]",
                f"needs {smallest:,} bytes of activation memory for its smallest tiles; "
                f"{target.name} has {memory:,} (memory.activation_bytes)",
            )
        more = slabs + 1 if found else max(slabs + 1, slabs * smallest // memory)
        # A row is cut only when single rows do not fit; then all rows are cut alike.
        slabs = min(rows, more) if slabs < rows else min(most, -(-more // rows) * rows)


def _first(options: Sequence[Tiling], room: int) -> Tiling | None:
    """The fastest tiling that fits."""
    return next((each for each in options if each.tile_bytes <= room), None)


def _at_end(unit: Unit, whole: Tiling, room: int, target: Target, tiler: Tiler) -> Tiling:
    """More slabs for an operation beside the link, if cutting costs next to nothing: the two then overlap."""
    # Several lane sets after one another have to be read again for each slab, which streamed ones must not.
    again = whole.blocks > 1
    if isinstance(unit.kind, WHOLE) or (again and unit.streamed):
        return whole
    rows, _ = slab_limits(unit.kind, unit.inputs)
    for slabs in EDGE_SLABS:
        if slabs > rows:
            continue
        found = _first(unit.options(tiler, slabs, again=again), room)
        allowed = 1.02 * whole.cycles + slabs * (target.array.drain_cycles + 1)
        if (
            found
            and found.slabs == slabs
            and (again or found.blocks == 1)
            and found.cycles <= allowed
        ):
            return found
    return whole


def _segments(units: Sequence[Unit]) -> Iterator[list[int]]:
    """Indices of operations that run slab by slab together, and of all others alone; views are skipped."""
    together: list[int] = []
    for index, unit in enumerate(units):
        if unit.tiling.work.free:
            continue
        if together and not (unit.sliced and units[together[-1]].sliced):
            yield together
            together = []
        together.append(index)
    if together:
        yield together


def _align(units: Sequence[Unit], target: Target, tiler: Tiler) -> None:
    """Cuts operations that run together into the same number of slabs, as far as they have the rows."""
    if not units[0].sliced:
        return
    slabs = max(unit.tiling.slabs for unit in units)
    # Alone, and with all of its parameters in the cores at once, an operation need not read them again.
    again = len(units) > 1 or units[0].tiling.blocks > 1
    for unit in units:
        rows, _ = slab_limits(unit.kind, unit.inputs)
        wanted = max(unit.tiling.slabs, min(slabs, rows))
        found = _first(unit.options(tiler, wanted, again=again), target.memory.activation_bytes)
        unit.tiling = found or unit.tiling
        unit.starts = unit.tiling.slabs if len(units) > 1 else 1


def _interleaved(segment: Sequence[int], units: Sequence[Unit]) -> Iterator[tuple[int, int]]:
    """(unit, slab) such that no slab runs before that share of its inputs is there."""
    steps = max(units[index].tiling.slabs for index in segment)
    done = dict.fromkeys(segment, 0)
    #: Tensor -> share of it that is there; what comes from outside is there as a whole.
    there = dict.fromkeys((root for index in segment for root in units[index].writes), 0.0)
    for step in range(1, steps + 1):
        for index in segment:
            unit = units[index]
            slabs = unit.tiling.slabs
            inside = [there[root] for root in unit.reads if root in there]
            # The first operations set the pace; rounding must not hold back a share that is complete.
            ready = -(-slabs * step // steps) if not inside else int(slabs * min(inside) + 1e-9)
            while done[index] < ready:
                yield index, done[index]
                done[index] += 1
            there.update(dict.fromkeys(unit.writes, done[index] / slabs))


def _cache_parameters(units: Sequence[Unit], target: Target) -> int:
    """Keeps whole layers, first come; returns what is left of the memory."""
    room = target.memory.parameter_bytes
    for unit in units:
        size = unit.tiling.work.parameter_bytes
        unit.streamed = size > room
        room -= 0 if unit.streamed else size
    return room

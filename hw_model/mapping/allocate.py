"""Where the activations of a network lie on the chip: lifetimes, offsets, and what does not fit."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from hw_model.cost.analytical import as_run
from hw_model.cost.rows import executed
from hw_model.cost.work import work_of
from hw_model.graph import Graph, Tensor, ops
from hw_model.graph.ops import OpType, Pair
from hw_model.graph.types import DTYPE_BYTES
from hw_model.mapping.layout import Block, Layout, lay_out, live_bytes, profile
from hw_model.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Buffer:
    """A tensor and all of its views: the bytes they share, and from which operation to which they are needed."""

    name: str
    #: What it takes on all processing elements together, halos included.
    size_bytes: int
    #: First and last operation that writes or reads it, by position in `Allocation.operations`.
    start: int
    end: int
    #: Where it lies; None for one that does not stay on the chip.
    offset_bytes: int | None
    #: What crosses the link when it does not stay: it is written once, and read by each operation that needs it.
    spill_bytes: int

    @property
    def spilled(self) -> bool:
        """Whether it does not stay on the chip."""
        return self.offset_bytes is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The activation memory of a target during one inference of a network."""

    graph_name: str
    target_name: str
    capacity_bytes: int
    operations: tuple[str, ...]
    buffers: tuple[Buffer, ...]
    #: The highest byte in use.
    peak_bytes: int
    #: The most bytes needed at once by what stays on the chip: no layout has a lower peak.
    bound_bytes: int
    #: The same if everything stayed.
    needed_bytes: int
    #: No layout has a lower peak, by the bound or by a search that came to its end.
    proven: bool
    #: Partial layouts that search looked at.
    nodes: int

    @property
    def gap_bytes(self) -> int:
        """Bytes that the layout wastes, at most."""
        return self.peak_bytes - self.bound_bytes

    @property
    def spilled(self) -> tuple[Buffer, ...]:
        """What does not stay on the chip, in execution order."""
        return tuple(buffer for buffer in self.buffers if buffer.spilled)

    @property
    def spilled_bytes(self) -> int:
        """Bytes that cross the link at every inference because of that."""
        return sum(buffer.spill_bytes for buffer in self.spilled)

    def to_dict(self) -> dict[str, Any]:
        """The allocation as JSON-ready values."""
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "buffers"}
        data["gap_bytes"] = self.gap_bytes
        data["spilled_bytes"] = self.spilled_bytes
        data["buffers"] = [
            {f.name: getattr(buffer, f.name) for f in fields(Buffer)} for buffer in self.buffers
        ]
        return data | {"operations": list(self.operations)}


def allocate(graph: Graph, target: Target) -> Allocation:
    """The layout of a network's activations; the same for the same network and target.

    Views share the bytes of what they are views of. What the host keeps to itself is not on the chip. A spilled
    tensor passes through in pieces that are too small to count. Maps are cut into one tile for each processing
    element; a tile also holds what its readers' windows need from its neighbours, as public Coral executables do.
    """
    run = executed(graph, target)
    buffers = live_buffers(run, target)
    keep, layout = _kept(buffers, target.memory.activation_bytes)
    offsets = dict(zip(keep, layout.offsets, strict=True))
    return Allocation(
        graph_name=graph.name,
        target_name=target.name,
        capacity_bytes=target.memory.activation_bytes,
        operations=tuple(op.name for op in run.ops),
        buffers=tuple(
            replace(buffer, offset_bytes=offsets.get(index)) for index, buffer in enumerate(buffers)
        ),
        peak_bytes=layout.height_bytes,
        bound_bytes=layout.bound_bytes,
        needed_bytes=live_bytes(_blocks(buffers)),
        proven=layout.proven,
        nodes=layout.nodes,
    )


@dataclass(slots=True)
class _Life:
    """What is known of a root tensor while the operations are gone through."""

    steps: list[int]
    moved_bytes: int = 0
    halo: Pair = (0, 0)


def live_buffers(run: Graph, target: Target) -> tuple[Buffer, ...]:
    """Lifetimes of everything the accelerator touches, in execution order; none has an offset yet."""
    roots = list(range(len(run.tensors)))
    lives: dict[int, _Life] = {}
    for step, op in enumerate(run.ops):
        work = work_of(target, as_run(run, op), run.input_shapes(op))
        sources = [(roots[index], index) for index in op.inputs]
        if work.free:
            for index in op.outputs:
                roots[index] = sources[0][0]
        ends = [(roots[index], index) for index in op.outputs]
        for root, index in dict.fromkeys(sources + ends):
            life = lives.setdefault(root, _Life([]))
            life.steps.append(step)
            if not (work.free or work.on_host):
                life.moved_bytes += run.tensors[index].size_bytes
        for root, _ in sources:
            rows, columns = _halo(op.type)
            life = lives[root]
            life.halo = max(life.halo[0], rows), max(life.halo[1], columns)
    # An input comes, and an output goes, whether it stays or not: that is no spill.
    edges = [roots[index] for index in (*run.inputs, *run.outputs)]
    return tuple(
        Buffer(
            name=run.tensors[root].name,
            size_bytes=_tiled_bytes(run.tensors[root], life.halo, target),
            start=life.steps[0],
            end=life.steps[-1],
            offset_bytes=None,
            spill_bytes=max(0, life.moved_bytes - edges.count(root) * run.tensors[root].size_bytes),
        )
        for root, life in sorted(lives.items(), key=lambda item: (item[1].steps, item[0]))
        if life.moved_bytes
    )


def _halo(kind: OpType) -> Pair:
    """Rows and columns that the windows of two neighbouring tiles share."""
    if not isinstance(kind, ops.Conv2D | ops.DepthwiseConv2D | ops.Pool):
        return 0, 0
    dilation: Pair = getattr(kind, "dilation", (1, 1))
    rows, columns = (
        max(0, (size - 1) * gap + 1 - step)
        for size, gap, step in zip(kind.kernel, dilation, kind.stride, strict=True)
    )
    return rows, columns


def _tiled_bytes(tensor: Tensor, halo: Pair, target: Target) -> int:
    """Bytes of a map cut over the processing elements, channels in whole words; others are cut without loss."""
    if len(tensor.shape) != 4:
        return tensor.size_bytes
    array, word = target.array, target.energy.narrow_word_bytes
    batch, height, width, channels = tensor.shape
    rows = min(height, -(-height // array.pe_rows) + halo[0])
    columns = min(width, -(-width // array.pe_columns) + halo[1])
    pixel = -(-channels * DTYPE_BYTES[tensor.dtype] // word) * word
    return batch * rows * columns * pixel * array.pe_rows * array.pe_columns


def _blocks(buffers: Iterable[Buffer]) -> list[Block]:
    return [Block(buffer.size_bytes, buffer.start, buffer.end) for buffer in buffers]


def _kept(buffers: Sequence[Buffer], capacity_bytes: int) -> tuple[list[int], Layout]:
    """Indices of the buffers that stay on the chip, and their layout."""
    keep = [index for index, buffer in enumerate(buffers) if buffer.size_bytes <= capacity_bytes]
    while True:
        blocks = _blocks(buffers[index] for index in keep)
        needed = profile(blocks)
        worst = max(range(len(needed)), key=needed.__getitem__, default=0)
        over = max(needed, default=0) - capacity_bytes
        if over <= 0:
            layout = lay_out(blocks)
            over = layout.height_bytes - capacity_bytes
            if over <= 0:
                return keep, layout
            # They would fit, but for the gaps: something goes where the layout sticks out.
            highest = max(
                range(len(blocks)), key=lambda at: layout.offsets[at] + blocks[at].size_bytes
            )
            worst = blocks[highest].start
        keep.remove(_victim(buffers, keep, worst, over))


def _victim(buffers: Sequence[Buffer], keep: Sequence[int], step: int, over_bytes: int) -> int:
    """What to spill of the buffers needed at a step: most relief for the least traffic, then the longest-lived."""

    def price(index: int) -> tuple[float, int, int]:
        buffer = buffers[index]
        relief = min(buffer.size_bytes, over_bytes)
        return buffer.spill_bytes / relief, buffer.start - buffer.end, index

    return min(
        (index for index in keep if buffers[index].start <= step <= buffers[index].end), key=price
    )

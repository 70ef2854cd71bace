"""How one operation is cut: over the cores in space, over slabs of rows in time, so that its tiles fit the memory.

Every count is that of `work_of`; what is added is what cutting costs: rows that neighbours share, row buffers
filled anew, parameters read again for every slab, and results that must be out before the next tile.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from hw_model.cost.placement import Layer, Placement, Split, place, splits
from hw_model.cost.work import (
    CEILINGS,
    Ceilings,
    Work,
    ceilings_of,
    effective_clock_hz,
    layer_of,
    words_of,
    work_of,
)
from hw_model.graph import ops
from hw_model.graph.types import Shape
from hw_model.targets.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """One way to run an operation; `work` is that of all slabs together, the cost of cutting included."""

    work: Work
    slabs: int = 1
    #: Cycles of a slab, and of the last one, which may have fewer rows.
    slab_cycles: int = 0
    last_cycles: int = 0
    #: A core goes through this many lane sets one after the other, at this many positions each.
    blocks: int = 1
    positions: int = 1
    #: Activation memory of the whole chip that its tiles take, second buffers included.
    tile_bytes: int = 0

    @property
    def cycles(self) -> int:
        """Cycles of all slabs."""
        return (self.slabs - 1) * self.slab_cycles + self.last_cycles


class _Map(NamedTuple):
    """The map of an operation on the array before and after it, and the window between them."""

    rows_in: int
    columns_in: int
    channels_in: int
    rows: int
    columns: int
    channels: int
    kernel: tuple[int, int]
    #: The second factor of a matrix product, which is not cut by rows.
    whole_bytes: int

    def halo(self) -> tuple[int, int]:
        """Input rows, and columns, that two neighbouring tiles both read."""
        rows = self.kernel[0] - -(-self.rows_in // self.rows)
        columns = self.kernel[1] - -(-self.columns_in // self.columns)
        return max(0, rows), max(0, columns)

    def read(self, rows: int, columns: int) -> tuple[int, int]:
        """Input rows and columns behind a tile of the output, halo included."""
        halo = self.halo()
        return (
            min(self.rows_in, -(-rows * self.rows_in // self.rows) + halo[0]),
            min(self.columns_in, -(-columns * self.columns_in // self.columns) + halo[1]),
        )


class _Cut(NamedTuple):
    """One split in one number of slabs; ordered by what is minimised."""

    rank: float
    tile_bytes: int
    split: int
    slab: Ceilings
    last: Ceilings
    slabs: int
    exchanged: int
    spot: Placement
    blocks: int
    positions: int


def tilings(
    target: Target,
    kind: ops.OpType,
    inputs: tuple[Shape, ...],
    slabs: int,
    *,
    again: bool = True,
    streamed: bool = False,
) -> tuple[Tiling, ...]:
    """Ways to run an operation in up to `slabs` slabs: the fastest first, each later one smaller in memory.

    More slabs than rows are pieces of rows. `again` says that parameters are read again for each slab because
    other operations run in between. When they are `streamed`, what is left to do once the last of them has
    arrived counts as well.
    """
    work = work_of(target, kind, inputs)
    if work.free or work.on_host:
        return (Tiling(work=work),)
    output = kind.infer(inputs)[0]
    layer = layer_of(kind, inputs, output)
    if layer is None:
        return (_plain(target, work, slabs, math.prod(output)),)
    area = _map(inputs, layer)
    cuts = sorted(
        _cut(target, kind, work, layer, area, index, slabs, again, streamed)
        for index in range(len(splits(target.array.cores)))
    )
    kept: list[_Cut] = []
    for cut in cuts:
        if not kept or cut.tile_bytes < kept[-1].tile_bytes:
            kept.append(cut)
    return tuple(_tiling(target, work, layer, cut, again) for cut in kept)


def slab_limits(kind: ops.OpType, inputs: tuple[Shape, ...]) -> tuple[int, int]:
    """Into how many slabs of whole rows an operation can be cut, and into how many pieces at most."""
    output = kind.infer(inputs)[0]
    layer = layer_of(kind, inputs, output)
    if layer is None:
        return math.prod(output), math.prod(output)
    return layer.rows, layer.rows * layer.columns


def _plain(target: Target, work: Work, slabs: int, elements: int) -> Tiling:
    """An operation without multipliers: its bytes pass once, wherever they are cut."""
    slabs = min(slabs, elements)
    buffers = 2 if slabs > 1 else 1
    total = max(_cycles(work.ceilings), 0)
    each = -(-total // slabs) + target.array.drain_cycles
    return Tiling(
        work=work,
        slabs=slabs,
        slab_cycles=each,
        last_cycles=max(0, total - (slabs - 1) * -(-total // slabs)) + target.array.drain_cycles,
        positions=-(-elements // slabs),
        tile_bytes=buffers * -(-(work.input_bytes + work.output_bytes) // slabs),
    )


def _map(inputs: tuple[Shape, ...], layer: Layer) -> _Map:
    image = len(inputs[0]) == 4 and len(inputs) == 1
    rows_in = math.prod(inputs[0][:2]) if image else math.prod(inputs[0][:-1]) // layer.repeats
    return _Map(
        rows_in=rows_in if layer.columns > 1 or image else layer.rows,
        columns_in=inputs[0][2] if image else 1,
        channels_in=inputs[0][-1] * layer.repeats,
        rows=layer.rows,
        columns=layer.columns,
        channels=layer.groups * layer.fan_out * layer.repeats,
        kernel=layer.kernel,
        whole_bytes=sum(math.prod(shape) for shape in inputs[1:]),
    )


def _cut(
    target: Target,
    kind: ops.OpType,
    work: Work,
    layer: Layer,
    area: _Map,
    index: int,
    slabs: int,
    again: bool,
    streamed: bool,
) -> _Cut:
    array = target.array
    split = splits(array.cores)[index]
    height = -(-layer.rows // slabs)
    if slabs > layer.rows:
        width = -(-layer.columns * layer.rows // slabs)
        slabs = layer.rows * -(-layer.columns // width)
        layer = replace(layer, columns=width)
    else:
        width = layer.columns
        slabs = -(-layer.rows // height)
    spot = place(array, layer, split=split)
    # Channels split over cores mean that each core needs activations that lie on others: all of a slab's.
    shared = -(-work.input_bytes // slabs) if spot.channel_splits > 1 else 0
    stored = layer.repeats * spot.parameter_bytes
    stored = stored if again else -(-stored // slabs)

    def ceilings(rows: int) -> tuple[Ceilings, int]:
        moved = shared or _halo_bytes(area, spot, rows)
        return ceilings_of(array, layer, spot, rows, stored, moved), moved

    last_height = layer.rows - (slabs - 1) * height if width == area.columns else height
    (slab, moved), (last, left) = ceilings(height), ceilings(last_height)
    rank: float = (slabs - 1) * _cycles(slab) + _cycles(last)
    blocks = -(-spot.lane_sets // spot.channel_splits)
    positions = -(-height // split[0]) * -(-width // split[1])
    if streamed:
        rate = target.link.parameter_mb_per_s * 1e6 / effective_clock_hz(target, kind)
        tail = rank / blocks * (1 - 1 / positions)
        rank = max(rank, work.parameter_bytes * (slabs if again else 1) / rate + tail)
    tile = _tile_bytes(area, split, height, width) * array.cores
    return _Cut(
        rank=rank,
        tile_bytes=tile * (2 if slabs > 1 else 1),
        split=index,
        slab=slab,
        last=last,
        slabs=slabs,
        exchanged=(slabs - 1) * moved + left,
        spot=spot,
        blocks=blocks,
        positions=positions,
    )


def _cycles(ceilings: Ceilings) -> int:
    return max(
        ceilings.mac_array,
        ceilings.activation_fetch,
        ceilings.output_drain,
        ceilings.parameter_broadcast,
        ceilings.on_chip_exchange,
    )


def _halo_bytes(area: _Map, spot: Placement, rows: int) -> int:
    """Input bytes of a slab that lie on one core and are needed by its neighbour as well."""
    halo_rows, halo_columns = area.halo()
    row_seams = min(spot.row_splits, rows) - 1
    column_seams = min(spot.column_splits, area.columns) - 1
    rows_in, _ = area.read(rows, area.columns)
    shared = row_seams * halo_rows * area.columns_in + column_seams * halo_columns * rows_in
    return shared * area.channels_in


def _tile_bytes(area: _Map, split: Split, height: int, width: int) -> int:
    """Bytes of the largest tile of a core: input with halo, and output.

    What split channels need from other cores passes by and is not kept.
    """
    rows, columns = -(-height // split[0]), -(-width // split[1])
    rows_in, columns_in = area.read(rows, columns)
    read = rows_in * columns_in * -(-area.channels_in // split[2])
    whole = -(-area.whole_bytes // (split[0] * split[1] * split[2]))
    return read + whole + rows * columns * -(-area.channels // split[2])


def _tiling(target: Target, work: Work, layer: Layer, cut: _Cut, again: bool) -> Tiling:
    """The cut with its totals as `work_of` would state them."""
    spot, slabs = cut.spot, cut.slabs
    passes = slabs if again else 1
    stored = layer.repeats * spot.parameter_bytes
    # As if no row were cut: pieces of a row find in the row buffer what those before them left there.
    whole = place(target.array, layer, split=spot.split)
    read = words_of(target, layer.repeats * whole.fetched_bytes)
    total = {
        name: (slabs - 1) * getattr(cut.slab, name) + getattr(cut.last, name) for name in CEILINGS
    }
    drain = target.array.drain_cycles
    events = replace(
        work.events,
        narrow_mem_word_access=read + words_of(target, work.output_bytes),
        wide_byte_access=stored * passes,
        ring_bus=stored * passes + cut.exchanged,
    )
    return Tiling(
        work=replace(
            work, ceilings=Ceilings(**total), events=events, passes=passes, placement=spot
        ),
        slabs=slabs,
        slab_cycles=_cycles(cut.slab) + drain,
        last_cycles=_cycles(cut.last) + drain,
        blocks=cut.blocks,
        positions=cut.positions,
        tile_bytes=cut.tile_bytes,
    )

"""Where a layer's outputs are computed: rows and columns of the map and lane sets, split over the cores."""

import math
from dataclasses import dataclass
from functools import lru_cache

from hw_model.graph.ops import Pair
from hw_model.targets.target import Array

#: Each output channel has an int32 bias. Source: public descriptions of Coral parameter blocks.
BIAS_BYTES = 4
Split = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A convolution, dense layer or matrix product in the terms of the array.

    `groups` independent parts of `fan_in` inputs and `fan_out` outputs each; a depthwise convolution has
    one of each per group, a full convolution has one group. `step` is the stride along a row.
    """

    rows: int
    fan_in: int
    fan_out: int
    columns: int = 1
    kernel: Pair = (1, 1)
    step: int = 1
    groups: int = 1
    repeats: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A layer under one split; a round fills the lanes of a core once at one position.

    Source for lanes, dot products and the drain floor: the cycle estimates inside executables of the public
    Coral compiler, which equal ceil(H/4) ceil(W/4) max(taps ceil(Cin/4) lane sets, 16).
    """

    row_splits: int
    column_splits: int
    channel_splits: int
    #: Cycles of one round if multiplying, or reading activations, were all there is.
    mac_cycles: int
    fetch_cycles: int
    #: What the first position of a row reads beyond that: the columns later positions find in the row buffer.
    refill_cycles: int
    #: Activation bytes all cores read from their memories.
    fetched_bytes: int
    #: Lanes are filled in sets, one after the other: how many sets all groups and channels make.
    lane_sets: int
    parameter_bytes: int
    #: Shares of the lanes, and of the multipliers in a lane, that have something to do.
    lane_fill: float
    dot_fill: float

    @property
    def split(self) -> Split:
        """Parts of rows, of columns and of lane sets."""
        return self.row_splits, self.column_splits, self.channel_splits


@lru_cache(maxsize=64)
def splits(cores: int) -> tuple[Split, ...]:
    """Every way to write the number of cores as rows x columns x channels, fewest channel splits first."""
    found = [
        (rows, columns, cores // rows // columns)
        for rows in range(1, cores + 1)
        if cores % rows == 0
        for columns in range(1, cores // rows + 1)
        if cores // rows % columns == 0
    ]
    return tuple(sorted(found, key=lambda split: (split[2], abs(split[0] - split[1]))))


def place(
    array: Array, layer: Layer, input_bytes: int = 0, *, split: Split | None = None
) -> Placement:
    """One layer under one split, or the fastest; `input_bytes` pass between cores when channels are split."""
    width = array.macs_per_lane
    together, lane_sets = _lane_sets(array, layer)
    taps = layer.kernel[0] * layer.kernel[1]
    dots = -(-layer.fan_in // width)
    # A window that moves by less than its width has the columns it keeps in the row buffer.
    moved = min(layer.kernel[1], layer.step)
    column_bytes = layer.kernel[0] * -(-together * layer.fan_in // width) * width
    refill_bytes = (layer.kernel[1] - moved) * column_bytes
    fetch_cycles = -(-moved * column_bytes // array.activation_fetch_bytes_per_cycle)
    refill_cycles = -(-refill_bytes // array.activation_fetch_bytes_per_cycle)
    if split is None:
        busy = max(taps * dots, array.drain_cycles)
        exchange = -(-input_bytes // array.exchange_bytes_per_cycle)
        split = _fastest(array, layer, lane_sets, (busy, fetch_cycles, refill_cycles, exchange))
    row_starts = layer.rows * min(split[1], layer.columns)
    read_bytes = layer.rows * layer.columns * moved * column_bytes + row_starts * refill_bytes
    inputs = dots * width if layer.fan_in > 1 else 1
    padded = lane_sets * array.lanes_per_core
    return Placement(
        row_splits=split[0],
        column_splits=split[1],
        channel_splits=split[2],
        mac_cycles=taps * dots,
        fetch_cycles=fetch_cycles,
        refill_cycles=refill_cycles,
        fetched_bytes=lane_sets * read_bytes,
        lane_sets=lane_sets,
        parameter_bytes=padded * (taps * inputs + BIAS_BYTES),
        lane_fill=layer.groups * layer.fan_out / padded,
        dot_fill=layer.fan_in / (dots * width),
    )


def _fastest(
    array: Array, layer: Layer, lane_sets: int, cycles: tuple[int, int, int, int]
) -> Split:
    """The first of the splits that need the fewest cycles, for those of a round and of its parts."""
    busy, fetch, refill, exchange = cycles
    rows, columns, repeats = layer.rows, layer.columns, layer.repeats
    least, found = math.inf, (1, 1, 1)
    for split in splits(array.cores):
        # As in `counts`, written out: a search places thousands of layers.
        starts = repeats * -(-rows // split[0]) * -(-lane_sets // split[2])
        rounds = starts * -(-columns // split[1])
        needed = max(rounds * busy, rounds * fetch + starts * refill)
        if split[2] > 1 and needed < exchange:
            needed = exchange
        if needed < least:
            least, found = needed, split
    return found


def counts(layer: Layer, rows: int, lane_sets: int, split: Split) -> tuple[int, int]:
    """Rounds of the core that has most to do in `rows` output rows, and those of them that begin a row."""
    starts = layer.repeats * -(-rows // split[0]) * -(-lane_sets // split[2])
    return starts * -(-layer.columns // split[1]), starts


def _lane_sets(array: Array, layer: Layer) -> tuple[int, int]:
    """How many groups share the lanes of a core, and how often the lanes are filled for one position."""
    lanes = array.lanes_per_core
    # Small groups share the lanes of a core, as whole groups; then each of them needs its own inputs.
    together = max(1, min(layer.groups, lanes // layer.fan_out))
    return together, -(-layer.groups // together) * -(-layer.fan_out // lanes)

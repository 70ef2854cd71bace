"""Where a layer's outputs are computed: rows and columns of the map and lane sets, split over the cores."""

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
    """The split that needs the fewest rounds; a round fills the lanes of a core once at one position.

    Source for lanes, dot products and the drain floor: the cycle estimates inside executables of the public
    Coral compiler, which equal ceil(H/4) ceil(W/4) max(taps ceil(Cin/4) lane sets, 16).
    """

    row_splits: int
    column_splits: int
    channel_splits: int
    rounds: int
    #: Cycles of one round if multiplying, or reading activations, were all there is.
    mac_cycles: int
    fetch_cycles: int
    #: Activation bytes all cores read from their memories, split effects left aside.
    fetched_bytes: int
    parameter_bytes: int
    #: Shares of the lanes, and of the multipliers in a lane, that have something to do.
    lane_fill: float
    dot_fill: float


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


def place(array: Array, layer: Layer) -> Placement:
    """The best of all splits for one layer."""
    lanes, width = array.lanes_per_core, array.macs_per_lane
    # Small groups share the lanes of a core, as whole groups; then each of them needs its own inputs.
    together = max(1, min(layer.groups, lanes // layer.fan_out))
    lane_sets = -(-layer.groups // together) * -(-layer.fan_out // lanes)
    rounds, split = min(
        (-(-layer.rows // rows) * -(-layer.columns // columns) * -(-lane_sets // channels), index)
        for index, (rows, columns, channels) in enumerate(splits(array.cores))
    )
    row_splits, column_splits, channel_splits = splits(array.cores)[split]
    taps = layer.kernel[0] * layer.kernel[1]
    dots = -(-layer.fan_in // width)
    # A window that moves by less than its width has the columns it keeps in the row buffer.
    fresh = layer.kernel[0] * min(layer.kernel[1], layer.step)
    fetch_bytes = fresh * -(-together * layer.fan_in // width) * width
    inputs = dots * width if layer.fan_in > 1 else 1
    padded = lane_sets * lanes
    return Placement(
        row_splits=row_splits,
        column_splits=column_splits,
        channel_splits=channel_splits,
        rounds=rounds,
        mac_cycles=taps * dots,
        fetch_cycles=-(-fetch_bytes // array.activation_fetch_bytes_per_cycle),
        fetched_bytes=layer.rows * layer.columns * lane_sets * fetch_bytes,
        parameter_bytes=padded * (taps * inputs + BIAS_BYTES),
        lane_fill=layer.groups * layer.fan_out / padded,
        dot_fill=layer.fan_in / (dots * width),
    )

"""Why an operation takes the time it takes, and what a designer could do about it, in one line."""

from collections.abc import Callable

from hw_model.cost.work import Work
from hw_model.graph import ops
from hw_model.targets.target import Target


def why(target: Target, kind: ops.OpType, work: Work, binding: str) -> str:
    """One line for a report's row."""
    return _REASONS[binding](target, kind, work)


def _mac_array(target: Target, kind: ops.OpType, work: Work) -> str:
    spot = work.placement
    assert spot is not None
    array = target.array
    used = _efficiency(target, work)
    if used >= 0.85:
        return "fills the array: only fewer multiply-adds make it faster"
    if min(spot.lane_fill, spot.dot_fill) > 0.9:
        return (
            f"the map does not divide evenly over {array.cores} cores "
            f"({_split(work)}): {used:.0%} of the multipliers have work; a larger map wastes less"
        )
    if spot.lane_fill <= spot.dot_fill:
        return (
            f"fills {spot.lane_fill:.0%} of the lanes, which come in sets of {array.lanes_per_core}"
            f"{_widened(target, kind)}"
        )
    return (
        f"fills {spot.dot_fill:.0%} of each {array.macs_per_lane}-wide dot product: input channels "
        f"come in multiples of {array.macs_per_lane}"
    )


def _widened(target: Target, kind: ops.OpType) -> str:
    """How many output channels the lane sets in use have room for."""
    channels = kind.filters if isinstance(kind, ops.Conv2D) else getattr(kind, "units", 0)
    lanes = target.array.lanes_per_core
    room = -(-int(channels) // lanes) * lanes
    return f": {room} output channels would take no longer" if room else ""


def _activation_fetch(target: Target, kind: ops.OpType, work: Work) -> str:
    if isinstance(kind, ops.DepthwiseConv2D):
        return (
            f"depthwise uses 1 of {target.array.macs_per_lane} multipliers per lane and shares no input "
            "between lanes: bound by activation fetch; fuse it into a full or group convolution"
        )
    if work.placement is not None:
        return (
            "groups are smaller than the lanes, each needs its own inputs: bound by activation fetch; "
            f"use groups of {target.array.lanes_per_core} outputs"
        )
    if isinstance(kind, ops.ArgMax):
        return (
            "compares the channels of a position one after the other, at "
            f"{target.overhead.argmax_ratio:.0%} of a copy's speed: take the argmax of a smaller map and enlarge that"
        )
    if isinstance(kind, ops.Concat):
        return "copies its parts side by side and computes nothing: bound by activation fetch"
    return "reads its inputs and computes next to nothing: bound by activation fetch"


def _output_drain(target: Target, kind: ops.OpType, work: Work) -> str:
    drain = target.array.drain_cycles
    if work.placement is None:
        return "writes more than it computes: bound by output drain"
    return (
        f"needs only {work.placement.mac_cycles} cycles of multiplying per set of lanes but {drain} to "
        f"write the results: bound by output drain; up to {drain * target.array.macs_per_lane} inputs "
        "per output (kernel area x input channels) are free"
    )


def _parameter_broadcast(target: Target, kind: ops.OpType, work: Work) -> str:
    positions = "one position" if isinstance(kind, ops.Dense) else "few positions"
    return (
        f"uses each parameter at {positions} only: bound by the parameter broadcast; "
        "fewer channels or more pixels per parameter help"
    )


def _exchange(target: Target, kind: ops.OpType, work: Work) -> str:
    if work.placement is None:
        return "moves every byte between processing elements and computes nothing: lay data out to avoid it"
    return f"channels are split over cores ({_split(work)}) and each needs all inputs: bound by the exchange"


def _parameter_streaming(target: Target, kind: ops.OpType, work: Work) -> str:
    again = f", {work.passes} times as activations exceed their memory" if work.passes > 1 else ""
    return (
        f"its {work.parameter_bytes / 1e3:,.0f} kB of parameters do not fit beside earlier layers and are "
        f"streamed at {target.link.parameter_mb_per_s:,.0f} MB/s each time{again}"
    )


def _activation_spill(target: Target, kind: ops.OpType, work: Work) -> str:
    memory_kb = target.memory.activation_bytes / 1e3
    return (
        f"needs all of its inputs before its first output, and they do not fit the {memory_kb:,.0f} kB for "
        "activations together: its results cross the link and come back; make the map smaller before it"
    )


def _overhead(target: Target, kind: ops.OpType, work: Work) -> str:
    return f"less work than the {target.overhead.op_us:.1f} us it takes to start an operation: merge or drop it"


def _host(target: Target, kind: ops.OpType, work: Work) -> str:
    name = kind.code if isinstance(kind, ops.Opaque) else type(kind).__name__
    return f"{name} does not run on the accelerator: activations go to the host and back; move it to an end"


def _none(target: Target, kind: ops.OpType, work: Work) -> str:
    return "free: its reader addresses the bytes where they lie"


def _split(work: Work) -> str:
    spot = work.placement
    assert spot is not None
    return f"{spot.row_splits} x {spot.column_splits} x {spot.channel_splits}"


def _efficiency(target: Target, work: Work) -> float:
    """Share of the multipliers at work while the array is the limit."""
    return work.macs / (work.ceilings.mac_array * target.array.peak_macs_per_cycle)


_REASONS: dict[str, Callable[[Target, ops.OpType, Work], str]] = {
    "mac_array": _mac_array,
    "activation_fetch": _activation_fetch,
    "output_drain": _output_drain,
    "parameter_broadcast": _parameter_broadcast,
    "on_chip_exchange": _exchange,
    "parameter_streaming": _parameter_streaming,
    "activation_spill": _activation_spill,
    "overhead": _overhead,
    "host": _host,
    "none": _none,
}

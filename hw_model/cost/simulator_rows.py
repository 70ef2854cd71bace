"""Rows of a simulated inference: whose time each stretch of the timeline is, what bounds it, and why.

Time belongs to the operation that makes the inference longer: from the moment everything before it has ended
until it ends, waiting included. Waiting for inputs, sending outputs that nothing hides, instructions and the
call are model terms; so rows and terms add up to the latency.
"""

from dataclasses import replace

from hw_model.cost.energy import event_pj
from hw_model.cost.reasons import why
from hw_model.cost.report import OpRow
from hw_model.cost.work import CEILINGS, COMPONENTS, Work
from hw_model.mapping.program import Program, Unit
from hw_model.mapping.timeline import Spent, Timeline
from hw_model.targets.target import Target


def explain(program: Program, timeline: Timeline) -> tuple[OpRow, ...]:
    """One row for each operation of the program."""
    return tuple(
        _row(program, unit, spent)
        for unit, spent in zip(program.units, timeline.spent, strict=True)
    )


def _row(program: Program, unit: Unit, spent: Spent) -> OpRow:
    target, work = program.target, unit.tiling.work
    events = replace(
        work.events,
        input_bus_transfer=spent.crossed_bytes,
        wide_data_transfer=work.events.wide_data_transfer + spent.streamed_bytes,
    )
    cycles = round(spent.total_us * target.array.clock_mhz)
    peak = cycles * target.array.peak_macs_per_cycle
    binding = _binding(target, work, spent)
    return OpRow(
        name=unit.op.name,
        kind=unit.op.kind,
        input_shapes=unit.inputs,
        output_shapes=program.graph.output_shapes(unit.op),
        macs=work.macs,
        cycles=cycles,
        time_us=spent.total_us,
        binding=binding,
        utilization=min(1.0, work.macs / peak) if peak else 0.0,
        bytes_by_level={
            "activations_in": work.input_bytes,
            "activations_out": work.output_bytes,
            "parameter_memory": work.events.wide_byte_access,
            "ring": work.events.ring_bus,
            "link": spent.streamed_bytes + spent.crossed_bytes,
        },
        pj_by_component=dict(zip(COMPONENTS, event_pj(target, events), strict=True)),
        why=_why(program, unit, spent, binding),
    )


def _binding(target: Target, work: Work, spent: Spent) -> str:
    """What the time is spent on."""
    if work.on_host:
        return "host"
    if work.free:
        return "none"
    if spent.spill_us > spent.total_us / 2:
        return "activation_spill"
    arriving_bytes = spent.streamed_bytes - spent.ahead_bytes
    stream_us = arriving_bytes / target.link.parameter_mb_per_s
    if spent.start_us > max(spent.busy_us, stream_us):
        return "overhead"
    if stream_us > spent.busy_us:
        return "parameter_streaming"
    return max(CEILINGS, key=lambda name: int(getattr(work.ceilings, name)))


def _why(program: Program, unit: Unit, spent: Spent, binding: str) -> str:
    """The reason, and what tiling and time have to do with it."""
    target, work = program.target, unit.tiling.work
    parts = [why(target, unit.kind, work, binding)]
    if binding == "on_chip_exchange" and work.placement and work.placement.channel_splits == 1:
        parts = ["needs rows and columns that lie on neighbouring cores: bound by the exchange"]
    if binding == "parameter_streaming":
        ahead = spent.ahead_bytes / spent.streamed_bytes
        missing = work.parameter_bytes - program.free_bytes
        parts.append(
            f"{ahead:.0%} of them arrive behind other work; with {missing / 1e3:,.0f} kB less before it they would stay"
        )
    if unit.sliced:
        parts.append(
            f"runs in {unit.tiling.slabs} slabs of rows, as activations exceed "
            f"{target.memory.activation_bytes / 1e3:,.0f} kB; a smaller map or fewer channels need fewer"
        )
    return "; ".join(parts)

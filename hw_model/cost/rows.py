"""A report's rows: what bounds each operation, where its bytes and picojoules go, and the reason in words."""

from dataclasses import replace

from hw_model.cost.analytical import Analytical, OpCost, as_run, is_quantized
from hw_model.cost.energy import event_pj
from hw_model.cost.host import NOTHING, Spared, spared_in
from hw_model.cost.reasons import why
from hw_model.cost.report import OpRow
from hw_model.cost.work import CEILINGS, COMPONENTS, Work, work_of
from hw_model.graph import Graph, Op, to_inference
from hw_model.graph.ops import OpType
from hw_model.targets.target import Target


def executed(graph: Graph, target: Target) -> Graph:
    """The graph the target runs."""
    return graph if is_quantized(graph) else to_inference(graph, group_form=target.group_form)


def explain(evaluator: Analytical, graph: Graph) -> tuple[OpRow, ...]:
    """One row for each operation the target runs; their times add up as the report's do."""
    target = evaluator.target
    run = executed(graph, target)
    kinds = [as_run(run, op) for op in run.ops]
    each = evaluator.spent(zip(kinds, (run.input_shapes(op) for op in run.ops), strict=True))
    costs = list(each)
    spared = spared_in(run, target) if sum(cost.on_host for cost, _ in costs) > 1 else {}
    return tuple(
        _row(target, run, op, kind, cost, streamed, spared.get(place, NOTHING))
        for place, (op, kind, (cost, streamed)) in enumerate(
            zip(run.ops, kinds, costs, strict=True)
        )
    )


def _row(
    target: Target,
    run: Graph,
    op: Op,
    kind: OpType,
    cost: OpCost,
    streamed: bool,
    spared: Spared,
) -> OpRow:
    inputs = run.input_shapes(op)
    work = work_of(target, kind, inputs)
    time_us = max(cost.chip_us, cost.stream_us if streamed else 0.0) + cost.overhead_us
    time_us -= spared.us(target)
    binding = _binding(work, cost, streamed)
    link_bytes = work.parameter_bytes * work.passes if streamed else 0
    events = replace(
        work.events,
        input_bus_transfer=work.events.input_bus_transfer - spared.moved_bytes,
        wide_data_transfer=work.events.wide_data_transfer + link_bytes,
    )
    cycles = round(time_us * target.array.clock_mhz)
    peak = cycles * target.array.peak_macs_per_cycle
    return OpRow(
        name=op.name,
        kind=op.kind,
        input_shapes=inputs,
        output_shapes=run.output_shapes(op),
        macs=work.macs,
        cycles=cycles,
        time_us=time_us,
        binding=binding,
        utilization=work.macs / peak if peak else 0.0,
        bytes_by_level={
            "activations_in": work.input_bytes,
            "activations_out": work.output_bytes,
            "parameter_memory": work.events.wide_byte_access,
            "ring": work.events.ring_bus,
            "link": link_bytes + (events.input_bus_transfer if work.on_host else 0),
        },
        pj_by_component=dict(zip(COMPONENTS, event_pj(target, events), strict=True)),
        why=why(target, kind, work, binding),
    )


def _binding(work: Work, cost: OpCost, streamed: bool) -> str:
    """What the time is spent on."""
    if work.on_host:
        return "host"
    if work.free:
        return "none"
    stream_us = cost.stream_us if streamed else 0.0
    if cost.overhead_us > max(cost.chip_us, stream_us):
        return "overhead"
    if stream_us > cost.chip_us:
        return "parameter_streaming"
    return max(CEILINGS, key=lambda name: int(getattr(work.ceilings, name)))

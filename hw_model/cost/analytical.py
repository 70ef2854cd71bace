"""The analytical evaluator: each operation takes as long as its tightest ceiling, and the network their sum.

An operation is counted once per type, shapes and target, so a search that changes a block pays for that
block. Cost is a function of graph, target and evaluator alone.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from hw_model.cost.energy import event_pj, idle_mj
from hw_model.cost.host import spared_in
from hw_model.cost.report import CostReport, ModelTerms, OpRow
from hw_model.cost.work import Ceilings, Work, effective_clock_hz, work_of
from hw_model.graph.ops import Opaque, OpType
from hw_model.graph.passes import Steps
from hw_model.graph.types import DTYPE_BYTES, Graph, Op, Shape
from hw_model.targets.target import Target

EVALUATOR_ID = "analytical-3"
QUANTIZED = frozenset({"int8", "uint8", "int16"})
FLOATS = frozenset({"float32", "float16"})
#: Operations remembered per target before the memory is emptied; a search meets some thousands.
CACHE_LIMIT = 1 << 17


class OpCost(NamedTuple):
    """One operation on one target, in the form that is summed: times in us, energies in pJ."""

    chip_us: float
    overhead_us: float
    stream_us: float
    parameter_bytes: int
    passes: int
    instruction_bytes: int
    macs: int
    pj: float
    stream_pj: float
    on_host: bool


Call = tuple[OpType, tuple[Shape, ...]]


class Analytical:
    """Costs graphs on one target."""

    evaluator_id = EVALUATOR_ID

    def __init__(self, target: Target) -> None:
        self.target = target
        self.target_id = target.target_id
        self._costs: dict[Call, OpCost] = {}

    def cost(self, kind: OpType, inputs: tuple[Shape, ...]) -> OpCost:
        """The cost of one int8 operation, remembered."""
        known = self._costs.get((kind, inputs))
        if known is None:
            if len(self._costs) >= CACHE_LIMIT:
                self._costs.clear()
            known = self._costs[kind, inputs] = op_cost(
                self.target, kind, work_of(self.target, kind, inputs)
            )
        return known

    def spent(self, run: Iterable[Call]) -> Iterator[tuple[OpCost, bool]]:
        """Cost of each operation by itself, and whether its parameters are streamed: `report` step by step."""
        room = self.target.memory.parameter_bytes
        for call in run:
            cost = self.cost(*call)
            streamed = cost.parameter_bytes > room
            room -= 0 if streamed else cost.parameter_bytes
            yield cost, streamed

    def report(self, graph: Graph, *, source: Any = None) -> CostReport:
        """The cost of a graph as trained, or as it is when it is quantized already.

        `source` is a spec whose `graph()` gives the graph again: a report then keeps that and not the graph.
        """
        target, known = self.target, self._costs
        room = target.memory.parameter_bytes
        # Added exactly, so that nobody sees whether a network was costed whole or part by part.
        us: list[float] = []
        pj: list[float] = []
        macs = stored = streamed = instructions = hosted = 0
        for call in calls(graph, target):
            cost = known.get(call) or self.cost(*call)
            time_us = cost.chip_us
            size = cost.parameter_bytes
            if size:
                stored += size
                # Whole layers, first come: what is left of the memory is not filled with a part of one.
                if size <= room:
                    room -= size
                else:
                    streamed += size * cost.passes
                    pj.append(cost.stream_pj)
                    if cost.stream_us > time_us:
                        time_us = cost.stream_us
            us.append(time_us + cost.overhead_us)
            pj.append(cost.pj)
            macs += cost.macs
            instructions += cost.instruction_bytes
            hosted += cost.on_host
        if hosted > 1:
            from hw_model.cost.rows import executed

            for spared in spared_in(executed(graph, target), target).values():
                us.append(-spared.us(target))
                pj.append(-spared.pj(target))
        terms = model_terms(target, graph, instructions)
        latency_ms = (math.fsum(us) + terms.total_us) / 1e3
        active_mj = (math.fsum(pj) + terms.moved_bytes * target.energy.input_bus_transfer_pj) * 1e-9
        return CostReport(
            graph_name=graph.name,
            target_name=target.name,
            target_id=self.target_id,
            evaluator_id=self.evaluator_id,
            latency_ms=latency_ms,
            active_energy_mj=active_mj,
            energy_mj=active_mj + idle_mj(target, latency_ms),
            macs=macs,
            parameter_bytes=stored,
            streamed_bytes=streamed,
            utilization=macs / (latency_ms * 1e6 * target.peak_gmacs_per_s),
            model_terms=terms,
            declared_error=target.accuracy.analytical_error,
            source=graph if source is None else source,
            target=target,
        )

    def rows(self, graph: Graph) -> tuple[OpRow, ...]:
        """One row for each operation the target runs; their times add up as the report's do."""
        from hw_model.cost.rows import explain

        return explain(self, graph)


def op_cost(target: Target, kind: OpType, work: Work) -> OpCost:
    """Counted work in time and energy."""
    if work.on_host:
        # Activations leave over the slow direction of the link and come back over the fast one.
        crossing_us = work.input_bytes / target.link.output_mb_per_s
        crossing_us += work.output_bytes / target.link.input_mb_per_s
        moved = work.input_bytes + work.output_bytes
        overhead_us = target.host.dispatch_us + moved / target.host.mb_per_s + crossing_us
    else:
        overhead_us = 0.0 if work.free else target.overhead.op_us
    streamed = work.parameter_bytes * work.passes
    instructions = 0 if work.free or work.on_host else target.link.instruction_bytes_per_op
    return OpCost(
        chip_us=max(ceiling_cycles(work.ceilings)) / effective_clock_hz(target, kind) * 1e6,
        overhead_us=overhead_us,
        stream_us=streamed / target.link.parameter_mb_per_s,
        parameter_bytes=work.parameter_bytes,
        passes=work.passes,
        instruction_bytes=instructions * work.passes,
        macs=work.macs,
        pj=sum(event_pj(target, work.events)),
        stream_pj=streamed * target.energy.wide_data_transfer_pj,
        on_host=work.on_host,
    )


def ceiling_cycles(ceilings: Ceilings) -> tuple[int, ...]:
    """Cycles of each ceiling in the order of `CEILINGS`."""
    return (
        ceilings.mac_array,
        ceilings.activation_fetch,
        ceilings.output_drain,
        ceilings.parameter_broadcast,
        ceilings.on_chip_exchange,
    )


def is_quantized(graph: Graph) -> bool:
    """Whether a graph is in integers already, as one read from an int8 file is."""
    return any(tensor.dtype in QUANTIZED for tensor in graph.tensors)


def as_run(graph: Graph, op: Op) -> OpType:
    """The type to cost: an operation that a quantized graph left in floats runs on the host."""
    touched = (*op.inputs, *op.outputs)
    if isinstance(op.type, Opaque):
        return op.type
    if any(graph.tensors[index].dtype in FLOATS for index in touched):
        return Opaque(code=f"float {op.kind}", output_shapes=graph.output_shapes(op))
    return op.type


def calls(graph: Graph, target: Target) -> Iterator[Call]:
    """What the target executes, operation by operation; the graph it would execute need not be built."""
    if is_quantized(graph):
        for op in graph.ops:
            yield as_run(graph, op), graph.input_shapes(op)
        return
    steps = Steps(graph, target.group_form)
    shapes = steps.shapes
    for step in steps.items:
        yield step.kind, tuple([shapes[index] for index in step.inputs])


def model_terms(target: Target, graph: Graph, instruction_bytes: int) -> ModelTerms:
    """What an inference costs beside its operations.

    Instructions of an operation cross the link while those before it run; only the first are waited for.
    """
    link = target.link
    input_bytes = _edge_bytes(graph, graph.inputs)
    output_bytes = _edge_bytes(graph, graph.outputs)
    instruction_bytes += link.instruction_bytes_base
    return ModelTerms(
        input_bytes=input_bytes,
        output_bytes=output_bytes,
        instruction_bytes=instruction_bytes,
        input_us=input_bytes / link.input_mb_per_s,
        output_us=output_bytes / link.output_mb_per_s,
        instruction_us=link.instruction_bytes_base / link.input_mb_per_s,
        fixed_us=target.overhead.inference_us,
    )


def _edge_bytes(graph: Graph, indices: tuple[int, ...]) -> int:
    """Bytes of inputs or outputs once floats are int8."""
    tensors = [graph.tensors[index] for index in indices]
    return sum(
        tensor.size * (1 if tensor.dtype in FLOATS else DTYPE_BYTES[tensor.dtype])
        for tensor in tensors
    )

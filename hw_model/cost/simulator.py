"""The simulator: a graph is compiled into tiles and run event by event; latency is the end of its timeline.

It counts with `work_of` and scales with the target's fitted constants, as the analytical evaluator does. What
it adds is what that leaves out: slabs and halos, parameters fetched ahead, the link shared by all that crosses
it, transfers at both ends hidden behind work.
"""

from typing import Any

from hw_model.cost.energy import event_pj, idle_mj
from hw_model.cost.report import CostReport, ModelTerms, OpRow
from hw_model.graph import Graph
from hw_model.graph.ops import OpType
from hw_model.graph.types import Shape
from hw_model.mapping.program import Program, compile_graph
from hw_model.mapping.schedule import simulate
from hw_model.mapping.tiling import Tiling, tilings
from hw_model.mapping.timeline import Timeline
from hw_model.targets.target import Target

EVALUATOR_ID = "simulator-3"
#: Tilings remembered per target before the memory is emptied.
CACHE_LIMIT = 1 << 14
_Key = tuple[OpType, tuple[Shape, ...], int, bool, bool]


class Simulator:
    """Runs graphs on one target, tile by tile."""

    evaluator_id = EVALUATOR_ID

    def __init__(self, target: Target) -> None:
        self.target = target
        self.target_id = target.target_id
        self._tilings: dict[_Key, tuple[Tiling, ...]] = {}

    def program(self, graph: Graph) -> Program:
        """The graph compiled for the target.

        Raises:
            SpecError: an operation whose smallest tile does not fit the target's activation memory.
        """
        return compile_graph(graph, self.target, self._tiler)

    def timeline(self, graph: Graph) -> tuple[Program, Timeline]:
        """What runs, and when; raises as `program` does."""
        program = self.program(graph)
        return program, simulate(program)

    def report(self, graph: Graph, *, source: Any = None) -> CostReport:
        """The cost of a graph as trained, or as it is when it is quantized already; raises as `program` does.

        `source` is a spec whose `graph()` gives the graph again: a report then keeps that and not the graph.
        """
        target = self.target
        program, timeline = self.timeline(graph)
        works = [unit.tiling.work for unit in program.units]
        terms = model_terms(timeline)
        latency_ms = timeline.end_us / 1e3
        streamed = sum(spent.streamed_bytes for spent in timeline.spent)
        crossed = sum(spent.crossed_bytes for spent in timeline.spent) + terms.moved_bytes
        macs = sum(work.macs for work in works)
        active_pj = sum(sum(event_pj(target, work.events)) for work in works if not work.on_host)
        active_pj += streamed * target.energy.wide_data_transfer_pj
        active_pj += crossed * target.energy.input_bus_transfer_pj
        return CostReport(
            graph_name=graph.name,
            target_name=target.name,
            target_id=self.target_id,
            evaluator_id=self.evaluator_id,
            latency_ms=latency_ms,
            active_energy_mj=active_pj * 1e-9,
            energy_mj=active_pj * 1e-9 + idle_mj(target, latency_ms),
            macs=macs,
            parameter_bytes=sum(work.parameter_bytes for work in works),
            streamed_bytes=streamed,
            utilization=macs / (latency_ms * 1e6 * target.peak_gmacs_per_s),
            model_terms=terms,
            declared_error=target.accuracy.simulator_error,
            source=graph if source is None else source,
            target=target,
        )

    def rows(self, graph: Graph) -> tuple[OpRow, ...]:
        """One row for each operation; their times and the model terms add up to the latency."""
        from hw_model.cost.simulator_rows import explain

        return explain(*self.timeline(graph))

    def _tiler(
        self, kind: OpType, inputs: tuple[Shape, ...], slabs: int, again: bool, streamed: bool
    ) -> tuple[Tiling, ...]:
        """`tilings`, remembered."""
        key = (kind, inputs, slabs, again, streamed)
        known = self._tilings.get(key)
        if known is None:
            if len(self._tilings) >= CACHE_LIMIT:
                self._tilings.clear()
            known = tilings(self.target, kind, inputs, slabs, again=again, streamed=streamed)
            self._tilings[key] = known
        return known


def model_terms(timeline: Timeline) -> ModelTerms:
    """What belongs to no operation: the parts of both ends that nothing hides."""
    return ModelTerms(
        input_bytes=timeline.input_bytes,
        output_bytes=timeline.output_bytes,
        instruction_bytes=timeline.instruction_bytes,
        input_us=timeline.input_us,
        output_us=timeline.output_us,
        instruction_us=timeline.instruction_us,
        fixed_us=timeline.fixed_us,
    )

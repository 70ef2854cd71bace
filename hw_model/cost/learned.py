"""The learned evaluator: the counters' times and energies, each scaled by a small network trained on the simulator.

`edgezoo train-cost-model` trains one for a target. Those of shipped targets come with the package; for any other
the environment variable `EDGEZOO_COST_MODEL` names the file, and it is also preferred for a shipped one.
"""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw_model.cost.caveats import listed
from hw_model.cost.energy import event_pj, idle_mj
from hw_model.cost.features import FEATURES_VERSION, Inputs, Part, Reader, sizes_of
from hw_model.cost.host import NOTHING
from hw_model.cost.learned_file import CostModel, read_cost_model
from hw_model.cost.reasons import why
from hw_model.cost.report import CostReport, ModelTerms, OpRow
from hw_model.cost.simulator import EVALUATOR_ID as SIMULATOR_ID
from hw_model.cost.work import CEILINGS, COMPONENTS
from hw_model.errors import UsageError
from hw_model.graph import Graph
from hw_model.targets.target import Target

FOLDER = Path(__file__).parent / "learned_models"
FILE_VARIABLE = "EDGEZOO_COST_MODEL"
VERSION = 1
#: How far beyond the range of the training a value may lie, as a share of that range.
SLACK = 0.05


def cost_model_path(target: Target) -> Path:
    """The file of a target's cost model.

    Raises:
        UsageError: none is named and none ships for the target.
    """
    if named := os.environ.get(FILE_VARIABLE):
        return Path(named)
    shipped = {path.stem: path for path in FOLDER.glob("*.npz")}
    if target.name not in shipped:
        raise UsageError(
            f"No learned cost model comes with target {target.name}; {_remedy(target)}"
        )
    return shipped[target.name]


def _remedy(target: Target) -> str:
    return f"run edgezoo train-cost-model for {target.name} and name its file in {FILE_VARIABLE}."


class Learned:
    """Costs graphs on one target by a trained network."""

    def __init__(self, target: Target) -> None:
        """Reads the model of the target.

        Raises:
            UsageError: no model for this target, or one trained for other constants or another simulator.
            DataError: the file cannot be read or is damaged.
        """
        path = cost_model_path(target)
        self.target = target
        self.target_id = target.target_id
        self.model = read_cost_model(path)
        self._reader = Reader(target)
        about = self.model.about
        trained = (about.target_id, about.simulator_id, about.features_version)
        wanted = (self.target_id, SIMULATOR_ID, FEATURES_VERSION)
        if trained != wanted:
            raise UsageError(
                f"{path} was trained for target {about.target_name}, id {trained[0]}, {trained[1]}, features "
                f"{trained[2]}. Asked for is {target.name}, id {wanted[0]}, {wanted[1]}, features {wanted[2]}: "
                f"{_remedy(target)}"
            )
        self.evaluator_id = f"learned-{VERSION}.{self.model.model_id}"

    @property
    def declared_error(self) -> float:
        """Held-out error against the simulator on top of the simulator's against devices, as if they never cancel."""
        own = self.model.about.held_out.latency_mape
        return (1 + own) * (1 + self.target.accuracy.simulator_error) - 1

    def report(self, graph: Graph, *, source: Any = None) -> CostReport:
        """The cost of a graph as trained, or as it is when it is quantized already.

        `source` is a spec whose `graph()` gives the graph again: a report then keeps that and not the graph.
        """
        target = self.target
        inputs = self._reader.read(graph)
        costs = predict(self.model, inputs)
        terms = self._terms(inputs, costs)
        parts = inputs.parts
        latency_ms = float(costs[:, :2].sum() + inputs.terms.fixed_us) * 1e-3
        moved_pj = terms.moved_bytes * target.energy.input_bus_transfer_pj
        active_mj = float(costs[:, 2].sum() + moved_pj) * 1e-9
        macs = sum(part.work.macs for part in parts)
        return CostReport(
            graph_name=graph.name,
            target_name=target.name,
            target_id=self.target_id,
            evaluator_id=self.evaluator_id,
            latency_ms=latency_ms,
            active_energy_mj=active_mj,
            energy_mj=active_mj + idle_mj(target, latency_ms),
            macs=macs,
            parameter_bytes=sum(part.work.parameter_bytes for part in parts),
            streamed_bytes=sum(map(_link_bytes, parts, inputs.streamed)),
            utilization=macs / (latency_ms * 1e6 * target.peak_gmacs_per_s),
            model_terms=terms,
            declared_error=self.declared_error,
            source=graph if source is None else source,
            target=target,
        )

    def rows(self, graph: Graph) -> tuple[OpRow, ...]:
        """One row for each operation; their times and the model terms add up to the latency."""
        inputs = self._reader.read(graph)
        # Views have no row: they cost nothing whatever the factors.
        costs = np.zeros((len(inputs.parts), 3))
        costs[list(inputs.rows)] = predict(self.model, inputs)[:-1]
        return tuple(self._row(inputs, index, costs[index]) for index in range(len(inputs.parts)))

    def caveats(self, graph: Graph) -> tuple[str, ...]:
        """A line if the graph has operations of kinds or sizes that the training did not: their cost is a guess."""
        seen = self.model.seen
        if seen is None:
            return ()
        inputs = self._reader.read(graph)
        kinds = [type(inputs.parts[row].kind).__name__ for row in inputs.rows]
        sizes = sizes_of(inputs)[:, : len(seen.low)]
        low, high = (np.array(ends)[: sizes.shape[1]] for ends in (seen.low, seen.high))
        slack = SLACK * (high - low) + 1e-6
        outside = ((sizes < low - slack) | (sizes > high + slack)).any(axis=1)
        new, far = Counter[str](), Counter[str]()
        for kind, beyond in zip(kinds, outside, strict=True):
            if kind not in seen.kinds:
                new[kind] += 1
            elif beyond:
                far[kind] += 1
        parts = [
            f"{listed(names)} of a {what}"
            for names, what in ((new, "kind"), (far, "size"))
            if names
        ]
        if not parts:
            return ()
        return (
            f"The learned model guesses {new.total() + far.total()} of {len(kinds)} operations: "
            f"{', '.join(parts)} its training did not have. The simulator costs them",
        )

    def _terms(self, inputs: Inputs, costs: NDArray[np.float64]) -> ModelTerms:
        """What the last row says: transfers at both ends as far as nothing hides them."""
        terms = inputs.terms
        ends_us = terms.input_us + terms.output_us
        share = costs[-1, 1] / ends_us if ends_us else 0.0
        return replace(
            terms,
            instruction_us=float(costs[-1, 0]),
            input_us=float(terms.input_us * share),
            output_us=float(terms.output_us * share),
        )

    def _row(self, inputs: Inputs, index: int, cost: NDArray[np.float64]) -> OpRow:
        target, op, part = self.target, inputs.run.ops[index], inputs.parts[index]
        work = part.work
        link_bytes = _link_bytes(part, inputs.streamed[index])
        spared = inputs.spared.get(index, NOTHING)
        events = replace(
            work.events,
            input_bus_transfer=work.events.input_bus_transfer - spared.moved_bytes,
            wide_data_transfer=work.events.wide_data_transfer + link_bytes,
        )
        prices = event_pj(target, events)
        scale = float(cost[2]) / (sum(prices) or 1.0)
        time_us = float(cost[0] + cost[1])
        cycles = round(time_us * target.array.clock_mhz)
        peak = cycles * target.array.peak_macs_per_cycle
        binding = _binding(part, cost)
        return OpRow(
            name=op.name,
            kind=op.kind,
            input_shapes=inputs.run.input_shapes(op),
            output_shapes=inputs.run.output_shapes(op),
            macs=work.macs,
            cycles=cycles,
            time_us=time_us,
            binding=binding,
            utilization=min(1.0, work.macs / peak) if peak else 0.0,
            bytes_by_level={
                "activations_in": work.input_bytes,
                "activations_out": work.output_bytes,
                "parameter_memory": work.events.wide_byte_access,
                "ring": work.events.ring_bus,
                "link": link_bytes + (events.input_bus_transfer if work.on_host else 0),
            },
            pj_by_component={name: pj * scale for name, pj in zip(COMPONENTS, prices, strict=True)},
            why=why(target, part.kind, work, binding),
        )


def predict(model: CostModel, inputs: Inputs) -> NDArray[np.float64]:
    """Microseconds on the chip and of the link, and picojoules, of every row."""
    return inputs.base * model.factors(inputs.x)


def _link_bytes(part: Part, streamed: bool) -> int:
    return part.work.parameter_bytes * part.work.passes if streamed else 0


def _binding(part: Part, cost: NDArray[np.float64]) -> str:
    """What the time is spent on."""
    work = part.work
    if work.on_host:
        return "host"
    if work.free:
        return "none"
    if cost[1] > cost[0]:
        return "parameter_streaming"
    if part.cost.overhead_us > part.cost.chip_us:
        return "overhead"
    return max(CEILINGS, key=lambda name: int(getattr(work.ceilings, name)))

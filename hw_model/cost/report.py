"""What an estimate says: latency and energy of one inference, what they are made of, and why."""

from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

from hw_model.cost.energy import ENERGY_COMPONENTS, idle_mj
from hw_model.graph.types import Graph, Shape
from hw_model.targets.target import Energy, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class OpRow:
    """The cost of one operation."""

    name: str
    kind: str
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    macs: int
    cycles: int
    time_us: float
    #: The ceiling that sets the time: one of `CEILINGS`, or `parameter_streaming`, `overhead`, `host`, `none`.
    binding: str
    #: Multiply-adds done, as a share of what all lanes could have done in the time.
    utilization: float
    bytes_by_level: dict[str, int]
    pj_by_component: dict[str, float]
    why: str

    @property
    def energy_pj(self) -> float:
        """Active energy of the operation, all components together."""
        return sum(self.pj_by_component.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTerms:
    """Bytes and time that belong to no single operation."""

    input_bytes: int
    output_bytes: int
    instruction_bytes: int
    input_us: float
    output_us: float
    instruction_us: float
    fixed_us: float

    @property
    def total_us(self) -> float:
        """All of the time."""
        return self.input_us + self.output_us + self.instruction_us + self.fixed_us

    @property
    def moved_bytes(self) -> int:
        """All bytes that cross the edge of the chip, streamed parameters aside."""
        return self.input_bytes + self.output_bytes + self.instruction_bytes


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """Predicted cost of one inference at batch size 1; equal reports come from equal costs."""

    graph_name: str
    target_name: str
    target_id: str
    evaluator_id: str
    latency_ms: float
    #: Energy with the idle power subtracted, as the papers report it, and with everything.
    active_energy_mj: float
    energy_mj: float
    macs: int
    parameter_bytes: int
    #: Parameters that do not fit the chip and cross the link at every inference, repeats included.
    streamed_bytes: int
    utilization: float
    model_terms: ModelTerms
    #: Mean relative latency error against published figures, each left out of the fit in turn.
    declared_error: float
    #: The graph, or a spec whose `graph()` gives it again: reports are kept by the thousand.
    source: Any = field(repr=False, compare=False)
    target: Target = field(repr=False, compare=False)

    @property
    def graph(self) -> Graph:
        """The graph that was costed."""
        return self.source if isinstance(self.source, Graph) else self.source.graph()

    @cached_property
    def rows(self) -> tuple[OpRow, ...]:
        """The cost of each operation in execution order; worked out when first asked for."""
        from hw_model.cost.evaluator import evaluator_for

        name = self.evaluator_id.rpartition("-")[0]
        return evaluator_for(self.target, name).rows(self.graph)

    @property
    def error_words(self) -> str:
        """How far the latency may be off, and whether that was measured."""
        # A learned evaluator is as far off as the simulator it was trained on, and further.
        name = "analytical" if self.evaluator_id.startswith("analytical-") else "simulator"
        stated = {entry.path: entry for entry in self.target.constants}[f"accuracy.{name}_error"]
        if stated.assumption:
            return f"assumed to be off by {self.declared_error:.0%}"
        off = f"off by {self.declared_error:.0%} on average"
        if stated.source.startswith("benchmarks/"):
            return f"{off} on published classification networks"
        return f"{off} ({stated.source})"

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What the figures guess or leave out, one line each; empty for what this project builds.

        The learned evaluator adds what it was not trained on.
        """
        from hw_model.cost.caveats import caveats_of

        found = caveats_of(self.graph)
        if not self.evaluator_id.startswith("learned-"):
            return found
        from hw_model.cost.learned import Learned

        return (*found, *Learned(self.target).caveats(self.graph))

    def slowest(self, n: int = 5) -> tuple[OpRow, ...]:
        """The `n` operations that take most time."""
        return tuple(sorted(self.rows, key=lambda row: -row.time_us)[:n])

    @cached_property
    def energy_by_component_mj(self) -> dict[str, float]:
        """Millijoules of each component, `idle` and the transfers at both ends included."""
        total = dict.fromkeys(ENERGY_COMPONENTS, 0.0)
        total["idle"] = idle_mj(self.target, self.latency_ms)
        for row in self.rows:
            for component, picojoules in row.pj_by_component.items():
                total[component] += picojoules * 1e-9
        moved_pj = self.model_terms.moved_bytes * self.target.energy.input_bus_transfer_pj
        total["input_bus_transfer"] += moved_pj * 1e-9
        return total

    @cached_property
    def active_energy_interval_mj(self) -> tuple[float, float]:
        """Active energy with every price at the low, and at the high end of its range."""
        low, high = (self._priced_mj(end, idle=False) for end in self._ends)
        return low, high

    @cached_property
    def energy_interval_mj(self) -> tuple[float, float]:
        """Energy, idle power included, over the ranges of prices and the declared error of latency."""
        low, high = (self._priced_mj(end, idle=True) for end in self._ends)
        return low, high

    @property
    def _ends(self) -> tuple[tuple[Energy, float], ...]:
        """Prices at the ends of their ranges, and what the latency may be as a share of the predicted one."""
        error = self.declared_error
        return (self.target.energy_low, max(0.0, 1 - error)), (self.target.energy_high, 1 + error)

    def _priced_mj(self, end: tuple[Energy, float], *, idle: bool) -> float:
        prices, time_share = end
        total = 0.0
        for component, millijoules in self.energy_by_component_mj.items():
            if component == "idle":
                total += idle * prices.idle_w * self.latency_ms * time_share
            elif millijoules:
                name = f"{component}_pj"
                share = getattr(prices, name) / getattr(self.target.energy, name)
                total += millijoules * float(share)
        return total

    def protocol_energy_mj(self, inferences_per_s: float = 30.0) -> float:
        """What the papers' procedure gives: mean active power at a rate of inferences, times the latency.

        Source: Akin et al. 2022, section 5.5. Idle power is subtracted; the mean is over busy and idle time, so
        the figure compares networks and is smaller than the active energy of one inference.
        """
        return self.active_energy_mj * inferences_per_s * self.latency_ms * 1e-3

    def to_dict(self, *, rows: bool = True) -> dict[str, Any]:
        """The report as JSON-ready values; without rows it stays short."""
        skip = {"source", "target", "model_terms"}
        data = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in skip}
        data["model_terms"] = {
            f.name: getattr(self.model_terms, f.name) for f in fields(ModelTerms)
        }
        if rows:
            data["warnings"] = list(self.warnings)
            data["energy_by_component_mj"] = self.energy_by_component_mj
            data["active_energy_interval_mj"] = list(self.active_energy_interval_mj)
            data["energy_interval_mj"] = list(self.energy_interval_mj)
            data["rows"] = [
                {f.name: _plain(getattr(row, f.name)) for f in fields(OpRow)} for row in self.rows
            ]
        return data


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value

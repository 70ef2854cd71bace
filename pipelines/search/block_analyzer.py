"""The block analyzer: what inverted bottlenecks cost on their own, by kind, kernel, expansion, group size and shape.

Source of the method: Akin et al., "Searching for Efficient Neural Architectures for On-Device ML on Edge TPUs",
2022, section 4.3.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hw_model.cost import CostReport, Evaluator, evaluator_for
from hw_model.errors import SpecError
from hw_model.graph import Graph, GraphBuilder
from hw_model.targets import Target
from model_zoo.lowering import lower_block
from model_zoo.spec import Backbone, BlockKind, Stack, Stem

#: Kinds the analyzer compares; the first is what the others are measured against.
KINDS: tuple[BlockKind, ...] = ("dw", "fused", "group_fused")
KIND_WORDS = {"dw": "Depthwise-IBN", "fused": "Fused-IBN", "group_fused": "GC-IBN"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What enters a block: (height, width, channels)."""

    height: int
    width: int
    channels: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCost:
    """The cost of one stack of blocks at a place, without what starts and ends an inference."""

    place: Place
    stack: Stack
    params: int
    macs: int
    latency_us: float
    #: Active energy: idle power is subtracted.
    energy_uj: float
    #: Multiply-adds as a share of what the full array could have done in the time.
    utilization: float
    #: What the slowest operation waits for, in words.
    why: str

    @property
    def label(self) -> str:
        """The choice in words, such as `GC-IBN 64, 3x3, x4`."""
        return choice_label(self.stack)

    def to_dict(self) -> dict[str, Any]:
        """Flat and JSON-ready."""
        return {
            "height": self.place.height,
            "width": self.place.width,
            "channels": self.place.channels,
            "kind": self.stack.kind,
            "kernel": self.stack.kernel,
            "expansion": self.stack.expansion,
            "group_size": self.stack.group_size,
            "stride": self.stack.stride,
            "filters": self.stack.filters,
            "params": self.params,
            "macs": self.macs,
            "latency_us": self.latency_us,
            "energy_uj": self.energy_uj,
            "utilization": self.utilization,
            "why": self.why,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What a sweep goes through; every block keeps the channels it gets."""

    places: tuple[Place, ...]
    kernels: tuple[int, ...] = (3, 5)
    expansions: tuple[int, ...] = (4, 8)
    group_sizes: tuple[int, ...] = (16, 32, 64, 128)
    stride: int = 1

    def stacks(self, channels: int) -> Iterator[Stack]:
        """Every choice at a place of so many channels, legal or not; depthwise first."""
        for kernel in self.kernels:
            for expansion in self.expansions:
                for kind in KINDS:
                    for size in self.group_sizes if kind == "group_fused" else (None,):
                        yield Stack(
                            kind=kind,
                            kernel=kernel,
                            expansion=expansion,
                            group_size=size,
                            stride=self.stride,
                            filters=channels,
                        )

    def __len__(self) -> int:
        variants = len(KINDS) - 1 + len(self.group_sizes)
        return len(self.places) * len(self.kernels) * len(self.expansions) * variants


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A grid with its costs; `illegal` says why a choice is no block at a place."""

    target: Target
    evaluator: str
    evaluator_id: str
    declared_error: float
    grid: Grid
    costs: tuple[BlockCost, ...]
    illegal: dict[tuple[Place, Stack], str]

    def at(self, place: Place) -> tuple[BlockCost, ...]:
        """All choices at a place."""
        return tuple(cost for cost in self.costs if cost.place == place)


class BlockMeter:
    """Costs stacks of the zoo's own blocks with one evaluator; equal questions are answered once."""

    def __init__(self, target: Target, evaluator: str = "analytical") -> None:
        """Raises `UnknownNameError` for an unknown evaluator."""
        self.target = target
        self._evaluator: Evaluator = evaluator_for(target, evaluator)
        self._known: dict[tuple[Stack, Place], BlockCost] = {}
        self.evaluator_id = self._evaluator.evaluator_id
        self.declared_error = 0.0

    def cost(self, stack: Stack, place: Place) -> BlockCost:
        """Raises `SpecError` when the groups of the stack do not divide the channels."""
        known = self._known.get((stack, place))
        if known is None:
            graph = stack_graph(stack, place)
            report = self._evaluator.report(graph)
            self.declared_error = report.declared_error
            known = self._known[stack, place] = self._inner(stack, place, graph, report)
        return known

    def _inner(self, stack: Stack, place: Place, graph: Graph, report: CostReport) -> BlockCost:
        """The report less the transfer of image and result, the fixed time, and the empty instruction stream."""
        terms, link = report.model_terms, self.target.link
        started_us = link.instruction_bytes_base / link.input_mb_per_s
        outside_us = terms.input_us + terms.output_us + terms.fixed_us + started_us
        latency_us = report.latency_ms * 1e3 - outside_us
        moved = terms.input_bytes + terms.output_bytes + link.instruction_bytes_base
        slowest = max(self._evaluator.rows(graph), key=lambda row: row.time_us)
        outside_uj = moved * self.target.energy.input_bus_transfer_pj * 1e-6
        return BlockCost(
            place=place,
            stack=stack,
            params=graph.param_count,
            macs=report.macs,
            latency_us=latency_us,
            energy_uj=report.active_energy_mj * 1e3 - outside_uj,
            utilization=report.macs / (latency_us * 1e3 * self.target.peak_gmacs_per_s),
            why=f"Slowest: {slowest.kind}, {slowest.time_us:.1f} us. {slowest.why}",
        )


def stack_graph(stack: Stack, place: Place) -> Graph:
    """The blocks of one stack as a network of their own, by the zoo's lowering.

    Raises:
        SpecError: the groups of the stack do not divide the channels.
    """
    builder = GraphBuilder()
    x = builder.input((1, place.height, place.width, place.channels))
    alone = Backbone(stem=Stem(kernel=1, filters=place.channels, stride=1), stacks=(stack,))
    for block in alone.blocks():
        x = lower_block(builder, x, block, "mobilenet_edgetpu_v2")
    return builder.finish(x, name=stack.kind)


def choice_label(stack: Stack) -> str:
    """A choice in words.

    >>> choice_label(Stack(kind="group_fused", group_size=64, kernel=3, expansion=4, filters=96))
    'GC-IBN 64, 3x3, x4'
    """
    size = f" {stack.group_size}" if stack.group_size else ""
    return f"{KIND_WORDS[stack.kind]}{size}, {stack.kernel}x{stack.kernel}, x{stack.expansion}"


def sweep(
    target: Target,
    grid: Grid,
    *,
    evaluator: str = "analytical",
    advance: Callable[[], object] = lambda: None,
) -> Sweep:
    """Costs every choice of a grid at every place; `advance` is called once for each."""
    meter = BlockMeter(target, evaluator)
    costs: list[BlockCost] = []
    illegal: dict[tuple[Place, Stack], str] = {}
    for place in grid.places:
        for stack in grid.stacks(place.channels):
            try:
                costs.append(meter.cost(stack, place))
            except SpecError as error:
                illegal[place, stack] = error.problem
            advance()
    return Sweep(
        target=target,
        evaluator=evaluator,
        evaluator_id=meter.evaluator_id,
        declared_error=meter.declared_error,
        grid=grid,
        costs=tuple(costs),
        illegal=illegal,
    )

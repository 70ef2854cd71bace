"""Costs of whole populations: every part of an architecture is lowered and costed once, then only added up.

Parts are what a lowering says behind `Builder.part`; a lowering without parts, an evaluator other than the
analytical one, a graph: all take the plain way and give the same figures.
"""

import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hw_model.cost.analytical import QUANTIZED, Analytical, OpCost, calls, model_terms
from hw_model.cost.energy import idle_mj
from hw_model.cost.evaluator import Evaluator, evaluator_for
from hw_model.cost.report import CostReport, ModelTerms
from hw_model.graph import Builder, Graph, GraphBuilder
from hw_model.graph.ops import Activation, BatchNorm, Dropout, OpType
from hw_model.graph.types import DType, Shape, Tensor
from hw_model.targets import Target, load_target

#: Parts remembered per target before the memory is emptied; a search meets some thousands.
CACHE_LIMIT = 1 << 16
#: Every float is a whole number of 1 / `_UNIT`.
_UNIT = 1 << 1074
#: A tensor as far as cost is concerned.
Handle = tuple[Shape, DType]


class SpecCost(NamedTuple):
    """A cost report in short, as the fields of `CostReport`; `weights` counts those a training holds."""

    latency_ms: float
    energy_mj: float
    active_energy_mj: float
    macs: int
    parameter_bytes: int
    streamed_bytes: int
    weights: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CostArrays:
    """The same figures of many architectures, one entry each, in the order given."""

    latency_ms: NDArray[np.float64]
    energy_mj: NDArray[np.float64]
    active_energy_mj: NDArray[np.float64]
    macs: NDArray[np.int64]
    parameter_bytes: NDArray[np.int64]
    streamed_bytes: NDArray[np.int64]
    weights: NDArray[np.int64]


class _Stored(NamedTuple):
    """Equal operations in a row: the parameters of one, and what one costs more when they are streamed."""

    operations: int
    parameter_bytes: int
    more_us: int
    more_pj: int
    streamed_bytes: int


class _Part(NamedTuple):
    """A part with all of its parameters on the chip; times and energies are exact, in units of 1 / `_UNIT`."""

    output: Handle
    us: int
    pj: int
    macs: int
    weights: int
    instruction_bytes: int
    hosted: int
    parameter_bytes: int
    #: The least parameters of an operation that has any: with less room than that, all are streamed.
    least_bytes: int
    stored: tuple[_Stored, ...]
    together: tuple[_Stored, ...]


class _NoParts(Exception):
    """The lowering says something outside of parts, or one that only makes sense with its surroundings.

    So do operations on the host: what two of them spare each other depends on what stands between.
    """


def cost_many(
    specs: Iterable[Any],
    *,
    target: str | os.PathLike[str] | Target = "pixel6",
    evaluator: str = "analytical",
) -> CostArrays:
    """Costs of many specs or graphs, as `estimate` gives them one by one.

    Raises:
        UnknownNameError: no such target or evaluator.
        SpecError: an architecture that cannot be lowered, or a target file that breaks a rule.
    """
    chosen = target if isinstance(target, Target) else load_target(target)
    cost = coster_for(chosen, evaluator)
    rows = [cost(spec) for spec in specs]

    def column(name: str, kind: type[Any]) -> Any:
        return np.asarray([getattr(row, name) for row in rows], dtype=kind)

    return CostArrays(
        latency_ms=column("latency_ms", np.float64),
        energy_mj=column("energy_mj", np.float64),
        active_energy_mj=column("active_energy_mj", np.float64),
        macs=column("macs", np.int64),
        parameter_bytes=column("parameter_bytes", np.int64),
        streamed_bytes=column("streamed_bytes", np.int64),
        weights=column("weights", np.int64),
    )


@lru_cache(maxsize=32)
def coster_for(target: Target, evaluator: str = "analytical") -> Callable[[Any], SpecCost]:
    """What costs one spec or graph after another on a target, with what it remembers."""
    chosen = evaluator_for(target, evaluator)
    return PartCoster(chosen) if type(chosen) is Analytical else lambda spec: _plain(chosen, spec)


class PartCoster:
    """Costs specs of one target by their parts; may be shared between threads."""

    def __init__(self, evaluator: Analytical) -> None:
        self.evaluator = evaluator
        self.parts: dict[tuple[Hashable, Hashable], _Part] = {}
        self.terms = lru_cache(maxsize=1 << 14)(self._terms)

    def __call__(self, spec: Any) -> SpecCost:
        """The cost of a spec or graph.

        Raises:
            SpecError: the network cannot be lowered.
        """
        lower = getattr(spec, "lower", None)
        if lower is not None:
            try:
                found: SpecCost = lower(_Reader(self))
                return found
            except _NoParts:
                pass
        return _plain(self.evaluator, spec)

    def _terms(
        self, inputs: tuple[Handle, ...], outputs: tuple[Handle, ...], instruction_bytes: int
    ) -> ModelTerms:
        tensors = tuple(Tensor("edge", *handle) for handle in (*inputs, *outputs))
        places = tuple(range(len(tensors)))
        edges = Graph(tensors, (), places[: len(inputs)], places[len(inputs) :])
        return model_terms(self.evaluator.target, edges, instruction_bytes)


def _plain(evaluator: Evaluator, spec: Any) -> SpecCost:
    graph: Graph = spec if isinstance(spec, Graph) else spec.graph()
    report: CostReport = evaluator.report(graph, source=spec)
    figures = [getattr(report, name) for name in SpecCost._fields[:-1]]
    return SpecCost._make([*figures, graph.param_count])


class _Reader(Builder[Handle, SpecCost]):
    """Reads one lowering into its cost; handles are shapes, since nothing else of a tensor costs anything."""

    def __init__(self, coster: PartCoster) -> None:
        self._coster = coster
        self._parts = coster.parts
        self._inputs: list[Handle] = []
        self._run: list[_Part] = []

    def input(self, shape: Shape, *, name: str = "image", dtype: DType = "float32") -> Handle:
        if dtype in QUANTIZED:
            raise _NoParts
        self._inputs.append((shape, dtype))
        return self._inputs[-1]

    def shape(self, handle: Handle) -> Shape:
        return handle[0]

    def emit(self, op: OpType, inputs: Sequence[Handle], *, name: str) -> tuple[Handle, ...]:
        raise _NoParts

    def part(self, key: Hashable, x: Handle, lower: Callable[[Any, Any], Any]) -> Handle:
        part = self._parts.get((key, x))
        return (
            self._take((key, x), (x,), lambda b, xs: lower(b, xs[0]))
            if part is None
            else self._add(part)
        )

    def join(
        self,
        key: Hashable,
        inputs: tuple[Handle, ...],
        lower: Callable[[Any, tuple[Any, ...]], Any],
    ) -> Handle:
        part = self._parts.get((key, inputs))
        return self._take((key, inputs), inputs, lower) if part is None else self._add(part)

    def _take(
        self,
        key: tuple[Hashable, Hashable],
        inputs: tuple[Handle, ...],
        lower: Callable[[Any, tuple[Any, ...]], Any],
    ) -> Handle:
        if len(self._parts) >= CACHE_LIMIT:
            self._parts.clear()
        part = self._parts[key] = _cost_part(self._coster.evaluator, inputs, lower)
        return self._add(part)

    def _add(self, part: _Part) -> Handle:
        self._run.append(part)
        return part.output

    def finish(self, outputs: Handle | Mapping[str, Handle], *, name: str) -> SpecCost:
        target = self._coster.evaluator.target
        room = target.memory.parameter_bytes
        us = pj = macs = weights = instructions = hosted = stored = streamed = 0
        for part in self._run:
            us += part.us
            pj += part.pj
            macs += part.macs
            weights += part.weights
            instructions += part.instruction_bytes
            hosted += part.hosted
            stored += part.parameter_bytes
            if part.parameter_bytes <= room:
                room -= part.parameter_bytes
                continue
            # Whole layers, first come: what is left of the memory is not filled with a part of one.
            for each in part.together if room < part.least_bytes else part.stored:
                kept = min(each.operations, room // each.parameter_bytes)
                room -= kept * each.parameter_bytes
                left = each.operations - kept
                us += left * each.more_us
                pj += left * each.more_pj
                streamed += left * each.streamed_bytes
        if hosted > 1:
            raise _NoParts
        ends = tuple(outputs.values()) if isinstance(outputs, Mapping) else (outputs,)
        terms = self._coster.terms(tuple(self._inputs), ends, instructions)
        latency_ms = (us / _UNIT + terms.total_us) / 1e3
        moved_pj = terms.moved_bytes * target.energy.input_bus_transfer_pj
        active_mj = (pj / _UNIT + moved_pj) * 1e-9
        energy_mj = active_mj + idle_mj(target, latency_ms)
        return SpecCost(latency_ms, energy_mj, active_mj, macs, stored, streamed, weights)


def _cost_part(
    evaluator: Analytical,
    inputs: tuple[Handle, ...],
    lower: Callable[[Any, tuple[Any, ...]], Any],
) -> _Part:
    builder = GraphBuilder()
    starts = tuple(builder.input(shape, dtype=dtype) for shape, dtype in inputs)
    end: int = lower(builder, starts)
    graph = builder.finish(end, name="part")
    if not _stands_alone(graph):
        raise _NoParts
    costs = [evaluator.cost(*call) for call in calls(graph, evaluator.target)]
    stored = [_stored(cost, len(list(run))) for cost, run in groupby(costs) if cost.parameter_bytes]
    return _Part(
        output=(graph.tensors[end].shape, graph.tensors[end].dtype),
        us=sum(_exact(cost.chip_us + cost.overhead_us) for cost in costs),
        pj=sum(_exact(cost.pj) for cost in costs),
        macs=sum(cost.macs for cost in costs),
        weights=sum(_weights(op.type, graph.input_shapes(op)) for op in graph.ops),
        instruction_bytes=sum(cost.instruction_bytes for cost in costs),
        hosted=sum(cost.on_host for cost in costs),
        parameter_bytes=sum(cost.parameter_bytes for cost in costs),
        least_bytes=min((each.parameter_bytes for each in stored), default=0),
        stored=tuple(stored),
        together=_together(stored),
    )


def _stored(cost: OpCost, count: int) -> _Stored:
    resident_us = cost.chip_us + cost.overhead_us
    streamed_us = max(cost.chip_us, cost.stream_us) + cost.overhead_us
    return _Stored(
        operations=count,
        parameter_bytes=cost.parameter_bytes,
        more_us=_exact(streamed_us) - _exact(resident_us),
        more_pj=_exact(cost.stream_pj),
        streamed_bytes=cost.parameter_bytes * cost.passes,
    )


def _together(stored: Sequence[_Stored]) -> tuple[_Stored, ...]:
    """All parameters of a part as those of one operation."""
    sums = [sum(each.operations * each[field] for each in stored) for field in range(1, 5)]
    return (_Stored(1, *sums),) if stored else ()


@lru_cache(maxsize=1 << 16)
def _exact(value: float) -> int:
    """The sum of these is what `math.fsum` finds in a report, in whatever order they are added."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * (_UNIT // denominator)


@lru_cache(maxsize=1 << 14)
def _weights(kind: OpType, inputs: tuple[Shape, ...]) -> int:
    return sum(param.size for param in kind.params(inputs))


def _stands_alone(graph: Graph) -> bool:
    """Whether no operation of a part could merge with one outside of it."""
    edges = {*graph.inputs, *graph.outputs}
    for op in graph.ops:
        if isinstance(op.type, Dropout) and op.inputs[0] in edges:
            edges.update(op.outputs)
        elif isinstance(op.type, BatchNorm | Activation) and op.inputs[0] in edges:
            return False
    return True

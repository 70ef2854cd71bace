"""Which of several accelerators runs which layers: the cheapest way to cut a network into calls, found exactly.

Operations keep their order and one accelerator works at a time. A call of an accelerator runs a range of
operations: it reads what the range needs from host memory, leaves there what others need, and pays for its
start. Calls then do not depend on each other, so dynamic programming over the ends of ranges is exact for
every graph, skip connections included. Parameters that an accelerator would keep on the chip when it runs the
whole network are those it keeps here, though it has room for more: real gains may be larger. An accelerator
draws its idle power only while it is called.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hw_model.codec import to_data
from hw_model.cost.analytical import FLOATS, is_quantized
from hw_model.cost.evaluator import evaluator_for
from hw_model.cost.report import CostReport
from hw_model.errors import UsageError
from hw_model.graph import Graph, to_inference
from hw_model.graph.types import DTYPE_BYTES, Tensor
from hw_model.targets import Target, list_targets, load_target

Objective = Literal["latency", "energy"]
OBJECTIVES: tuple[Objective, ...] = ("latency", "energy")
Floats = npt.NDArray[np.float64]
#: Ranges of operations are counted in tables of this many rows and columns.
MAX_OPERATIONS = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A call of one accelerator: consecutive operations, what they read from the host and leave there."""

    target_name: str
    first: str
    last: str
    operations: int
    start_ms: float
    latency_ms: float
    #: The part of the latency that is spent on inputs and outputs of the call.
    transfer_ms: float
    energy_mj: float
    input_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """The whole network on one accelerator."""

    target_name: str
    latency_ms: float
    energy_mj: float
    #: Of the evaluator on this target, as its reports have it.
    declared_error: float
    error_words: str


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The cheapest sequence of calls, and what each accelerator would take alone; never worse than any of those."""

    graph_name: str
    objective: Objective
    evaluator_ids: tuple[str, ...]
    segments: tuple[Segment, ...]
    alone: tuple[Single, ...]
    targets: tuple[Target, ...] = field(repr=False, compare=False)

    @property
    def latency_ms(self) -> float:
        """One inference, all calls after each other."""
        return sum(segment.latency_ms for segment in self.segments)

    @property
    def energy_mj(self) -> float:
        """One inference, idle power of the accelerator at work included."""
        return sum(segment.energy_mj for segment in self.segments)

    @property
    def best_alone(self) -> Single:
        """The single accelerator that serves the objective best."""
        return min(self.alone, key=lambda single: _value(single, self.objective))

    @property
    def gain(self) -> float:
        """How many times better than the best single accelerator."""
        mine = self.latency_ms if self.objective == "latency" else self.energy_mj
        return _value(self.best_alone, self.objective) / mine

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "graph_name": self.graph_name,
            "objective": self.objective,
            "evaluator_ids": list(self.evaluator_ids),
            "latency_ms": self.latency_ms,
            "energy_mj": self.energy_mj,
            "gain": self.gain,
            "segments": to_data(self.segments),
            "alone": to_data(self.alone),
        }


def _value(single: Single, objective: Objective) -> float:
    return single.latency_ms if objective == "latency" else single.energy_mj


def targets_named(words: str) -> tuple[Target, ...]:
    """Targets from a list such as `coral_usb,mine.toml`; the first word of several names stands for all of them.

    Raises:
        UnknownNameError: no such target or set.
        DataError, SpecError: a file that cannot be read or breaks a rule.
    """
    found: list[Target] = []
    for word in (part.strip() for part in words.split(",")):
        members = [name for name in list_targets() if name.startswith(f"{word}_")]
        names = members if members and word not in list_targets() else [word]
        found += [load_target(name) for name in names]
    return tuple(found)


def assign(
    graph: Graph,
    targets: Sequence[Target],
    *,
    objective: Objective = "latency",
    evaluator: str = "analytical",
) -> Assignment:
    """Cuts the network into calls of these targets so that the sum of latencies, or of energies, is least.

    Raises:
        UsageError: no target, one of them twice, an unknown objective, or too many operations.
        UnknownNameError: no such evaluator.
    """
    names = [target.name for target in targets]
    if not names or len(set(names)) != len(names):
        raise UsageError(f"A schedule needs targets of different names. Received: {names}")
    if objective not in OBJECTIVES:
        raise UsageError(f"The objective is latency or energy. Received: {objective!r}")
    run = _run_graph(graph, targets)
    if not 0 < len(run.ops) <= MAX_OPERATIONS:
        raise UsageError(
            f"A schedule takes 1 to {MAX_OPERATIONS} operations. Received: {len(run.ops)}"
        )
    reads, leaves = _crossing_bytes(run)
    prices = [_price(run, target, evaluator) for target in targets]
    cuts = _cheapest(reads, leaves, prices, objective)
    segments: list[Segment] = []
    start_ms = 0.0
    for first, end, which in cuts:
        segment = _segment(run, prices[which], first, end, reads, leaves, start_ms)
        start_ms += segment.latency_ms
        segments.append(segment)
    whole = [_segment(run, price, 0, len(run.ops), reads, leaves, 0.0) for price in prices]
    return Assignment(
        graph_name=graph.name,
        objective=objective,
        evaluator_ids=tuple(dict.fromkeys(price.report.evaluator_id for price in prices)),
        segments=tuple(segments),
        alone=tuple(
            Single(
                target_name=one.target_name,
                latency_ms=one.latency_ms,
                energy_mj=one.energy_mj,
                declared_error=price.report.declared_error,
                error_words=price.report.error_words,
            )
            for one, price in zip(whole, prices, strict=True)
        ),
        targets=tuple(targets),
    )


def _run_graph(graph: Graph, targets: Sequence[Target]) -> Graph:
    """The graph all targets run: grouped convolutions stay whole only where every target takes them so."""
    if is_quantized(graph):
        return graph
    native = all(target.group_form == "native" for target in targets)
    return to_inference(graph, group_form="native" if native else "split")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Price:
    """What one target asks: running sums over the operations, a start, and rates at its edge."""

    target: Target
    #: Of the whole network.
    report: CostReport
    us: Floats
    uj: Floats
    start_us: float
    start_uj: float
    read_us: float
    leave_us: float
    #: Energy of a byte in either direction, and of a microsecond of being on.
    byte_uj: float
    idle_uj: float

    def coefficients(self, objective: Objective) -> tuple[Floats, float, float, float]:
        """Running sums, start, price of a byte read and of one left, in one currency."""
        if objective == "latency":
            return self.us, self.start_us, self.read_us, self.leave_us
        return (
            self.uj + self.us * self.idle_uj,
            self.start_uj + self.start_us * self.idle_uj,
            self.byte_uj + self.read_us * self.idle_uj,
            self.byte_uj + self.leave_us * self.idle_uj,
        )


def _price(run: Graph, target: Target, evaluator: str) -> _Price:
    chosen = evaluator_for(target, evaluator)
    rows, report = chosen.rows(run), chosen.report(run)
    terms = report.model_terms
    link, byte_uj = target.link, target.energy.input_bus_transfer_pj * 1e-6
    # Instructions belong to operations, but a report has their sum only: each gets the same share of what
    # the start of a call does not take.
    weights = np.array([row.binding not in ("none", "host") for row in rows], np.float64)
    shares = weights / weights.sum() if weights.any() else np.full(len(rows), 1 / len(rows))
    base_bytes = min(link.instruction_bytes_base, terms.instruction_bytes)
    base_us = min(base_bytes / link.input_mb_per_s, terms.instruction_us)
    us = np.array([row.time_us for row in rows]) + shares * (terms.instruction_us - base_us)
    uj = np.array([row.energy_pj * 1e-6 for row in rows])
    uj += shares * (terms.instruction_bytes - base_bytes) * byte_uj
    return _Price(
        target=target,
        report=report,
        us=np.concatenate([[0.0], np.cumsum(us)]),
        uj=np.concatenate([[0.0], np.cumsum(uj)]),
        start_us=terms.fixed_us + base_us,
        start_uj=base_bytes * byte_uj,
        read_us=1 / link.input_mb_per_s,
        leave_us=1 / link.output_mb_per_s,
        byte_uj=byte_uj,
        idle_uj=target.energy.idle_w,
    )


def _crossing_bytes(run: Graph) -> tuple[Floats, Floats]:
    """Tables [first, end]: bytes that operations first to end - 1 read from before, and leave for after."""
    count = len(run.ops)
    reads = np.zeros((count + 1, count + 2))
    leaves = np.zeros((count + 1, count + 2))
    for index, tensor in enumerate(run.tensors):
        made = run.producers.get(index, -1)
        size = _bytes(tensor)
        for before, reader in itertools.pairwise((made, *run.consumers[index])):
            # A range that starts behind `before` and holds `reader` reads the tensor, there first.
            _add(reads, (before + 1, reader + 1), (reader + 1, count + 1), size)
        last = count if index in run.outputs else max(run.consumers[index], default=made)
        if made >= 0:
            _add(leaves, (0, made + 1), (made + 1, last + 1), size)
    return tuple(table.cumsum(0).cumsum(1)[:, : count + 1] for table in (reads, leaves))  # type: ignore[return-value]


def _add(table: Floats, rows: tuple[int, int], columns: tuple[int, int], size: int) -> None:
    """Adds to a rectangle of a table that is summed up along both axes later."""
    (top, bottom), (left, right) = rows, columns
    table[top, left] += size
    table[bottom, left] -= size
    table[top, right] -= size
    table[bottom, right] += size


def _bytes(tensor: Tensor) -> int:
    return tensor.size * (1 if tensor.dtype in FLOATS else DTYPE_BYTES[tensor.dtype])


def _cheapest(
    reads: Floats, leaves: Floats, prices: Sequence[_Price], objective: Objective
) -> list[tuple[int, int, int]]:
    """(first, end, target) of each call of the cheapest sequence."""
    count = len(reads) - 1
    terms = [price.coefficients(objective) for price in prices]
    best = np.zeros(count + 1)
    choice = [(0, 0)] * (count + 1)
    for end in range(1, count + 1):
        totals = np.stack(
            [
                best[:end] + start + sums[end] - sums[:end]
                + reads[:end, end] * read + leaves[:end, end] * leave
                for sums, start, read, leave in terms
            ]
        )  # fmt: skip
        target, start_at = divmod(int(totals.argmin()), end)
        best[end] = totals[target, start_at]
        choice[end] = (start_at, target)
    cuts: list[tuple[int, int, int]] = []
    end = count
    while end:
        start_at, target = choice[end]
        cuts.append((start_at, end, target))
        end = start_at
    return cuts[::-1]


def _segment(
    run: Graph,
    price: _Price,
    first: int,
    end: int,
    reads: Floats,
    leaves: Floats,
    start_ms: float,
) -> Segment:
    read, left = float(reads[first, end]), float(leaves[first, end])
    transfer_us = read * price.read_us + left * price.leave_us
    us = price.start_us + float(price.us[end] - price.us[first]) + transfer_us
    uj = price.start_uj + float(price.uj[end] - price.uj[first]) + (read + left) * price.byte_uj
    return Segment(
        target_name=price.target.name,
        first=run.ops[first].name,
        last=run.ops[end - 1].name,
        operations=end - first,
        start_ms=start_ms,
        latency_ms=us / 1e3,
        transfer_ms=transfer_us / 1e3,
        energy_mj=(uj + us * price.idle_uj) / 1e3,
        input_bytes=round(read),
        output_bytes=round(left),
    )

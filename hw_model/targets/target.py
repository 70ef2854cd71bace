"""What is known about an accelerator: frozen values, each with its unit, and where each number comes from."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from hw_model.graph import GroupForm


def quantity(unit: str, *, minimum: float = 0.0, interval: bool = False) -> Any:
    """A constant of a target: its unit, the smallest value that makes sense, whether a file states its range."""
    return field(metadata={"unit": unit, "minimum": minimum, "interval": interval})


@dataclass(frozen=True, slots=True, kw_only=True)
class Array:
    """Multipliers: a grid of processing elements (PEs) with cores, lanes (output channels) and dot products."""

    clock_mhz: float = quantity("MHz", minimum=1)
    pe_rows: int = quantity("count", minimum=1)
    pe_columns: int = quantity("count", minimum=1)
    cores_per_pe: int = quantity("count", minimum=1)
    lanes_per_core: int = quantity("count", minimum=1)
    macs_per_lane: int = quantity("count", minimum=1)
    #: Cycles to empty one set of lanes: no output position takes less.
    drain_cycles: int = quantity("cycles", minimum=1)
    #: Activations a core reads from the memory of its PE; all lanes share what is read.
    activation_fetch_bytes_per_cycle: int = quantity("B/cycle", minimum=1)
    #: Parameters that reach the cores, the whole chip together: the ring sends each byte to all of them.
    parameter_broadcast_bytes_per_cycle: int = quantity("B/cycle", minimum=1)
    #: Activations that change their PE, the whole chip together.
    exchange_bytes_per_cycle: int = quantity("B/cycle", minimum=1)

    @property
    def cores(self) -> int:
        """Cores of the chip."""
        return self.pe_rows * self.pe_columns * self.cores_per_pe

    @property
    def peak_macs_per_cycle(self) -> int:
        """Multiply-adds of all lanes in one cycle."""
        return self.cores * self.lanes_per_core * self.macs_per_lane


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """On-chip capacity, the whole chip together."""

    activation_bytes: int = quantity("B", minimum=1)
    #: Parameters that stay from one inference to the next; the rest is streamed each time.
    parameter_bytes: int = quantity("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What crosses the edge of the chip."""

    parameter_mb_per_s: float = quantity("MB/s", minimum=1)
    input_mb_per_s: float = quantity("MB/s", minimum=1)
    output_mb_per_s: float = quantity("MB/s", minimum=1)
    instruction_bytes_per_op: int = quantity("B")
    instruction_bytes_base: int = quantity("B")


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """Nuisance scales: what published latencies tell and no data sheet does."""

    #: Share of the on-chip ceilings that compiled k x k and group convolutions reach; clock uncertainty
    #: included.
    mapping_efficiency: float = quantity("ratio", minimum=0.01)
    #: The same for 1x1 convolutions and dense layers, and for depthwise ones, as a part of that share.
    pointwise_ratio: float = quantity("ratio", minimum=0.01)
    depthwise_ratio: float = quantity("ratio", minimum=0.01)
    #: Share of the ceilings of a plain copy that an ArgMax over channels reaches.
    argmax_ratio: float = quantity("ratio", minimum=0.01)
    op_us: float = quantity("us")
    inference_us: float = quantity("us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """Operations the accelerator does not run."""

    ops: tuple[str, ...] = quantity("kinds")
    mb_per_s: float = quantity("MB/s", minimum=1)
    dispatch_us: float = quantity("us")


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """Energy per counted event; components are those of the Coral chip's EnergyTable registers.

    A file states a range with each price: `Target.energy_low` and `energy_high` hold its ends.
    """

    idle_w: float = quantity("W", interval=True)
    ring_bus_pj: float = quantity("pJ/B", interval=True)
    nlu_active_pj: float = quantity("pJ/output", interval=True)
    wide_byte_access_pj: float = quantity("pJ/B", interval=True)
    narrow_mem_word_access_pj: float = quantity("pJ/word", interval=True)
    narrow_word_bytes: int = quantity("B", minimum=1)
    int_multiply_pj: float = quantity("pJ/multiply", interval=True)
    int_adder_pj: float = quantity("pJ/add", interval=True)
    float32_adder_pj: float = quantity("pJ/add", interval=True)
    input_bus_transfer_pj: float = quantity("pJ/B", interval=True)
    wide_data_transfer_pj: float = quantity("pJ/B", interval=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Mean relative latency error of each evaluator on published classification networks, each left out of the fit."""

    analytical_error: float = quantity("ratio")
    simulator_error: float = quantity("ratio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """One number of a target as its file states it."""

    path: str
    value: float | int | tuple[str, ...]
    unit: str
    source: str
    assumption: bool
    fitted: bool
    #: The range of the value where its file states one, else the value twice.
    low: float | int | tuple[str, ...]
    high: float | int | tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An accelerator with everything its cost depends on."""

    name: str
    title: str
    #: How group convolutions reach this target's compiler.
    group_form: GroupForm
    array: Array
    memory: Memory
    link: Link
    overhead: Overhead
    host: Host
    energy: Energy
    energy_low: Energy
    energy_high: Energy
    accuracy: Accuracy
    constants: tuple[Constant, ...] = field(default=(), compare=False, repr=False)

    @property
    def target_id(self) -> str:
        """First 12 hex digits of the SHA-256 of all values; names and sources do not count."""
        values = dataclasses.asdict(self)
        for label in ("name", "title", "constants", "accuracy"):
            del values[label]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def peak_gmacs_per_s(self) -> float:
        """Billions of multiply-adds per second of the full array at the nominal clock."""
        return self.array.peak_macs_per_cycle * self.array.clock_mhz / 1e3

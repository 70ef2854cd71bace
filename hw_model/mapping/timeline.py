"""What happens when: events on the array, the links and the host, and whose time the latency is."""

from dataclasses import dataclass
from typing import NamedTuple

#: Resources; each does one thing at a time. Those of `INBOUND` share the direction of the link into the chip.
LANES = ("host", "instructions", "activations_in", "parameters", "array", "activations_out")
INBOUND = ("instructions", "activations_in", "parameters")
#: The unit of events that belong to no operation.
NO_UNIT = -1


class Event(NamedTuple):
    """One thing a resource does."""

    lane: str
    start_us: float
    end_us: float
    #: Index of the unit it is done for, and which of its slabs.
    unit: int
    slab: int = 0
    moved_bytes: int = 0

    @property
    def duration_us(self) -> float:
        """How long it takes."""
        return self.end_us - self.start_us


@dataclass(slots=True)
class Spent:
    """Where the time of one operation goes, in us; their sum is what it adds to the latency."""

    #: Computing, on the array or on the host; starting; waiting for parameters; for activations off the chip.
    busy_us: float = 0.0
    start_us: float = 0.0
    wait_us: float = 0.0
    spill_us: float = 0.0
    #: Parameters that crossed the link for it, those of them fetched ahead, and activations that crossed.
    streamed_bytes: int = 0
    ahead_bytes: int = 0
    crossed_bytes: int = 0

    @property
    def total_us(self) -> float:
        """What the operation adds to the latency."""
        return self.busy_us + self.start_us + self.wait_us + self.spill_us


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One inference; latency is the sum of `spent` and of the terms that belong to no operation."""

    events: tuple[Event, ...]
    spent: tuple[Spent, ...]
    end_us: float
    fixed_us: float
    instruction_us: float
    input_us: float
    output_us: float
    instruction_bytes: int
    input_bytes: int
    output_bytes: int

    def busy_us(self, lane: str) -> float:
        """How long a resource works."""
        return sum(event.duration_us for event in self.events if event.lane == lane)

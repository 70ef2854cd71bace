"""Runs a program in time: one pass over its slabs in order, every resource starting what is next as soon as it can.

The order is fixed before anything is timed. Inputs and streamed parameters share the link in the order they
are needed, ahead of their use as far as there is memory; instructions, which are one stream, take the time
they leave; outputs take the other direction. Uniform inner loops (lane sets, positions, pieces of a layer's
parameters) are closed forms.
"""

from hw_model.cost.work import effective_clock_hz
from hw_model.mapping.program import Program, Unit
from hw_model.mapping.timeline import NO_UNIT, Event, Spent, Timeline


def simulate(program: Program) -> Timeline:
    """The timeline of one inference."""
    return _Machine(program).run()


class _Machine:
    """The resources of a target, and until when each is taken, in us."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._target = program.target
        self._link = program.target.link
        self._tensors = program.graph.tensors
        self._ends = {program.roots[index] for index in program.graph.outputs}
        self._array_us = self._host_us = self._inbound_us = self._outbound_us = 0.0
        # When the operation before was started: the moment that what the next one needs is asked for.
        self._asked_us = 0.0
        # What has been accounted for: the end of the last thing that made the inference longer.
        self._now_us = self._input_us = self._instruction_us = 0.0
        self._input_bytes = self._output_bytes = self._instruction_bytes = 0
        self._events: list[Event] = []
        self._spent = [Spent() for _ in program.units]
        # When the bytes of a tensor are on the chip, or at the host, as far as they are.
        self._on_chip_us: dict[int, float] = {}
        self._at_host_us = {program.roots[index]: 0.0 for index in program.graph.inputs}
        self._arrived: dict[int, tuple[int, float]] = {}
        self._read_on_array = {
            root for unit in program.units if unit.on_array for root in unit.reads
        }
        self._clock = [effective_clock_hz(self._target, unit.kind) / 1e6 for unit in program.units]
        # Instructions that all operations take, and those on the chip that are not yet used.
        self._instruction_total = self._link.instruction_bytes_base + sum(
            unit.starts * self._link.instruction_bytes_per_op
            for unit in program.units
            if unit.on_array
        )
        self._instructions_ahead = 0
        self._slab_ends: list[list[float]] = [[] for _ in program.units]

    def run(self) -> Timeline:
        """Everything in order."""
        fixed_us = self._target.overhead.inference_us
        self._do("host", 0.0, fixed_us, NO_UNIT)
        self._now_us = self._host_us = self._inbound_us = fixed_us
        self._instructions(self._link.instruction_bytes_base, NO_UNIT)
        self._instruction_us = self._inbound_us - fixed_us
        self._now_us = self._array_us = self._asked_us = self._inbound_us
        at_host = False
        for index, slab in self._program.order:
            unit = self._program.units[index]
            if unit.tiling.work.on_host:
                self._on_host(index, unit, called=at_host)
            else:
                self._on_array(index, unit, slab)
            at_host = unit.tiling.work.on_host
        end_us = max(self._now_us, self._outbound_us)
        return Timeline(
            events=tuple(self._events),
            spent=tuple(self._spent),
            end_us=end_us,
            fixed_us=fixed_us,
            instruction_us=self._instruction_us,
            input_us=self._input_us,
            output_us=end_us - self._now_us,
            instruction_bytes=self._instruction_bytes,
            input_bytes=self._input_bytes,
            output_bytes=self._output_bytes,
        )

    def _do(
        self, lane: str, start_us: float, end_us: float, unit: int, slab: int = 0, moved: int = 0
    ) -> None:
        if end_us > start_us:
            self._events.append(Event(lane, start_us, end_us, unit, slab, moved))

    def _inbound(self, lane: str, ready_us: float, moved: int, unit: int, slab: int = 0) -> float:
        """Activations or instructions over the link into the chip; returns when they are there."""
        start_us = max(self._inbound_us, ready_us)
        self._fill(start_us)
        self._inbound_us = start_us + moved / self._link.input_mb_per_s
        self._do(lane, start_us, self._inbound_us, unit, slab, moved)
        return self._inbound_us

    def _instructions(self, moved: int, unit: int, slab: int = 0) -> float:
        """Instructions of one operation, unless they came ahead; returns when they are there."""
        self._instruction_bytes += moved
        ahead = min(moved, self._instructions_ahead)
        self._instructions_ahead -= ahead
        if moved == ahead:
            return 0.0
        return self._inbound("instructions", 0.0, moved - ahead, unit, slab)

    def _fill(self, until_us: float) -> None:
        """Sends instructions of operations to come while nothing else needs the link."""
        ahead = self._instruction_total - self._instruction_bytes - self._instructions_ahead
        fits = int((until_us - self._inbound_us) * self._link.input_mb_per_s)
        moved = max(0, min(ahead, fits))
        end_us = self._inbound_us + moved / self._link.input_mb_per_s
        self._do("instructions", self._inbound_us, end_us, NO_UNIT, 0, moved)
        self._instructions_ahead += moved

    def _outbound(self, ready_us: float, moved: int, unit: int, slab: int = 0) -> float:
        """Activations over the link to the host; returns when they are there."""
        start_us = max(self._outbound_us, ready_us)
        self._outbound_us = start_us + moved / self._link.output_mb_per_s
        self._do("activations_out", start_us, self._outbound_us, unit, slab, moved)
        return self._outbound_us

    def _on_array(self, index: int, unit: Unit, slab: int) -> None:
        """One slab of one operation on the accelerator."""
        tiling, spent = unit.tiling, self._spent[index]
        cycles = tiling.last_cycles if slab == tiling.slabs - 1 else tiling.slab_cycles
        start_us = told_us = 0.0
        if slab == 0 or unit.starts > 1:
            start_us = self._target.overhead.op_us
            told_us = self._instructions(self._link.instruction_bytes_per_op, index, slab)
        busy_us = cycles / self._clock[index] + start_us
        input_us = self._inputs(index, unit, slab)
        ready_us = max(self._array_us, told_us, input_us)
        if unit.streamed and (slab == 0 or tiling.work.passes > 1):
            end_us = self._stream(index, unit, slab, ready_us, busy_us)
        else:
            end_us = ready_us + busy_us
        begin_us = end_us - busy_us
        self._asked_us = begin_us
        self._do("array", begin_us, end_us, index, slab)
        self._array_us = end_us
        self._slab_ends[index].append(end_us)
        self._instruction_us += self._waited(told_us, begin_us)
        self._input_us += self._waited(input_us, begin_us)
        spent.wait_us += self._waited(begin_us, begin_us)
        spent.start_us += self._waited(begin_us + start_us, end_us)
        spent.busy_us += self._waited(end_us, end_us)
        self._outputs(index, unit, slab, end_us)

    def _waited(self, until_us: float, limit_us: float) -> float:
        """Accounts for the time until then, as far as nothing before took it; returns how long it is."""
        before_us = self._now_us
        self._now_us = max(before_us, min(until_us, limit_us))
        return self._now_us - before_us

    def _inputs(self, index: int, unit: Unit, slab: int) -> float:
        """When all that a slab reads is on the chip; what is not yet there is fetched."""
        ready_us = 0.0
        slabs = unit.tiling.slabs
        ends = self._slab_ends[index]
        # Two buffers: the next slab but one arrives when the memory of this one is free again.
        free_us = ends[slab - 2] if unit.sliced and slab >= 2 else 0.0
        for root in unit.reads:
            if root in self._on_chip_us:
                ready_us = max(ready_us, self._on_chip_us[root])
                continue
            total = self._tensors[root].size_bytes
            needed = -(-total * (slab + 1) // slabs)
            there, there_us = self._arrived.get(root, (0, 0.0))
            if needed > there:
                sent_us = max(self._at_host_us[root], free_us)
                there_us = self._inbound("activations_in", sent_us, needed - there, index, slab)
                self._arrived[root] = (needed, there_us)
                self._input_bytes += needed - there
            ready_us = max(ready_us, there_us)
            if needed == total:
                self._on_chip_us[root] = there_us
        return ready_us

    def _stream(self, index: int, unit: Unit, slab: int, ready_us: float, busy_us: float) -> float:
        """Parameters that cross the link; returns when the slab that uses them ends.

        They are asked for when the operation before starts, and fetched ahead as far as no cached layer takes
        the memory. Once the operation runs they flow past, and a core works on its first position meanwhile.
        """
        tiling, spent, rate = unit.tiling, self._spent[index], self._link.parameter_mb_per_s
        size, spot = tiling.work.parameter_bytes, tiling.work.placement
        first_us = max(self._inbound_us, self._asked_us)
        self._fill(first_us)
        begin_us = max(ready_us, first_us)
        # One block is in use while the next arrives; what only one position needs is not even held.
        parts = tiling.blocks if spot is None or tiling.positions > 1 else spot.lane_sets
        room = min(size, max(self._program.free_bytes, -(-size // parts)))
        held = min(size, max(room, -(-2 * size // parts)))
        ahead = min(room, int(rate * max(0.0, ready_us - first_us)))
        last_us = max(first_us + size / rate, begin_us + busy_us * (1 - held / size))
        if room < size:
            last_us = max(last_us, ready_us + (size - room) / rate)
        tail_us = busy_us / tiling.blocks * (1 - 1 / tiling.positions)
        rest_us = last_us - (size - ahead) / rate
        self._do("parameters", first_us, first_us + ahead / rate, index, slab, ahead)
        self._inbound_us = first_us + ahead / rate
        self._fill(rest_us)
        self._do("parameters", rest_us, last_us, index, slab, size - ahead)
        self._inbound_us = last_us
        spent.streamed_bytes += size
        spent.ahead_bytes += ahead
        return max(begin_us + busy_us, last_us + tail_us)

    def _outputs(self, index: int, unit: Unit, slab: int, end_us: float) -> None:
        """Results of a slab: ready on the chip, and sent to the host when they leave the network."""
        slabs, spent = unit.tiling.slabs, self._spent[index]
        for root in unit.writes:
            self._on_chip_us[root] = end_us
            total = self._tensors[root].size_bytes
            moved = total * (slab + 1) // slabs - total * slab // slabs
            if unit.spilled:
                back_us = self._outbound(end_us, moved, index, slab)
                self._on_chip_us[root] = self._inbound(
                    "activations_in", back_us, moved, index, slab
                )
                spent.crossed_bytes += 2 * moved
                back_us = self._on_chip_us[root]
                spent.spill_us += self._waited(back_us, back_us)
            if root in self._ends:
                self._outbound(end_us, moved, index, slab)
                self._output_bytes += moved

    def _on_host(self, index: int, unit: Unit, *, called: bool) -> None:
        """An operation the accelerator lacks: its inputs cross the link, and its outputs if they are needed there.

        One call of the host serves neighbours: `called` says that the operation before made it.
        """
        host, spent, work = self._target.host, self._spent[index], unit.tiling.work
        ready_us = 0.0
        for root in unit.reads:
            if root not in self._at_host_us:
                moved = self._tensors[root].size_bytes
                self._at_host_us[root] = self._outbound(self._on_chip_us[root], moved, index)
                spent.crossed_bytes += moved
            ready_us = max(ready_us, self._at_host_us[root])
        start_us = max(self._host_us, ready_us)
        moved = work.input_bytes + work.output_bytes
        dispatch_us = 0.0 if called else host.dispatch_us
        end_us = start_us + dispatch_us + moved / host.mb_per_s
        self._do("host", start_us, end_us, index)
        self._host_us = end_us
        for root in unit.writes:
            self._at_host_us[root] = self._host_us
            if root in self._read_on_array:
                moved = self._tensors[root].size_bytes
                end_us = self._inbound("activations_in", self._host_us, moved, index)
                self._on_chip_us[root] = end_us
                spent.crossed_bytes += moved
        spent.busy_us += self._waited(end_us, end_us)

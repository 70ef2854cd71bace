"""What operations on the host spare each other: neighbours share one way there, and a tensor crosses once."""

from collections.abc import Mapping
from typing import NamedTuple

from hw_model.cost.work import Work, work_of
from hw_model.graph.types import Graph
from hw_model.targets.target import Target


class Spared(NamedTuple):
    """What one operation need not pay of what it would cost alone."""

    calls: int
    outbound_bytes: int
    inbound_bytes: int

    @property
    def moved_bytes(self) -> int:
        """Bytes that do not cross the link, either way."""
        return self.outbound_bytes + self.inbound_bytes

    def us(self, target: Target) -> float:
        """The time."""
        link = target.link
        crossing_us = self.outbound_bytes / link.output_mb_per_s
        crossing_us += self.inbound_bytes / link.input_mb_per_s
        return self.calls * target.host.dispatch_us + crossing_us

    def pj(self, target: Target) -> float:
        """The energy."""
        return self.moved_bytes * target.energy.input_bus_transfer_pj


NOTHING = Spared(0, 0, 0)


def spared_by(run: Graph, works: Mapping[int, Work]) -> dict[int, Spared]:
    """What each operation on the host spares, by its place in a graph as executed; `works` are of all places.

    Views stand between no neighbours. A tensor that the host wrote or read is there, and one that only the host
    reads does not go back to the chip.
    """
    roots = list(range(len(run.tensors)))
    read_on_chip, read_on_host = set[int](), set[int]()
    for place, op in enumerate(run.ops):
        if works[place].free:
            for index in op.outputs:
                roots[index] = roots[op.inputs[0]]
            continue
        readers = read_on_host if works[place].on_host else read_on_chip
        readers.update(roots[index] for index in op.inputs)
    only_host, at_host = read_on_host - read_on_chip, set[int]()
    found, neighbour = {}, False
    for place, op in enumerate(run.ops):
        if works[place].free:
            continue
        if works[place].on_host:
            there = sum(run.tensors[index].size for index in op.inputs if roots[index] in at_host)
            stays = sum(
                run.tensors[index].size for index in op.outputs if roots[index] in only_host
            )
            found[place] = Spared(int(neighbour), there, stays)
            at_host.update(roots[index] for index in (*op.inputs, *op.outputs))
        neighbour = works[place].on_host
    return found


def spared_in(run: Graph, target: Target) -> dict[int, Spared]:
    """`spared_by` for a graph whose operations are not counted yet."""
    from hw_model.cost.analytical import as_run

    works = {
        place: work_of(target, as_run(run, op), run.input_shapes(op))
        for place, op in enumerate(run.ops)
    }
    return spared_by(run, works)

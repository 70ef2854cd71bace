"""Offsets for blocks that live for a while: best fit in several orders, and a search that proves the least height.

The problem is known as dynamic storage allocation: rectangles with a fixed place in time, to be stacked as low
as they go. Finding the least height is NP-hard, so the search stops after a number of nodes.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

#: More blocks than this are not searched: a node costs time for each of them.
EXACT_LIMIT = 100
NODE_LIMIT = 10_000


class Block(NamedTuple):
    """Bytes that are needed from one step to another, both included."""

    size_bytes: int
    start: int
    end: int

    def meets(self, other: "Block") -> bool:
        """Whether both are needed at some step."""
        return self.start <= other.end and other.start <= self.end


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One offset per block, in their order."""

    offsets: tuple[int, ...]
    height_bytes: int
    #: The most bytes needed at one step: no layout is lower.
    bound_bytes: int
    #: No layout of these blocks is lower: the bound is met, or the search came to its end.
    proven: bool
    #: Partial layouts the search looked at.
    nodes: int = 0


Order = Callable[[Block], tuple[int, ...]]
#: Largest first is the classic; the others win where a few long-lived or crowded blocks decide.
ORDERS: tuple[Order, ...] = (
    lambda block: (-block.size_bytes, block.start),
    lambda block: (-block.size_bytes * (block.end - block.start + 1), block.start),
    lambda block: (block.start - block.end, -block.size_bytes),
    lambda block: (block.start, -block.size_bytes),
    lambda block: (-block.end, -block.size_bytes),
)


def lay_out(
    blocks: Sequence[Block], *, exact_limit: int = EXACT_LIMIT, node_limit: int = NODE_LIMIT
) -> Layout:
    """The lowest layout found; the same for the same blocks, on any machine."""
    tries = [best_fit(blocks, order) for order in ORDERS]
    height, offsets = min(((_height(blocks, each), each) for each in tries), key=lambda t: t[0])
    bound = live_bytes(blocks)
    found = Layout(offsets=offsets, height_bytes=height, bound_bytes=bound, proven=height == bound)
    if found.proven or len(blocks) > exact_limit:
        return found
    search = _Search(blocks, found, node_limit)
    search.visit()
    return Layout(
        offsets=search.best,
        height_bytes=search.height,
        bound_bytes=bound,
        proven=search.complete or search.height == bound,
        nodes=search.nodes,
    )


def live_bytes(blocks: Sequence[Block]) -> int:
    """The most bytes needed at one step."""
    return max(profile(blocks), default=0)


def profile(blocks: Sequence[Block]) -> list[int]:
    """Bytes needed at each step, from step 0 to the last one any block is needed at."""
    change = [0] * (max((block.end for block in blocks), default=-1) + 2)
    for block in blocks:
        change[block.start] += block.size_bytes
        change[block.end + 1] -= block.size_bytes
    needed, result = 0, []
    for step in change[:-1]:
        needed += step
        result.append(needed)
    return result


def best_fit(blocks: Sequence[Block], order: Order = ORDERS[0]) -> tuple[int, ...]:
    """Each block, in that order, into the smallest gap that holds it, or on top."""
    offsets = [0] * len(blocks)
    placed: list[int] = []
    for index in sorted(range(len(blocks)), key=lambda index: (*order(blocks[index]), index)):
        block = blocks[index]
        around = sorted(
            (offsets[other], offsets[other] + blocks[other].size_bytes)
            for other in placed
            if block.meets(blocks[other])
        )
        offsets[index] = _gap(around, block.size_bytes)
        placed.append(index)
    return tuple(offsets)


def _gap(taken: Sequence[tuple[int, int]], size_bytes: int) -> int:
    top, best, smallest = 0, None, 0
    for low, high in taken:
        room = low - top
        if room >= size_bytes and (best is None or room < smallest):
            best, smallest = top, room
        top = max(top, high)
    return top if best is None else best


def _height(blocks: Sequence[Block], offsets: Sequence[int]) -> int:
    return max(
        (offset + block.size_bytes for block, offset in zip(blocks, offsets, strict=True)),
        default=0,
    )


class _Search:
    """Depth-first branch and bound over layouts in which every block rests on another one or on the ground.

    Blocks are placed by rising offset. Among the lowest layouts, the one whose offsets have the least sum can be
    made so: in it no block can sink, which is why branches that leave room below a block are cut.
    """

    def __init__(self, blocks: Sequence[Block], found: Layout, node_limit: int) -> None:
        self.best, self.height = found.offsets, found.height_bytes
        self.nodes, self.complete = 0, True
        self._bound, self._limit = found.bound_bytes, node_limit
        self._sizes = [block.size_bytes for block in blocks]
        # A step at which nothing begins needs no more than the one before it.
        starts = sorted({block.start for block in blocks})
        self._spans = [
            range(bisect_left(starts, block.start), bisect_right(starts, block.end))
            for block in blocks
        ]
        # Of equal blocks the first comes first.
        last: dict[Block, int] = {}
        self._twins: list[int | None] = []
        for index, block in enumerate(blocks):
            self._twins.append(last.get(block))
            last[block] = index
        self._tops = [0] * len(starts)
        self._rest = [0] * len(starts)
        for size, span in zip(self._sizes, self._spans, strict=True):
            for step in span:
                self._rest[step] += size
        self._offsets: dict[int, int] = {}
        self._open = set(range(len(blocks)))

    def visit(self, level: int = 0) -> None:
        """Everything that can be made of the blocks placed so far; none comes lower than `level` any more."""
        if self.nodes >= self._limit:
            self.complete = False
            return
        self.nodes += 1
        if not self._open:
            self.height = max(self._tops)
            self.best = tuple(self._offsets[index] for index in range(len(self._sizes)))
            return
        floors = {
            index: max([self._tops[step] for step in self._spans[index]]) for index in self._open
        }
        if self._hopeless(level, floors):
            return
        # Where a block would come to lie above the whole of another one, that one could sink below it.
        ceiling = min(floor + self._sizes[index] for index, floor in floors.items())
        choices = sorted(
            (floor, -self._sizes[index], index)
            for index, floor in floors.items()
            if level <= floor < ceiling and self._twins[index] not in self._open
        )
        for floor, _, index in choices:
            self._place(index, floor)
            if self.height == self._bound or not self.complete:
                return

    def _hopeless(self, level: int, floors: Mapping[int, int]) -> bool:
        """Whether some step cannot hold what it still needs below the best height."""
        lowest = [self.height] * len(self._tops)
        for index, floor in floors.items():
            floor = max(floor, level)
            for step in self._spans[index]:
                lowest[step] = min(lowest[step], floor)
        return any(
            max(top, low if rest else 0) + rest >= self.height
            for top, low, rest in zip(self._tops, lowest, self._rest, strict=True)
        )

    def _place(self, index: int, floor: int) -> None:
        span, size = self._spans[index], self._sizes[index]
        tops = self._tops[span.start : span.stop]
        self._tops[span.start : span.stop] = [floor + size] * len(span)
        for step in span:
            self._rest[step] -= size
        self._open.remove(index)
        self._offsets[index] = floor
        self.visit(floor)
        self._open.add(index)
        for step in span:
            self._rest[step] += size
        self._tops[span.start : span.stop] = tops

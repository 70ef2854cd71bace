"""How well each transformer block, and each part of one, uses the multipliers of an accelerator."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from hw_model.cost import CostReport, OpRow
from hw_model.io.text import BINDING_WORDS

HEADINGS = ("part", "×", "µs", "share", "of peak", "bound by")
_BLOCK = re.compile(r"block_(\d+)_([a-z]+)")
#: The part of a block that an operation belongs to, by the first word behind the block's number.
_PARTS = {
    "bottleneck": "bottlenecks",
    "shared": "bottlenecks",
    "ffn": "feed-forward",
    "output": "output",
}
_ATTENTION = "attention"


@dataclass(frozen=True, slots=True, kw_only=True)
class PartUse:
    """Some operations of a network, or of each of `count` equal blocks in a row: work and time are those of one.

    `part` is empty for whole blocks, and for what stands before and behind them.
    """

    name: str
    part: str
    count: int
    macs: int
    time_us: float
    #: Of the latency of the network, all blocks together.
    share: float
    #: Multiply-adds done, of what all lanes could have done in the time.
    utilization: float
    #: The ceiling under which most of the time goes.
    binding: str

    def figures(self) -> tuple[object, ...]:
        """What stands under `HEADINGS` but for the first."""
        return (
            self.count,
            f"{self.time_us:.1f}",
            f"{self.share:.1%}",
            f"{self.utilization:.1%}",
            BINDING_WORDS[self.binding],
        )


def use_by_part(report: CostReport) -> tuple[PartUse, ...]:
    """What stands before the blocks, the blocks with their parts, and what stands behind; none without such blocks.

    Blocks in a row that cost the same are one entry.
    """
    rows = [row for row in report.rows if row.time_us > 0]
    found = {block for row in rows if (block := _block(row)) is not None}
    if not found:
        return ()
    first = next(index for index, row in enumerate(rows) if _block(row) is not None)
    outside = [(index, row) for index, row in enumerate(rows) if _block(row) is None]
    before = [row for index, row in outside if index < first]
    behind = [row for index, row in outside if index > first]
    blocks = [[row for row in rows if _block(row) == block] for block in sorted(found)]
    uses = [_use(report, "before the blocks", "", 1, before)] if before else []
    uses += _of_blocks(report, blocks)
    uses += [_use(report, "behind the blocks", "", 1, behind)] if behind else []
    return tuple(uses)


def _of_blocks(report: CostReport, blocks: Sequence[list[OpRow]]) -> Iterator[PartUse]:
    number = 0
    for _, run in groupby(blocks, key=_price):
        equal = list(run)
        last = number + len(equal) - 1
        name = f"block {number}" if len(equal) == 1 else f"blocks {number} to {last}"
        yield _use(report, name, "", len(equal), equal[0])
        for part in dict.fromkeys(map(_part, equal[0])):
            own = [row for row in equal[0] if _part(row) == part]
            yield _use(report, name, part, len(equal), own)
        number = last + 1


def _use(report: CostReport, name: str, part: str, count: int, rows: Sequence[OpRow]) -> PartUse:
    time_us, macs = sum(row.time_us for row in rows), sum(row.macs for row in rows)
    under: dict[str, float] = {}
    for row in rows:
        under[row.binding] = under.get(row.binding, 0.0) + row.time_us
    return PartUse(
        name=name,
        part=part,
        count=count,
        macs=macs,
        time_us=time_us,
        share=count * time_us / 1e3 / report.latency_ms,
        utilization=macs / (time_us * 1e3 * report.target.peak_gmacs_per_s),
        binding=max(under, key=lambda binding: under[binding]),
    )


def _block(row: OpRow) -> int | None:
    match = _BLOCK.match(row.name)
    return int(match[1]) if match else None


def _part(row: OpRow) -> str:
    match = _BLOCK.match(row.name)
    return _PARTS.get(match[2], _ATTENTION) if match else ""


def _price(rows: Sequence[OpRow]) -> tuple[int, float]:
    return sum(row.macs for row in rows), round(sum(row.time_us for row in rows), 3)

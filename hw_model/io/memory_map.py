"""The activation memory over an inference: as text for a terminal, and as a picture."""

import os
from typing import Any

from hw_model.files import write_text
from hw_model.graph import Graph
from hw_model.io.svg import picture, tag, text, tooltip
from hw_model.io.text import megabytes
from hw_model.mapping.allocate import Allocation, Buffer, allocate
from hw_model.targets import Target

COLUMNS, ROWS, NAMED = 64, 14, 12
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: Shades that neighbours can be told apart by, also without colour vision. Source: Okabe and Ito.
SHADES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")


def show_memory(
    graph: Graph, target: Target, *, picture: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The memory of a network as text, after an empty line, and as JSON-ready values; `picture` is a file to write."""
    allocation = allocate(graph, target)
    words = "\n" + format_memory(allocation)
    if picture:
        write_memory_svg(allocation, picture)
        words += f"\nPicture written to {picture}\n"
    return words, allocation.to_dict()


def format_memory(allocation: Allocation) -> str:
    """Peak, bound and spills, then the memory from its first byte (below) to its peak, operation by operation."""
    lines = [*_summary(allocation), ""]
    kept = [buffer for buffer in allocation.buffers if not buffer.spilled]
    named = sorted(kept, key=lambda buffer: -buffer.size_bytes)[:NAMED]
    if kept:
        lines += [*_map(allocation, kept, named), ""]
    for letter, buffer in zip(LETTERS, named, strict=False):
        lines.append(f"  {letter} {_row(allocation, buffer)}, at byte {buffer.offset_bytes:,}")
    if allocation.spilled:
        lines += ["", "  Does not stay on the chip"]
        for buffer in sorted(allocation.spilled, key=lambda buffer: -buffer.spill_bytes)[:NAMED]:
            moved = megabytes(buffer.spill_bytes)
            lines.append(f"    {_row(allocation, buffer)}, {moved} over the link")
    return "\n".join(lines) + "\n"


def memory_svg(allocation: Allocation) -> str:
    """Every buffer as a rectangle: operations from left to right, bytes from the bottom up."""
    width, height, left, bottom = 1000.0, 420.0, 80.0, 380.0
    steps = max(1, len(allocation.operations))
    top = max(1, allocation.capacity_bytes, allocation.peak_bytes)
    step, byte = (width - left - 10) / steps, (bottom - 24) / top
    parts = []
    for index, buffer in enumerate(allocation.buffers):
        if buffer.offset_bytes is None:
            continue
        parts.append(
            tag(
                "rect",
                tooltip(f"{_row(allocation, buffer)}, at byte {buffer.offset_bytes:,}"),
                x=left + buffer.start * step,
                y=bottom - (buffer.offset_bytes + buffer.size_bytes) * byte,
                width=(buffer.end - buffer.start + 1) * step,
                height=buffer.size_bytes * byte,
                fill=SHADES[index % len(SHADES)],
                stroke="#fff",
                stroke_width=0.5,
            )
        )
    for level, label in (
        (allocation.capacity_bytes, "memory"),
        (allocation.peak_bytes, "peak"),
    ):
        at = bottom - level * byte
        parts.append(tag("line", x1=left, x2=width - 10, y1=at, y2=at, stroke="#888"))
        parts.append(text(left - 6, at + 4, f"{label} {megabytes(level)}", text_anchor="end"))
    note = f"; {_tensors(allocation)} not kept on the chip" if allocation.spilled else ""
    parts.append(text(left, height - 14, f"{steps} operations in execution order{note}"))
    style = tag("style", "text{font:12px sans-serif;fill:#555}")
    return picture(width, height, [style, *parts], "activation memory during one inference")


def write_memory_svg(allocation: Allocation, path: str | os.PathLike[str]) -> None:
    """Writes the picture."""
    write_text(path, memory_svg(allocation) + "\n")


def _summary(allocation: Allocation) -> list[str]:
    share = allocation.peak_bytes / allocation.capacity_bytes
    quality = (
        "no layout is lower"
        if allocation.proven
        else f"at most {megabytes(allocation.gap_bytes)} above the lowest"
    )
    lines = [
        f"Activation memory of {allocation.graph_name} on {allocation.target_name}",
        f"  peak     {megabytes(allocation.peak_bytes)}, {share:.0%} of "
        f"{megabytes(allocation.capacity_bytes)}; {quality}",
    ]
    if allocation.spilled:
        lines.append(
            f"  spills   {_tensors(allocation)}, {megabytes(allocation.spilled_bytes)} over the link; "
            f"{megabytes(allocation.needed_bytes)} would hold everything"
        )
    return lines


def _tensors(allocation: Allocation) -> str:
    count = len(allocation.spilled)
    return f"{count} tensor" if count == 1 else f"{count} tensors"


def _map(allocation: Allocation, kept: list[Buffer], named: list[Buffer]) -> list[str]:
    steps, peak = len(allocation.operations), allocation.peak_bytes
    columns = min(COLUMNS, steps)
    letters = {id(buffer): letter for letter, buffer in zip(LETTERS, named, strict=False)}
    grid = [["."] * columns for _ in range(ROWS)]
    for buffer in sorted(kept, key=lambda buffer: buffer.size_bytes):
        assert buffer.offset_bytes is not None
        first = buffer.start * columns // steps
        last = max(first, (buffer.end + 1) * columns // steps - 1)
        low = buffer.offset_bytes * ROWS // peak
        high = max(low, -(-(buffer.offset_bytes + buffer.size_bytes) * ROWS // peak) - 1)
        for row in range(low, min(high, ROWS - 1) + 1):
            grid[row][first : last + 1] = [letters.get(id(buffer), "o")] * (last - first + 1)
    levels = [megabytes(peak) if row == ROWS - 1 else "" for row in range(ROWS)]
    return [f"  {levels[row]:>9} |{''.join(grid[row])}|" for row in reversed(range(ROWS))]


def _row(allocation: Allocation, buffer: Buffer) -> str:
    until = allocation.operations[buffer.end]
    return f"{buffer.name}: {megabytes(buffer.size_bytes)}, until {until}"

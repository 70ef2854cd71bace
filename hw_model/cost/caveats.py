"""What a report's figures guess or leave out, in lines a person reads before trusting them."""

from collections import Counter

from hw_model.cost.analytical import as_run, is_quantized
from hw_model.graph.ops import Opaque
from hw_model.graph.types import Graph


def caveats_of(graph: Graph) -> tuple[str, ...]:
    """One line for each; empty for every graph this project builds."""
    unknown: Counter[str] = Counter()
    floating: Counter[str] = Counter()
    quantized = is_quantized(graph)
    for op in graph.ops:
        if isinstance(op.type, Opaque):
            unknown[op.type.code] += 1
        elif quantized and isinstance(as_run(graph, op), Opaque):
            floating[op.kind] += 1
    lines = []
    if unknown:
        lines.append(
            f"No cost model for {listed(unknown)}: costed as host operations that move their tensors and "
            "compute nothing"
        )
    if floating:
        lines.append(f"In floating point, so on the host: {listed(floating)}")
    return (*lines, *graph.notes)


def listed(names: Counter[str]) -> str:
    """Names with how often each was met, most frequent first."""
    return ", ".join(f"{count} {name[:60]}" for name, count in names.most_common(12)) + (
        f" and {len(names) - 12} other kinds" if len(names) > 12 else ""
    )

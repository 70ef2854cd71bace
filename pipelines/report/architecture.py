"""An architecture as a short table: one row per run of equal blocks, with what each costs in weights and work."""

from collections import defaultdict
from dataclasses import dataclass

from hw_model.graph import Graph
from model_zoo.spec import BifpnHead, ClassifierHead, Head, ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureRow:
    """The stem, a stack of blocks, or the head; `output` is (height, width, channels)."""

    name: str
    kind: str
    repeats: int
    kernel: int | None
    stride: int | None
    widths: str
    groups: str
    residual: bool
    output: tuple[int, ...]
    params: int
    macs: int


HEADINGS = ("part", "kind", "×", "kernel", "stride", "widths", "groups", "output", "params", "MACs")


def cells(row: ArchitectureRow) -> tuple[object, ...]:
    """A row under `HEADINGS`; a plus marks blocks with a residual."""
    return (
        row.name,
        row.kind + (" +" if row.residual else ""),
        row.repeats,
        "" if row.kernel is None else row.kernel,
        "" if row.stride is None else row.stride,
        row.widths,
        row.groups,
        "×".join(map(str, row.output)),
        row.params,
        row.macs,
    )


def architecture(spec: ModelSpec, graph: Graph | None = None) -> tuple[ArchitectureRow, ...]:
    """The rows of a spec from stem to head."""
    graph = graph or spec.graph()
    parts = _by_part(graph)
    stem = spec.backbone.stem
    rows = [
        _row(parts, "stem", "conv", 1, stem.kernel, stem.stride, str(stem.filters), "", False),
    ]
    blocks = list(spec.backbone.blocks())
    for number, stack in enumerate(spec.backbone.stacks):
        own = [block for block in blocks if block.stack == number]
        first = own[0]
        widths = [first.in_filters, first.mid_filters, first.filters]
        shown = widths if stack.kind != "project" else [widths[0], widths[2]]
        rows.append(
            _row(
                parts,
                f"stack {number}",
                stack.kind,
                stack.repeats,
                stack.kernel,
                stack.stride,
                "→".join(map(str, shown)),
                f"{first.mid_filters // stack.group_size} of {stack.group_size}"
                if stack.group_size
                else "",
                any(block.residual for block in own),
            )
        )
    if spec.head is not None:
        kind, widths = _head(spec.head)
        rows.append(_row(parts, "head", kind, 1, None, None, widths, "", False))
    return tuple(rows)


def _head(head: Head) -> tuple[str, str]:
    """What a head is, and its widths."""
    if isinstance(head, ClassifierHead):
        return f"classifier ({head.form})", f"{head.top_filters}→{head.num_classes}"
    if isinstance(head, BifpnHead):
        kind = f"BiFPN ({head.repeats} cells, levels {head.min_level} to {head.max_level})"
        widths = f"{head.filters}→{head.num_classes}"
    else:
        kind = f"DeepLabV3+ (levels {head.low_level} and {head.level})"
        widths = f"{head.pyramid_filters}→{head.filters}→{head.num_classes}"
    return f"{kind}, {head.output.name}", widths


@dataclass(slots=True)
class _Part:
    params: int = 0
    macs: int = 0
    output: tuple[int, ...] = ()


def _by_part(graph: Graph) -> dict[str, _Part]:
    """Parameters, work and last output shape of every part, read off the names of its operations."""
    parts: dict[str, _Part] = defaultdict(_Part)
    for op in graph.ops:
        words = op.name.split("_")
        name = (
            f"stack {words[1]}" if words[0] == "stack" else "stem" if words[0] == "stem" else "head"
        )
        part = parts[name]
        part.params += sum(param.size for param in graph.params(op))
        part.macs += op.type.macs(graph.input_shapes(op))
        part.output = graph.output_shapes(op)[-1][1:]
    return parts


def _row(
    parts: dict[str, _Part],
    name: str,
    kind: str,
    repeats: int,
    kernel: int | None,
    stride: int | None,
    widths: str,
    groups: str,
    residual: bool,
) -> ArchitectureRow:
    part = parts[name]
    return ArchitectureRow(
        name=name,
        kind=kind,
        repeats=repeats,
        kernel=kernel,
        stride=stride,
        widths=widths,
        groups=groups,
        residual=residual,
        output=part.output,
        params=part.params,
        macs=part.macs,
    )

"""An architecture as a short table: one row per run of equal blocks, with what each costs in weights and work."""

from collections import defaultdict
from dataclasses import dataclass

from hw_model.graph import Graph
from model_zoo.spec import (
    Backbone,
    BifpnHead,
    ClassifierHead,
    DeepLabHead,
    Head,
    ModelSpec,
    NodeBackbone,
)
from model_zoo.spec.nodes import STEM


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureRow:
    """The stem, a stack of blocks or a node of layers, or the head; `output` is (height, width, channels)."""

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
    backbone = spec.backbone
    own = {STEM}
    if isinstance(backbone, NodeBackbone):
        own.update(node.name for node in backbone.nodes)
    parts = _by_part(graph, own)
    stem = backbone.stem
    rows = [
        _row(parts, "stem", "conv", 1, stem.kernel, stem.stride, str(stem.filters), "", False),
    ]
    if isinstance(backbone, NodeBackbone):
        rows += _nodes(backbone, parts)
    else:
        rows += _stacks(backbone, parts)
    if spec.head is not None:
        kind, widths = _head(spec.head)
        rows.append(_row(parts, "head", kind, 1, None, None, widths, "", False))
    return tuple(rows)


def _nodes(backbone: NodeBackbone, parts: "dict[str, _Part]") -> list[ArchitectureRow]:
    rows = []
    for node, levels, channels in backbone.inputs():
        kinds = "+".join(dict.fromkeys(layer.kind for layer in node.layers))
        kernels = {layer.kernel for layer in node.layers}
        sources = " and ".join(edge.source for edge in node.edges)
        joined = node.edges[0].kind == "resample"
        groups = dict.fromkeys(str(layer.groups) for layer in node.layers if layer.groups)
        rows.append(
            _row(
                parts,
                node.name,
                f"{kinds} of {sources}" if joined else kinds,
                len(node.layers),
                kernels.pop() if len(kernels) == 1 else None,
                1 if joined else 1 << (node.level - levels[0]),
                f"{channels}→{node.filters}",
                ", ".join(groups),
                len(node.layers) > 1,
            )
        )
    return rows


def _stacks(backbone: Backbone, parts: "dict[str, _Part]") -> list[ArchitectureRow]:
    rows = []
    blocks = list(backbone.blocks())
    for number, stack in enumerate(backbone.stacks):
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
    return rows


def _head(head: Head) -> tuple[str, str]:
    """What a head is, and its widths."""
    if isinstance(head, ClassifierHead):
        return f"classifier ({head.form})", f"{head.top_filters}→{head.num_classes}"
    if isinstance(head, BifpnHead):
        kind = f"BiFPN ({head.repeats} cells, levels {head.min_level} to {head.max_level})"
        widths = f"{head.filters}→{head.num_classes}"
    elif isinstance(head, DeepLabHead):
        kind = f"DeepLabV3+ (levels {head.low_level} and {head.level})"
        widths = f"{head.pyramid_filters}→{head.filters}→{head.num_classes}"
    else:
        extra = f", {len(head.extra_filters)} extra maps" if head.extra_filters else ""
        return f"SSDLite{extra}", "→".join(map(str, (*head.extra_filters, head.num_classes)))
    return f"{kind}, {head.output.name}", widths


@dataclass(slots=True)
class _Part:
    params: int = 0
    macs: int = 0
    output: tuple[int, ...] = ()


def _by_part(graph: Graph, own: set[str]) -> dict[str, _Part]:
    """Parameters, work and last output shape of every part, read off the names of its operations.

    `own` are the parts that operations are named for; what belongs to none is the head.
    """
    parts: dict[str, _Part] = defaultdict(_Part)
    for op in graph.ops:
        words = op.name.split("_")
        name = words[0] if words[0] in own else "head"
        if words[0] == "stack":
            name = f"stack {words[1]}"
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

"""An architecture as a short table: one row per run of equal blocks, with what each costs in weights and work."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from hw_model.graph import Graph
from model_zoo.spec import (
    Backbone,
    BifpnHead,
    ClassifierHead,
    DeepLabHead,
    Head,
    MaskedLmHead,
    NodeBackbone,
    SentenceHead,
    Spec,
    TextHead,
    TextSpec,
)
from model_zoo.spec.nodes import STEM


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchitectureRow:
    """The stem, a stack of blocks or a node of layers, or the head; `output` is (height, width, channels).

    Of language networks: embedding, blocks, head; `groups` are heads of attention, `output` (length, channels).
    """

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


def architecture(spec: Spec, graph: Graph | None = None) -> tuple[ArchitectureRow, ...]:
    """The rows of a spec from stem to head."""
    graph = graph or spec.graph()
    if isinstance(spec, TextSpec):
        return _text(spec, graph)
    backbone = spec.backbone
    own = {STEM}
    if isinstance(backbone, NodeBackbone):
        own.update(node.name for node in backbone.nodes)
    parts = _by_part(graph, lambda words: _image_part(words, own))
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


def _text(spec: TextSpec, graph: Graph) -> tuple[ArchitectureRow, ...]:
    encoder = spec.encoder
    parts = _by_part(graph, _text_part)
    words = f"{spec.input.vocabulary_size}→{encoder.embedding}"
    kind = "words, positions, types" + (", trigram" if encoder.trigram else "")
    block = (
        f"transformer ({encoder.norm}, {encoder.activation}, {encoder.ffns} feed-forward)",
        f"{encoder.hidden}→{encoder.inner}→{encoder.intermediate}",
        f"{encoder.heads} of {encoder.inner // encoder.heads}",
    )
    rows = [
        _row(parts, "embedding", kind, 1, None, None, f"{words}→{encoder.hidden}", "", False),
        _row(parts, "blocks", block[0], encoder.blocks, None, None, block[1], block[2], True),
    ]
    if spec.head is not None:
        kind, widths = _text_head(spec.head, spec)
        rows.append(_row(parts, "head", kind, 1, None, None, widths, "", False))
    return tuple(rows)


def _text_head(head: TextHead, spec: TextSpec) -> tuple[str, str]:
    """What a head is, and its widths."""
    hidden = spec.encoder.hidden
    if isinstance(head, MaskedLmHead):
        more = " and next sentence" if head.next_sentence else ""
        return f"{head.predictions} masked words{more}", f"{hidden}→{spec.input.vocabulary_size}"
    if isinstance(head, SentenceHead):
        widths = (hidden, *((head.units,) if head.units else ()), head.num_classes)
        return "sentence", "→".join(map(str, widths))
    return "span", f"{hidden}→2"


def _text_part(words: list[str]) -> str:
    """The part an operation belongs to, by the words of its name."""
    if words[0] in ("block", "attention"):
        return "blocks"
    return "embedding" if "embedding" in words else "head"


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


def _image_part(words: list[str], own: set[str]) -> str:
    """The part an operation belongs to: one of `own` it is named for, its stack, or the head."""
    if words[0] == "stack":
        return f"stack {words[1]}"
    return words[0] if words[0] in own else "head"


def _by_part(graph: Graph, part_of: Callable[[list[str]], str]) -> dict[str, _Part]:
    """Parameters, work and last output shape of every part, read off the names of its operations."""
    parts: dict[str, _Part] = defaultdict(_Part)
    for op in graph.ops:
        part = parts[part_of(op.name.split("_"))]
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

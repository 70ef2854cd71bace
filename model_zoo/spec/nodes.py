"""Backbones that are graphs of nodes: each node reads one or two earlier maps and is a few layers of one width."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from hw_model.errors import SpecError
from model_zoo.spec.base import Node, require_in, require_int
from model_zoo.spec.stem import Stem

#: Of a layer of width F behind C channels. ibn: 1x1 to F * expansion, depthwise, 1x1. gc_ibn: `groups` k x k
#: convolutions to C * expansion in all, 1x1. separable: depthwise with bias, 1x1 and ReLU6. dw: as ibn, but to
#: C * expansion. fused: k x k to C * expansion, 1x1. tucker: 1x1 to C * in_ratio, k x k to F * out_ratio, 1x1.
LayerKind = Literal["ibn", "gc_ibn", "separable", "dw", "fused", "tucker"]
LAYER_KINDS: tuple[LayerKind, ...] = get_args(LayerKind)
EdgeKind = Literal["pass", "resample"]
#: What edges call the stem.
STEM = "stem"
#: Names that would be mistaken for other parts.
_TAKEN = (STEM, "ssd", "image")
#: Levels beyond this one are a single pixel of any image a spec may have.
MAX_LEVEL = 14
#: The fields a kind of layer has no use for, with the value they then have.
_UNUSED: dict[LayerKind, dict[str, Any]] = {
    "ibn": {"groups": None, "in_ratio": None, "out_ratio": None},
    "gc_ibn": {"in_ratio": None, "out_ratio": None},
    "separable": {"expansion": 1, "groups": None, "in_ratio": None, "out_ratio": None},
    "dw": {"groups": None, "in_ratio": None, "out_ratio": None},
    "fused": {"groups": None, "in_ratio": None, "out_ratio": None},
    "tucker": {"expansion": 1, "groups": None},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer(Node):
    """One layer of a node; what its fields mean depends on its kind, see `LayerKind`.

    In a space a kind of "none" leaves the layer out.
    """

    kind: LayerKind
    kernel: int = 3
    expansion: int = 1
    groups: int | None = None
    in_ratio: float | None = None
    out_ratio: float | None = None

    def check(self) -> None:
        require_in("kind", self.kind, LAYER_KINDS)
        require_int("kernel", self.kernel, 1, 31)
        require_int("expansion", self.expansion, 1, 64)
        if self.kind == "gc_ibn":
            require_int("groups", self.groups, 2, 1 << 10)
        if self.kind == "tucker":
            for name in ("in_ratio", "out_ratio"):
                ratio = getattr(self, name)
                if not isinstance(ratio, int | float) or not 0 < ratio <= 64:
                    raise SpecError(
                        name, f"must be a number above 0 and at most 64. Received: {ratio!r}"
                    )
        for name, value in _UNUSED[self.kind].items():
            if getattr(self, name) != value:
                raise SpecError(
                    name, f"has no effect in {self.kind}. Received: {getattr(self, name)!r}"
                )

    @classmethod
    def settle(cls, values: dict[str, Any]) -> dict[str, Any] | None:
        if values["kind"] == "none":
            return None
        return values | _UNUSED.get(values["kind"], {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge(Node):
    """What a node reads: an earlier node's map, or the stem's, as it is or at the node's own size and width."""

    source: str
    kind: EdgeKind = "pass"

    def check(self) -> None:
        require_in("kind", self.kind, get_args(EdgeKind))
        if not isinstance(self.source, str):
            raise SpecError("source", f"must be a node's name. Received: {self.source!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode(Node):
    """Layers of one width on one level: level k has 1 / 2**k of the image's size, rounded up.

    A passed map may be of a finer level: the first layer then has the stride. Resampled maps are cropped to
    this size and added. Every layer but the first adds its input to its output.
    """

    name: str
    filters: int
    level: int
    edges: tuple[Edge, ...]
    layers: tuple[Layer, ...]

    def check(self) -> None:
        name = self.name
        plain = isinstance(name, str) and name.isascii() and name.isalnum() and name[0].isalpha()
        if not plain or name in _TAKEN:
            raise SpecError(
                "name",
                f"must be letters and digits, a letter first, not {', '.join(_TAKEN)}. Received: {name!r}",
            )
        require_int("filters", self.filters, 1)
        require_int("level", self.level, 0, MAX_LEVEL)
        if not self.layers:
            raise SpecError("layers", "must hold at least one layer")
        kinds = [edge.kind for edge in self.edges]
        if kinds not in (["pass"], ["resample"], ["resample", "resample"]):
            raise SpecError(
                "edges", f"must be one, or two that both resample. Received: {', '.join(kinds)}"
            )
        if len({edge.source for edge in self.edges}) < len(self.edges):
            raise SpecError(
                "edges", f"must come from two nodes. Received: twice {self.edges[0].source!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeBackbone(Node):
    """A stem and nodes in an order in which each reads earlier ones; `outputs` are the maps a head gets."""

    TAGGED: ClassVar[bool] = True
    stem: Stem
    nodes: tuple[MapNode, ...]
    outputs: tuple[str, ...]

    def check(self) -> None:
        if self.stem.stride not in (1, 2, 4, 8):
            raise SpecError("stem.stride", f"must be 1, 2, 4 or 8. Received: {self.stem.stride}")
        found: dict[str, tuple[int, int]] = {STEM: (self.stem_level, self.stem.filters)}
        for index, node in enumerate(self.nodes):
            try:
                _check_node(node, found)
            except SpecError as error:
                raise error.under(f"nodes[{index}]") from None
            found[node.name] = (node.level, node.filters)
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise SpecError("outputs", f"must be different nodes. Received: {self.outputs}")
        for index, name in enumerate(self.outputs):
            if name == STEM or name not in found:
                raise SpecError(f"outputs[{index}]", _no_node(name, found))
        used = _used(self.nodes, self.outputs)
        for index, node in enumerate(self.nodes):
            if node.name not in used:
                raise SpecError(
                    f"nodes[{index}].name", f"nothing reads {node.name!r}; leave the node out"
                )

    @classmethod
    def settle(cls, values: dict[str, Any]) -> dict[str, Any] | None:
        """Without the nodes that lead to no output."""
        used = _used(values["nodes"], values["outputs"])
        return values | {"nodes": tuple(node for node in values["nodes"] if node.name in used)}

    @property
    def stem_level(self) -> int:
        """Level of the stem's map."""
        return self.stem.stride.bit_length() - 1

    @property
    def total_stride(self) -> int:
        """Input pixels per pixel of the coarsest map."""
        return 1 << max(node.level for node in self.nodes)

    def inputs(self) -> Iterator[tuple[MapNode, tuple[int, ...], int]]:
        """Every node with the levels of the maps it reads and the channels its first layer reads."""
        levels, widths = {STEM: self.stem_level}, {STEM: self.stem.filters}
        for node in self.nodes:
            first = node.edges[0]
            channels = widths[first.source] if first.kind == "pass" else node.filters
            yield node, tuple(levels[edge.source] for edge in node.edges), channels
            levels[node.name], widths[node.name] = node.level, node.filters

    def output_levels(self) -> tuple[int, ...]:
        """Levels of the maps a head gets."""
        levels = {node.name: node.level for node in self.nodes}
        return tuple(levels[name] for name in self.outputs)


def _used(nodes: tuple[MapNode, ...], outputs: tuple[str, ...]) -> set[str]:
    """Names of the nodes something reads, all the way to an output."""
    used = set(outputs)
    for node in reversed(nodes):
        if node.name in used:
            used.update(edge.source for edge in node.edges)
    return used


def _no_node(name: str, found: Mapping[str, Any]) -> str:
    return f"no earlier node has this name; there are {', '.join(found)}. Received: {name!r}"


def _check_node(node: MapNode, found: Mapping[str, tuple[int, int]]) -> None:
    """The rules between a node and the (level, width) of those before it."""
    if node.name in found:
        raise SpecError("name", f"must be one no other node has. Received: {node.name!r}")
    for index, edge in enumerate(node.edges):
        if edge.source not in found:
            raise SpecError(f"edges[{index}].source", _no_node(edge.source, found))
    channels = node.filters
    if node.edges[0].kind == "pass":
        level, channels = found[node.edges[0].source]
        if node.level < level:
            raise SpecError(
                "level",
                f"must be at least the {level} of {node.edges[0].source!r}, which is passed as it is. "
                f"Received: {node.level}",
            )
    for index, layer in enumerate(node.layers):
        if layer.groups is not None and channels % layer.groups:
            fitting = [str(n) for n in range(2, min(channels, 64) + 1) if channels % n == 0]
            raise SpecError(
                f"layers[{index}].groups",
                f"must divide {channels} input channels; try {', '.join(fitting) or 'another width'}. "
                f"Received: {layer.groups}",
            )
        channels = node.filters


def fitting_groups(groups: int, channels: int) -> int:
    """The most groups up to `groups` that divide the channels.

    >>> fitting_groups(3, 24), fitting_groups(3, 8)
    (3, 2)
    """
    return next(n for n in range(groups, 0, -1) if channels % n == 0)


def clip_levels(backbone: NodeBackbone, last: int) -> NodeBackbone:
    """The backbone with no level beyond `last`: nodes of coarser ones stay there, with the same parameters."""
    nodes = tuple(replace(node, level=min(node.level, last)) for node in backbone.nodes)
    return replace(backbone, nodes=nodes)


def scale_nodes(backbone: NodeBackbone, rounded: Callable[[float], int]) -> NodeBackbone:
    """The backbone with every width put through `rounded`; groups become fewer where they no longer divide it."""
    wide = replace(backbone.stem, filters=rounded(backbone.stem.filters))
    widths = {STEM: wide.filters}
    nodes = []
    for node in backbone.nodes:
        filters = widths[node.name] = rounded(node.filters)
        first = node.edges[0]
        channels = widths[first.source] if first.kind == "pass" else filters
        layers = []
        for layer in node.layers:
            if layer.groups is not None:
                layer = replace(layer, groups=fitting_groups(layer.groups, channels))
            layers.append(layer)
            channels = filters
        nodes.append(replace(node, filters=filters, layers=tuple(layers)))
    return NodeBackbone(stem=wide, nodes=tuple(nodes), outputs=backbone.outputs)

"""The Spaghetti space: a stem and twelve nodes, six of a backbone and six of a head, each of one to four layers.

Open are the width and depth of every node, the kind, kernel, expansion and groups of every layer, and which two
earlier nodes a node of the head reads. All three published sizes are points of it. Every genotype is a legal network:
groups that do not divide the channels become fewer, as in a width-scaled network; a node nobody reads is left out.

Source: Akin et al., "Searching for Efficient Neural Architectures for On-Device ML on Edge TPUs", 2022: stem,
twelve nodes, layers of separable convolutions, IBN and GC-IBN, MnasFPN merges. The paper says two to four layers;
published nodes have one to four. Levels as published. Assumed: widths around the published ones, and that
the head reads the backbone from level 4 on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hw_model.errors import UsageError
from model_zoo.spec import (
    Edge,
    ImageInput,
    Layer,
    LayerKind,
    MapNode,
    ModelSpec,
    Node,
    NodeBackbone,
    Space,
    SsdHead,
    Stem,
    one_of,
    round_filters,
)
from model_zoo.spec.nodes import STEM, fitting_groups
from model_zoo.variants.spaghettinet_edgetpu import EDGES, OUTPUTS
from pipelines.search.spaces.plan import ANY, PlanSpace

#: Raised whenever a genotype would come to mean another network.
VERSION = 1
STEM_KERNELS = (3, 5)
STEM_FILTERS = (16, 24, 32)
#: Widths of each node; they hold every published one.
WIDTHS: dict[str, tuple[int, ...]] = {
    "n0": (24, 32, 40, 48, 56),
    "n1": (40, 48, 56, 64, 72, 80),
    "n2": (56, 64, 72, 80, 96),
    "n3": (64, 72, 88, 96, 104, 120),
    "n4": (56, 72, 88, 104, 120),
    "n5": (40, 56, 72, 88, 104),
    "c0n0": (96, 120, 144, 152, 160),
    "c0n1": (80, 96, 120, 144),
    "c0n2": (96, 120, 144, 168),
    "c0n3": (80, 96, 112, 136),
    "c0n4": (80, 96, 112, 128, 136),
    "c0n5": (48, 64, 80, 96),
}
KINDS: tuple[LayerKind, ...] = ("separable", "ibn", "gc_ibn")
NO_GC: tuple[LayerKind, ...] = ("separable", "ibn")
KERNELS = (3, 5)
EXPANSIONS = (4, 8)
GROUPS = (2, 3, 4)
MAX_LAYERS = 4
#: What a node of the head may read, if it is earlier, in the order in which a node states what it reads.
SOURCES = ("n2", "n3", "n4", "n5", "c0n4", "c0n3", "c0n2", "c0n1", "c0n0")
ORDER = (STEM, "n0", "n1", *SOURCES)
#: Smaller images have one pixel where the head begins.
MIN_SIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot(Node):
    """One layer of the plan; what its kind has no use for has no effect."""

    kind: LayerKind
    kernel: int
    expansion: int
    groups: int

    def layer(self, channels: int) -> Layer:
        """The layer behind `channels` channels."""
        if self.kind == "separable":
            return Layer(kind=self.kind, kernel=self.kernel)
        groups = fitting_groups(self.groups, channels) if self.kind == "gc_ibn" else None
        return Layer(kind=self.kind, kernel=self.kernel, expansion=self.expansion, groups=groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode(Node):
    """The first `depth` layers of a node, and the two maps it reads: twice the same is that map alone.

    A map alone is passed as it is if it is no coarser than the node.
    """

    name: str
    level: int
    filters: int
    depth: int
    layers: tuple[Slot, ...]
    reads: tuple[str, str]

    def node(self, levels: Mapping[str, int], widths: Mapping[str, int]) -> MapNode:
        """The node behind others of these levels and widths."""
        sources = sorted(set(self.reads), key=ORDER.index)
        passed = len(sources) == 1 and levels[sources[0]] <= self.level
        channels = [widths[sources[0]] if passed else self.filters]
        channels += [self.filters] * (self.depth - 1)
        return MapNode(
            name=self.name,
            level=self.level,
            filters=self.filters,
            edges=tuple(
                Edge(source=source, kind="pass" if passed else "resample") for source in sources
            ),
            layers=tuple(map(Slot.layer, self.layers, channels)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaghettiPlan(Node):
    """A network as its nodes; the space is a plan with open leaves."""

    input: ImageInput
    stem: Stem
    nodes: tuple[PlannedNode, ...]
    head: SsdHead

    def spec(self) -> ModelSpec:
        """The network, without the nodes that lead to no map of the head."""
        levels = {STEM: self.stem.stride.bit_length() - 1}
        widths = {STEM: self.stem.filters}
        nodes = []
        for planned in self.nodes:
            nodes.append(planned.node(levels, widths))
            levels[planned.name], widths[planned.name] = planned.level, planned.filters
        parts = {"stem": self.stem, "nodes": tuple(nodes), "outputs": OUTPUTS}
        return ModelSpec(
            family="spaghettinet_edgetpu",
            input=self.input,
            backbone=NodeBackbone(**(NodeBackbone.settle(parts) or {})),
            head=self.head,
        )


def plan_of(spec: ModelSpec) -> SpaghettiPlan | None:
    """The plan whose network is `spec`, if there is one."""
    backbone = spec.backbone
    if not isinstance(backbone, NodeBackbone) or not isinstance(spec.head, SsdHead):
        return None
    nodes = {node.name: node for node in backbone.nodes}
    return SpaghettiPlan(
        input=spec.input,
        stem=backbone.stem,
        nodes=tuple(_planned(nodes[name]) if name in nodes else ANY for name in WIDTHS),
        head=spec.head,
    )


def _planned(node: MapNode) -> PlannedNode:
    missing = (ANY,) * (MAX_LAYERS - len(node.layers))
    return PlannedNode(
        name=node.name,
        level=node.level,
        filters=node.filters,
        depth=len(node.layers),
        layers=(*map(_slot, node.layers), *missing),
        reads=(node.edges[0].source, node.edges[-1].source),
    )


def _slot(layer: Layer) -> Slot:
    return Slot(
        kind=layer.kind,
        kernel=layer.kernel,
        expansion=ANY if layer.kind == "separable" else layer.expansion,
        groups=ANY if layer.groups is None else layer.groups,
    )


def make_space(
    *,
    image_size: int,
    channels: int,
    num_classes: int,
    width: float = 1.0,
    kinds: tuple[LayerKind, ...] = KINDS,
) -> Space[ModelSpec]:
    """The space for square images of `image_size`; small ones lose levels as published networks do.

    `width` multiplies every width; choices that then coincide become one. `kinds` are those of the layers.
    """
    if image_size < MIN_SIDE:
        raise UsageError(
            f"The space needs images of at least {MIN_SIDE} pixels a side. Received: {image_size}"
        )
    slot = Slot(
        kind=one_of(*kinds),
        kernel=one_of(*KERNELS),
        expansion=one_of(*EXPANSIONS),
        groups=one_of(*GROUPS) if "gc_ibn" in kinds else GROUPS[0],
    )
    last = image_size.bit_length() - 1
    plan = SpaghettiPlan(
        input=ImageInput(height=image_size, width=image_size, channels=channels),
        stem=Stem(kernel=one_of(*STEM_KERNELS), filters=_widths(STEM_FILTERS, width)),
        nodes=tuple(
            PlannedNode(
                name=name,
                level=min(level, last),
                filters=_widths(WIDTHS[name], width),
                depth=one_of(*range(1, MAX_LAYERS + 1)),
                layers=(slot,) * MAX_LAYERS,
                reads=_reads(name, sources),
            )
            for name, level, sources in EDGES
        ),
        head=SsdHead(num_classes=num_classes),
    )
    return PlanSpace(plan, plan_of)


def _reads(name: str, published: tuple[str, ...]) -> tuple[str, str]:
    """What a node reads: in the backbone the one before, in the head a choice of two."""
    if len(published) == 1 and name not in OUTPUTS:
        return (published[0], published[0])
    names = list(WIDTHS)
    earlier = [source for source in SOURCES if names.index(source) < names.index(name)]
    return (one_of(*earlier), one_of(*earlier))


def _widths(published: tuple[int, ...], width: float) -> Any:
    scaled = published if width == 1.0 else [round_filters(each * width) for each in published]
    return one_of(*dict.fromkeys(scaled))

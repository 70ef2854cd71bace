"""Hypothesis strategies for specs: networks nobody designed, legal by construction."""

from hypothesis import strategies as st

from model_zoo.spec import (
    LAYER_KINDS,
    AnchorGrid,
    Backbone,
    BifpnHead,
    ClassifierHead,
    DeepLabHead,
    Edge,
    ImageInput,
    Layer,
    MapNode,
    ModelSpec,
    NodeBackbone,
    SegmentationOutput,
    SsdHead,
    Stack,
    Stem,
)

KINDS = ("dw", "fused", "group_fused", "fused_late_stride", "project")


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    kind = draw(st.sampled_from(KINDS))
    filters = draw(st.sampled_from((8, 16, 24)))
    repeats = draw(st.integers(1, 2))
    residual = draw(st.booleans())
    if kind == "project":
        return Stack(kind=kind, filters=filters, kernel=1, repeats=repeats, residual=residual)
    return Stack(
        kind=kind,
        filters=filters,
        kernel=draw(st.sampled_from((1, 3, 5))),
        stride=draw(st.sampled_from((1, 1, 2))),
        # Every width here is a multiple of 8, so groups of 8 divide whatever a group convolution expands.
        expansion=draw(st.sampled_from((2, 4) if kind == "group_fused" else (1, 2, 3))),
        repeats=repeats,
        residual=residual,
        group_size=draw(st.sampled_from((4, 8, 16))) if kind == "group_fused" else None,
    )


def legal(spec_parts: tuple[Stem, tuple[Stack, ...], float]) -> bool:
    from hw_model.errors import SpecError

    stem, rows, rate = spec_parts
    try:
        Backbone(stem=stem, stacks=rows, drop_connect=rate)
    except SpecError:
        return False
    return True


@st.composite
def specs(draw: st.DrawFn) -> ModelSpec:
    stem, rows, rate = draw(
        st.tuples(
            st.builds(
                Stem,
                kernel=st.sampled_from((1, 3, 5)),
                filters=st.sampled_from((8, 16)),
                stride=st.integers(1, 2),
            ),
            st.lists(stacks(), min_size=1, max_size=3).map(tuple),
            st.sampled_from((0.0, 0.1)),
        ).filter(legal)
    )
    backbone = Backbone(stem=stem, stacks=rows, drop_connect=rate)
    side = backbone.total_stride * draw(st.integers(1, 2)) + draw(st.integers(0, 3))
    head = ClassifierHead(
        num_classes=draw(st.integers(1, 12)),
        top_filters=16,
        dropout=draw(st.sampled_from((0.0, 0.2))),
        form=draw(st.sampled_from(("conv", "dense"))),
        activation=draw(st.sampled_from(("softmax", "sigmoid", None))),
    )
    return ModelSpec(
        family=draw(
            st.sampled_from(
                ("mobilenet_edgetpu_v1", "mobilenet_edgetpu_v2", "efficientnet_edgetpu")
            )
        ),
        input=ImageInput(height=side, width=side + 1, channels=draw(st.sampled_from((1, 3)))),
        backbone=backbone,
        head=draw(st.sampled_from((head, head, None))),
    )


@st.composite
def segmentation_specs(draw: st.DrawFn) -> ModelSpec:
    """Small networks with a segmentation head: any image size, levels, widths and output."""
    strides = draw(st.sampled_from(((2, 2, 2, 2), (2, 2, 2), (2, 1, 2, 2))))
    rows = tuple(
        Stack(kind=draw(st.sampled_from(("dw", "fused"))), filters=8, stride=stride, expansion=2)
        for stride in strides
    )
    backbone = Backbone(stem=Stem(kernel=3, filters=8), stacks=rows)
    output = draw(
        st.sampled_from(
            (
                SegmentationOutput(),
                SegmentationOutput(kind="argmax"),
                SegmentationOutput(kind="fused_argmax", size=24),
            )
        )
    )
    last = backbone.levels[-1]
    classes = draw(st.integers(1, 9))
    bifpn = BifpnHead(
        num_classes=classes,
        min_level=draw(st.integers(2, last - 1)),
        max_level=draw(st.integers(last, 8)),
        filters=draw(st.sampled_from((4, 12))),
        repeats=draw(st.integers(1, 2)),
        output=output,
    )
    deeplab = DeepLabHead(
        num_classes=classes,
        level=last,
        low_level=draw(st.integers(1, last - 1)),
        pyramid_filters=8,
        rates=draw(st.sampled_from(((), (2,), (3, 6)))),
        low_filters=4,
        filters=8,
        repeats=draw(st.integers(1, 2)),
        output=output,
    )
    return ModelSpec(
        family=draw(
            st.sampled_from(
                (
                    "autoseg_edgetpu",
                    "deeplabv3plus_mobilenet_edgetpu_v2",
                    "deeplabv3plus_mobilenet_v2",
                )
            )
        ),
        input=ImageInput(height=draw(st.integers(64, 256)), width=draw(st.integers(64, 256))),
        backbone=backbone,
        head=draw(st.sampled_from((bifpn, deeplab))),
    )


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """A layer of any kind; every width here is a multiple of 8, which all numbers of groups divide."""
    kind = draw(st.sampled_from(LAYER_KINDS))
    ratios = (0.25, 0.75) if kind == "tucker" else (None, None)
    return Layer(
        kind=kind,
        kernel=draw(st.sampled_from((1, 3, 5))),
        expansion=1 if kind in ("separable", "tucker") else draw(st.integers(1, 3)),
        groups=draw(st.sampled_from((2, 4, 8))) if kind == "gc_ibn" else None,
        in_ratio=ratios[0],
        out_ratio=ratios[1],
    )


@st.composite
def detection_specs(draw: st.DrawFn) -> ModelSpec:
    """Small detectors: any chain of nodes, any nodes that resample two of those before, any image size."""
    some_layers = st.lists(layers(), min_size=1, max_size=2).map(tuple)
    widths = st.sampled_from((8, 16, 24))
    nodes: list[MapNode] = []
    level, source = 1, "stem"
    for index in range(draw(st.integers(1, 3))):
        level = level + draw(st.integers(0, 2))
        name = f"n{index}"
        edges = (Edge(source=source),)
        nodes.append(
            MapNode(
                name=name,
                filters=draw(widths),
                level=level,
                edges=edges,
                layers=draw(some_layers),
            )
        )
        source = name
    for index in range(draw(st.integers(0, 3))):
        names = draw(
            st.lists(
                st.sampled_from([node.name for node in nodes] + ["stem"]),
                min_size=1,
                max_size=2,
                unique=True,
            )
        )
        nodes.append(
            MapNode(
                name=f"c{index}",
                filters=draw(widths),
                level=draw(st.integers(1, 6)),
                edges=tuple(Edge(source=name, kind="resample") for name in names),
                layers=draw(some_layers),
            )
        )
    read = {edge.source for node in nodes for edge in node.edges}
    outputs = tuple(node.name for node in nodes if node.name not in read)
    backbone = NodeBackbone(stem=Stem(kernel=3, filters=16), nodes=tuple(nodes), outputs=outputs)
    side = backbone.total_stride
    head = SsdHead(
        num_classes=draw(st.integers(1, 5)),
        extra_filters=draw(st.sampled_from(((), (8,), (8, 16)))),
        anchors=AnchorGrid(
            aspect_ratios=draw(st.sampled_from(((1.0,), (1.0, 2.0, 0.5)))),
            reduce_first=draw(st.booleans()),
        ),
    )
    return ModelSpec(
        family=draw(st.sampled_from(("spaghettinet_edgetpu", "ssdlite_mobiledet_edgetpu"))),
        input=ImageInput(
            height=side + draw(st.integers(0, 40)), width=side + draw(st.integers(0, 90))
        ),
        backbone=backbone,
        head=draw(st.sampled_from((head, head, head, None))),
    )

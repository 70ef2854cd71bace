"""SpaghettiNet-EdgeTPU S, M, L as published, for 320 px and the 90 classes of COCO.

Source: SpaghettiNet feature extractor of the TensorFlow object detection API and its configs; Akin et al. 2022.
The last node is published as level 8 without a stride: its map is of level 7.
"""

from functools import partial

from model_zoo.registry import register
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import ImageInput, ModelSpec
from model_zoo.spec.nodes import Edge, Layer, LayerKind, MapNode, NodeBackbone
from model_zoo.spec.stem import Stem

# name, level, nodes read: one is passed as it is, two are resampled
EDGES: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("n0", 2, ("stem",)),
    ("n1", 3, ("n0",)),
    ("n2", 4, ("n1",)),
    ("n3", 5, ("n2",)),
    ("n4", 6, ("n3",)),
    ("n5", 7, ("n4",)),
    ("c0n0", 5, ("n3", "n4")),
    ("c0n1", 4, ("n2", "c0n0")),
    ("c0n2", 5, ("c0n1", "c0n0")),
    ("c0n3", 6, ("n5", "c0n0")),
    ("c0n4", 7, ("n5", "c0n0")),
    ("c0n5", 7, ("c0n4",)),
)
OUTPUTS = ("c0n1", "c0n2", "c0n3", "c0n4", "c0n5")
# (kind, kernel, expansion, groups)
Row = tuple[LayerKind, int, int, int | None]
IBN8: Row = ("ibn", 3, 8, None)
IBN4: Row = ("ibn", 3, 4, None)
IBN4_K5: Row = ("ibn", 5, 4, None)
SEP3: Row = ("separable", 3, 1, None)
SEP5: Row = ("separable", 5, 1, None)
GC8_3: Row = ("gc_ibn", 3, 8, 3)
GC8: Row = ("gc_ibn", 3, 8, 4)
GC4: Row = ("gc_ibn", 3, 4, 4)
# width and layers of the nodes, in the order of `EDGES`
Widths = tuple[tuple[int, tuple[Row, ...]], ...]
S: Widths = (
    (48, (GC8_3,)),
    (64, (GC4, GC4, GC4)),
    (72, (IBN8, GC8, IBN8, IBN4)),
    (88, (IBN8, IBN8, IBN4, IBN4)),
    (88, (IBN8, SEP5, SEP5, SEP5)),
    (88, (SEP5, SEP3)),
    (144, (IBN4, IBN4, IBN4, IBN4)),
    (120, (IBN8, IBN4, IBN4, IBN4)),
    (168, (IBN4,)),
    (136, (IBN4, SEP3)),
    (136, (IBN4,)),
    (64, (SEP3, SEP3)),
)
M: Widths = (
    (48, (GC8_3,)),
    (64, (GC8, GC4, GC4, GC4)),
    (72, (IBN8, GC8, IBN8, IBN8)),
    (96, (IBN8, IBN8, IBN8, IBN4)),
    (104, (IBN8, IBN4, SEP5, IBN4)),
    (56, (SEP5, SEP3)),
    (152, (IBN8, IBN4, IBN4, IBN4)),
    (120, (IBN8, IBN4, IBN4, IBN4)),
    (168, (IBN4, SEP3)),
    (136, (SEP3, SEP3, SEP3)),
    (136, (IBN4, SEP5)),
    (64, (SEP3, SEP3)),
)
L: Widths = (
    (48, (GC8_3,)),
    (64, (GC8, GC8, GC8, GC4)),
    (80, (IBN8, IBN8, IBN8, IBN4)),
    (104, (IBN8, IBN8, IBN8, IBN8)),
    (88, (IBN8, IBN4_K5, IBN4, IBN8)),
    (56, (IBN4_K5, SEP5)),
    (160, (IBN8, IBN4, IBN4, IBN4)),
    (120, (IBN8, IBN4, IBN4, IBN8)),
    (168, (IBN4, IBN4, IBN4, IBN4)),
    (112, (IBN8, IBN4, SEP3)),
    (128, (IBN4, IBN4)),
    (64, (SEP5, SEP5)),
)
VARIANTS: dict[str, Widths] = {"s": S, "m": M, "l": L}


def spec(size: str) -> ModelSpec:
    """The published network; `size` is a key of `VARIANTS`."""
    nodes = tuple(
        MapNode(
            name=name,
            filters=filters,
            level=level,
            edges=tuple(
                Edge(source=source, kind="pass" if len(sources) == 1 else "resample")
                for source in sources
            ),
            layers=tuple(
                Layer(kind=kind, kernel=kernel, expansion=expansion, groups=groups)
                for kind, kernel, expansion, groups in rows
            ),
        )
        for (name, level, sources), (filters, rows) in zip(EDGES, VARIANTS[size], strict=True)
    )
    return ModelSpec(
        family="spaghettinet_edgetpu",
        input=ImageInput(height=320, width=320),
        backbone=NodeBackbone(stem=Stem(kernel=5, filters=24), nodes=nodes, outputs=OUTPUTS),
        head=SsdHead(num_classes=90),
    )


for _size in VARIANTS:
    register(f"spaghettinet_edgetpu_{_size}", partial(spec, _size), task="detection")

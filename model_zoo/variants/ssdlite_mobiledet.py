"""MobileDet-EdgeTPU with an SSDLite head as published, for 320 px and the 90 classes of COCO.

Source: MobileDet feature extractor of the TensorFlow object detection API and its config; Xiong et al. 2021.
"""

from model_zoo.registry import register
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import ImageInput, ModelSpec
from model_zoo.spec.nodes import STEM, Edge, Layer, LayerKind, MapNode, NodeBackbone
from model_zoo.spec.stem import Stem

# (kind, kernel, expansion)
Row = tuple[LayerKind, int, int]
#: Nodes of C2 to C5, one behind the other: name, level, width, layers.
ROWS: tuple[tuple[str, int, int, tuple[Row, ...]], ...] = (
    ("C2", 2, 16, (("fused", 3, 8), ("fused", 3, 4), ("fused", 3, 8), ("fused", 3, 4))),
    ("C3", 3, 40, (("fused", 5, 8), ("fused", 3, 4), ("fused", 3, 4), ("fused", 3, 4))),
    ("C4a", 4, 72, (("dw", 3, 8), ("dw", 3, 8), ("fused", 3, 4), ("fused", 3, 4))),
    ("C4", 4, 96, (("dw", 5, 8), ("dw", 5, 8), ("dw", 3, 8), ("dw", 3, 8))),
    ("C5a", 5, 120, (("dw", 5, 8), ("dw", 3, 8), ("dw", 5, 4), ("dw", 3, 8))),
    ("C5", 5, 384, (("dw", 5, 8),)),
)
EXTRA_FILTERS = (512, 256, 256, 128)


def spec() -> ModelSpec:
    """The published network."""
    first = Layer(kind="tucker", in_ratio=0.25, out_ratio=0.75)
    nodes = [MapNode(name="C1", filters=16, level=1, edges=(Edge(source=STEM),), layers=(first,))]
    for name, level, filters, rows in ROWS:
        layers = tuple(
            Layer(kind=kind, kernel=kernel, expansion=expansion) for kind, kernel, expansion in rows
        )
        edges = (Edge(source=nodes[-1].name),)
        nodes.append(MapNode(name=name, filters=filters, level=level, edges=edges, layers=layers))
    return ModelSpec(
        family="ssdlite_mobiledet_edgetpu",
        input=ImageInput(height=320, width=320),
        backbone=NodeBackbone(
            stem=Stem(kernel=3, filters=32), nodes=tuple(nodes), outputs=("C4", "C5")
        ),
        head=SsdHead(num_classes=90, extra_filters=EXTRA_FILTERS),
    )


register("ssdlite_mobiledet_edgetpu", spec, task="detection")

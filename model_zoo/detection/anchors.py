"""The anchors of a detector: boxes in the order in which its head speaks of them.

Source: SSD (Liu et al. 2016) in the form of the TensorFlow object detection API's published configs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hw_model.errors import UsageError
from model_zoo.detection.boxes import corners_of
from model_zoo.spec.detection import AnchorGrid, SsdHead
from model_zoo.spec.image import ImageInput, ModelSpec
from model_zoo.spec.nodes import NodeBackbone


def anchors_of(spec: ModelSpec) -> npt.NDArray[np.float32]:
    """Anchors of a detector, (anchors, 4): top, left, bottom and right as shares of its image.

    Raises:
        UsageError: the network is no detector.
    """
    sizes = map_sizes(spec)
    assert isinstance(spec.head, SsdHead)
    return anchor_boxes(spec.head.anchors, sizes, spec.input)


def map_sizes(spec: ModelSpec) -> tuple[tuple[int, int], ...]:
    """(height, width) of every map a detector's head predicts from.

    Raises:
        UsageError: the network is no detector.
    """
    if not isinstance(spec.head, SsdHead) or not isinstance(spec.backbone, NodeBackbone):
        raise UsageError(f"Only a detector has anchors. Received: {spec.family} for {spec.task}")
    strides = [1 << level for level in spec.backbone.output_levels()]
    for _ in spec.head.extra_filters:
        strides.append(2 * strides[-1])
    return tuple((-(-spec.input.height // s), -(-spec.input.width // s)) for s in strides)


def anchor_boxes(
    grid: AnchorGrid, sizes: Sequence[tuple[int, int]], image: ImageInput
) -> npt.NDArray[np.float32]:
    """Anchors on maps of these (height, width), (anchors, 4): top, left, bottom, right, not clipped to the image.

    Scales refer to the short side of the image, so that a square anchor is square in pixels. Anchors lie
    around the middle of their cell.
    """
    short = min(image.height, image.width)
    found = []
    for (height, width), cell in zip(sizes, grid.sizes(len(sizes)), strict=True):
        scales, ratios = np.asarray(cell, np.float64).T
        anchor_heights = scales / np.sqrt(ratios) * short / image.height
        anchor_widths = scales * np.sqrt(ratios) * short / image.width
        y, x, anchor = np.meshgrid(
            (np.arange(height) + 0.5) / height,
            (np.arange(width) + 0.5) / width,
            np.arange(len(cell)),
            indexing="ij",
        )
        rows = (y, x, anchor_heights[anchor], anchor_widths[anchor])
        found.append(np.stack(rows, axis=-1).reshape(-1, 4))
    return corners_of(np.concatenate(found)).astype(np.float32)

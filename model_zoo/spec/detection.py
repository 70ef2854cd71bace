"""The SSDLite head: a class and a box predictor for every feature map, and the grid of anchors they refer to."""

import math
from dataclasses import dataclass
from typing import ClassVar

from hw_model.errors import SpecError
from model_zoo.spec.base import Node, require_int


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorGrid(Node):
    """Boxes at every cell of every map; sizes are shares of the image's short side.

    Scales grow evenly from `min_scale` on the first map to `max_scale` on the last. Each cell has one anchor
    per aspect ratio (width / height) and a square one between this scale and the next; with `reduce_first`
    those of the first map have three instead: a small square, and two of its scale at 2 : 1 and 1 : 2.
    Source: Liu et al. 2016; the defaults are those of the published MobileDet and SpaghettiNet.
    """

    min_scale: float = 0.2
    max_scale: float = 0.95
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5, 3.0, 1 / 3)
    reduce_first: bool = True

    def check(self) -> None:
        for name in ("min_scale", "max_scale"):
            _require_positive(name, getattr(self, name), 1.0)
        if self.min_scale > self.max_scale:
            raise SpecError(
                "min_scale",
                f"must not exceed max_scale {self.max_scale}. Received: {self.min_scale}",
            )
        for index, ratio in enumerate(self.aspect_ratios):
            _require_positive(f"aspect_ratios[{index}]", ratio, 100.0)
        if len(set(self.aspect_ratios)) < max(1, len(self.aspect_ratios)):
            raise SpecError(
                "aspect_ratios",
                f"must be different ones, at least one. Received: {self.aspect_ratios}",
            )
        if not isinstance(self.reduce_first, bool):
            raise SpecError("reduce_first", f"is true or false. Received: {self.reduce_first!r}")

    def sizes(self, maps: int) -> tuple[tuple[tuple[float, float], ...], ...]:
        """(scale, aspect ratio) of the anchors of a cell, for each of `maps` maps, in the order of the head."""
        step = (self.max_scale - self.min_scale) / max(1, maps - 1)
        scales = [*(self.min_scale + step * index for index in range(maps)), 1.0]
        found: list[tuple[tuple[float, float], ...]] = []
        for index, scale in enumerate(scales[:-1]):
            if index == 0 and self.reduce_first:
                found.append(((0.1, 1.0), (scale, 2.0), (scale, 0.5)))
                continue
            between = math.sqrt(scale * scales[index + 1])
            found.append((*((scale, ratio) for ratio in self.aspect_ratios), (between, 1.0)))
        return tuple(found)


def _require_positive(path: str, value: object, maximum: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= maximum:
        raise SpecError(
            path, f"must be a number above 0 and at most {maximum:g}. Received: {value!r}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SsdHead(Node):
    """Predictors on each map of the backbone and on `extra_filters` more, each half the size of the one before.

    `class_logits` is (N, anchors, num_classes + 1), where slot 0 is the background; `box_codes` is
    (N, anchors, 4): centre y, centre x, height and width relative to the anchor. Anchors come map by map, row
    by row, cell by cell. Source: SSDLite (Sandler et al. 2018) as published with MobileDet and SpaghettiNet.
    """

    TAGGED: ClassVar[bool] = True
    num_classes: int
    extra_filters: tuple[int, ...] = ()
    anchors: AnchorGrid = AnchorGrid()

    def check(self) -> None:
        require_int("num_classes", self.num_classes, 1)
        for index, filters in enumerate(self.extra_filters):
            require_int(f"extra_filters[{index}]", filters, 2)
            if filters % 2:
                raise SpecError(
                    f"extra_filters[{index}]",
                    f"must be even, half of it is used. Received: {filters}",
                )

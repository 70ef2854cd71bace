"""Heads that give every pixel a class: BiFPN and DeepLabV3+, and the forms their output takes."""

from dataclasses import dataclass
from typing import ClassVar, Literal, cast

from hw_model.errors import SpecError, UsageError
from model_zoo.spec.base import Node, require_in, require_int, require_rate

OutputKind = Literal["logits", "argmax", "fused_argmax"]
OUTPUT_KINDS: tuple[OutputKind, ...] = ("logits", "argmax", "fused_argmax")
#: Levels beyond this one are a single pixel of any image a spec may have.
MAX_LEVEL = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationOutput(Node):
    """What a segmentation network returns for an image of height H and width W.

    `logits`: scores (N, h, w, num_classes) at the head's own stride. `argmax`: scores resized to H x W, then
    the class of each pixel (N, H, W). `fused_argmax`: scores resized to `size` x `size` only, the class of
    each of those pixels by operations that quantize, then nearest neighbours: (N, H, W, 1).
    """

    kind: OutputKind = "logits"
    size: int | None = None

    def check(self) -> None:
        require_in("kind", self.kind, OUTPUT_KINDS)
        if self.kind == "fused_argmax":
            require_int("size", self.size, 1, 1 << 14)
        elif self.size is not None:
            raise SpecError("size", f"belongs to fused_argmax alone. Received: {self.size}")

    @property
    def name(self) -> str:
        """How commands spell it, such as `fused_argmax_256`."""
        return self.kind if self.size is None else f"{self.kind}_{self.size}"


def output_named(name: str) -> SegmentationOutput:
    """The output a name stands for.

    >>> output_named("fused_argmax_256")
    SegmentationOutput(kind='fused_argmax', size=256)

    Raises:
        UsageError: no such output.
    """
    kind, _, size = name.rpartition("_")
    if kind == "fused_argmax" and size.isascii() and size.isdigit():
        return SegmentationOutput(kind="fused_argmax", size=int(size))
    if name in ("logits", "argmax"):
        return SegmentationOutput(kind=cast(OutputKind, name))
    raise UsageError(
        "An output is 'logits', 'argmax', or 'fused_argmax_' with a size, such as 'fused_argmax_256'. "
        f"Received: {name!r}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BifpnHead(Node):
    """Feature maps of levels `min_level` to `max_level`, mixed `repeats` times, summed at `min_level`.

    Level k has 1 / 2**k of the image's resolution, rounded up. Levels the backbone does not reach are pooled
    from its last one. Source: AutoSeg-EdgeTPU's head, a BiFPN with plain sums.
    """

    TAGGED: ClassVar[bool] = True
    num_classes: int
    min_level: int = 3
    max_level: int = 8
    filters: int = 96
    repeats: int = 4
    output: SegmentationOutput = SegmentationOutput()

    def check(self) -> None:
        require_int("num_classes", self.num_classes, 1)
        require_int("filters", self.filters, 1)
        require_int("repeats", self.repeats, 1, 64)
        require_int("min_level", self.min_level, 1, MAX_LEVEL)
        require_int("max_level", self.max_level, 1, MAX_LEVEL)
        if self.max_level <= self.min_level:
            raise SpecError(
                "max_level", f"must be above min_level {self.min_level}. Received: {self.max_level}"
            )

    def check_levels(self, levels: tuple[int, ...]) -> None:
        """Refuses a backbone whose stride levels do not lead through this head."""
        last = levels[-1]
        if len(levels) < 2:
            raise SpecError(
                "min_level", "the backbone's blocks have no stride; give one a stride of 2"
            )
        if not self.min_level <= last <= self.max_level:
            raise SpecError(
                "min_level" if self.min_level > last else "max_level",
                f"the backbone's last level {last} must be among {self.min_level} to {self.max_level}",
            )
        _require_levels("min_level", range(self.min_level, last + 1), levels)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLabHead(Node):
    """Atrous pyramid on the backbone's last level, joined with an earlier one, then separable convolutions.

    `rates` are the dilations of the pyramid's depthwise branches; scores come at `low_level`.
    Source: DeepLabV3+ on MobileNetEdgeTPUv2 as published.
    """

    TAGGED: ClassVar[bool] = True
    num_classes: int
    level: int = 5
    low_level: int = 4
    pyramid_filters: int = 128
    rates: tuple[int, ...] = (5, 10, 15)
    low_filters: int = 48
    filters: int = 256
    repeats: int = 2
    dropout: float = 0.3
    output: SegmentationOutput = SegmentationOutput()

    def check(self) -> None:
        for name in ("num_classes", "pyramid_filters", "low_filters", "filters"):
            require_int(name, getattr(self, name), 1)
        require_int("repeats", self.repeats, 1, 64)
        require_int("level", self.level, 1, MAX_LEVEL)
        require_int("low_level", self.low_level, 0, MAX_LEVEL)
        require_rate("dropout", self.dropout)
        for index, rate in enumerate(self.rates):
            require_int(f"rates[{index}]", rate, 1, 1 << 10)
        if self.low_level >= self.level:
            raise SpecError(
                "low_level", f"must be below level {self.level}. Received: {self.low_level}"
            )

    def check_levels(self, levels: tuple[int, ...]) -> None:
        """Refuses a backbone whose stride levels do not lead through this head."""
        if self.level != levels[-1]:
            raise SpecError(
                "level", f"must be the backbone's last level {levels[-1]}. Received: {self.level}"
            )
        _require_levels("low_level", (self.low_level,), levels)


def _require_levels(path: str, wanted: "range | tuple[int, ...]", levels: tuple[int, ...]) -> None:
    missing = [level for level in wanted if level not in levels]
    if missing:
        found = ", ".join(map(str, levels))
        raise SpecError(
            path, f"needs the backbone's level {missing[0]}; it has levels {found}, one per stride"
        )


SegmentationHead = BifpnHead | DeepLabHead

"""The space around MobileNetEdgeTPUv2: its seven stages with kind, kernel, expansion, width, depth and group size open.

All five published sizes are points of it. Where groups of the chosen size do not divide a block's channels,
the block is a plain fused one, as in a width-scaled network: so every genotype is a legal network.

Source: Akin et al., "Searching for Efficient Neural Architectures for On-Device ML on Edge TPUs", 2022; no
group below 32 channels, no swish, no squeeze-and-excite.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from model_zoo import create_spec
from model_zoo.spec import (
    Backbone,
    BlockKind,
    ClassifierHead,
    ImageInput,
    ModelSpec,
    OneOf,
    Space,
    Stack,
    Stem,
    image_spec,
    one_of,
    round_filters,
)
from model_zoo.variants.mobilenet_edgetpu_v2 import ROWS

#: Raised whenever a genotype would come to mean another network.
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: its first block, then `extra` blocks that may be absent or doubled."""

    widths: tuple[int, ...]
    extra: int


# Stage 0 is a lone projection. Widths hold every published one and a smaller one.
STAGE_0_WIDTHS = (16, 24, 32)
STAGES = (
    Stage(widths=(24, 32, 48, 64), extra=1),
    Stage(widths=(32, 48, 64, 80, 96), extra=3),
    Stage(widths=(64, 80, 96, 128, 160, 192), extra=3),
    Stage(widths=(96, 112, 144, 160, 192, 240), extra=3),
    Stage(widths=(128, 160, 192, 240, 256), extra=3),
    Stage(widths=(160, 192, 256, 320, 384), extra=1),
)
KINDS: tuple[BlockKind, ...] = ("dw", "fused", "group_fused")
KERNELS = (3, 5)
EXPANSIONS = (2, 4, 8)
GROUP_SIZES = (32, 64, 128)
STEM_KERNELS = (3, 5, 7)
STEM_FILTERS = (32, 48, 64)
TOP_FILTERS = (640, 960, 1280, 1344, 1408)


#: A stack where it stands, (index, channels in, filters, repeats, group size), and its (kind, kernel, expansion).
Standing = tuple[int, int, int, int, int | None]
Chosen = tuple[BlockKind, int, int]


class EdgeTpuSpace(Space[ModelSpec]):
    """The space of `make_space`, which makes blocks fused that cannot be grouped."""

    def __init__(
        self, template: ModelSpec, better: Mapping[tuple[Standing, Chosen], Chosen] | None = None
    ) -> None:
        """`better` are blocks to take instead of others, as the block analyzer found them."""
        super().__init__(template)
        self._better = better or {}
        gene = {choice.path: index for index, choice in enumerate(self.choices)}
        self._slots: list[_Genes] = []
        for index, stack in enumerate(template.stacked.stacks[1:], start=1):
            path = f"backbone.stacks[{index}]"
            stage = cast(OneOf, cast(object, stack.filters)).name
            assert stage is not None, "widths are shared within a stage"
            self._slots.append(
                _Genes(
                    stack=index,
                    kind=gene[f"{path}.kind"],
                    kernel=gene[f"{path}.kernel"],
                    expansion=gene[f"{path}.expansion"],
                    repeats=gene.get(f"{path}.repeats"),
                    width=gene[stage],
                    group_size=gene[stage.replace("width", "group_size")],
                )
            )
        self._first_width = gene["stage0.width"]

    def bind(self, genotype: Sequence[int] | Mapping[str, Any]) -> ModelSpec:
        """The network a genotype stands for; raises `UsageError` for a wrong length or value."""
        return super().bind(self.settled(self.genes(genotype)))

    def settled(self, genotype: Sequence[int]) -> list[int]:
        """The genotype with `fused` wherever `group_fused` is impossible, and with better blocks where known."""
        genes = [int(gene) for gene in genotype]

        def chosen(gene: int) -> Any:
            return self.choices[gene].values[genes[gene]]

        channels: int = chosen(self._first_width)
        for slot in self._slots:
            repeats = 1 if slot.repeats is None else chosen(slot.repeats)
            if repeats == 0:
                continue
            filters, expansion = chosen(slot.width), chosen(slot.expansion)
            size = chosen(slot.group_size)
            inputs = {channels, filters} if repeats > 1 else {channels}
            if chosen(slot.kind) == "group_fused" and not all(
                _divides(size, width, expansion) for width in inputs
            ):
                genes[slot.kind] = self.choices[slot.kind].values.index("fused")
            here = (slot.stack, channels, filters, repeats, size)
            block = (chosen(slot.kind), chosen(slot.kernel), expansion)
            by = self._better.get((here, block)) if self._better else None
            if by is not None:
                for name, value in zip((slot.kind, slot.kernel, slot.expansion), by, strict=True):
                    genes[name] = self.choices[name].values.index(value)
            channels = filters
        return genes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Genes:
    """Where in a genotype the choices of one slot stand."""

    stack: int
    kind: int
    kernel: int
    expansion: int
    repeats: int | None
    width: int
    group_size: int


def _divides(size: int, channels: int, expansion: int) -> bool:
    """Whether groups of `size` part the expanded channels, and the groups the input channels."""
    groups, rest = divmod(channels * expansion, size)
    return rest == 0 and groups > 1 and channels % groups == 0


def make_space(
    *, image_size: int, channels: int, num_classes: int, width: float = 1.0
) -> Space[ModelSpec]:
    """The space for square images of `image_size`; small ones lose strides as published networks do.

    `width` multiplies every width; choices that then coincide become one.
    """
    stem_stride, strides = _fitted_strides(image_size, channels)
    stacks: list[Stack] = [
        Stack(kind="project", kernel=1, filters=_widths(STAGE_0_WIDTHS, width, name="stage0.width"))
    ]
    for number, stage in enumerate(STAGES, start=1):
        stacks.append(_slot(number, stage, strides[number], width, repeats=1))
        stacks += [
            _slot(number, stage, 1, width, repeats=one_of(0, 1, 2)) for _ in range(stage.extra)
        ]
    return EdgeTpuSpace(
        ModelSpec(
            family="mobilenet_edgetpu_v2",
            input=ImageInput(height=image_size, width=image_size, channels=channels),
            backbone=Backbone(
                stem=Stem(
                    kernel=one_of(*STEM_KERNELS),
                    filters=_widths(STEM_FILTERS, width),
                    stride=stem_stride,
                ),
                stacks=tuple(stacks),
                drop_connect=one_of(0.05, 0.1),
            ),
            head=ClassifierHead(
                num_classes=num_classes,
                top_filters=_widths(TOP_FILTERS, width),
                dropout=one_of(0.05, 0.2),
            ),
        )
    )


def _fitted_strides(image_size: int, channels: int) -> tuple[int, dict[int, int]]:
    """Stride of the stem and of each stage's first block, of a published network fitted to the image."""
    shape = (image_size, image_size, channels)
    published = create_spec("mobilenet_edgetpu_v2_s", input_shape=shape, strides="fit")
    backbone = image_spec(published).stacked
    strides: dict[int, int] = {}
    for (*_, stage), stack in zip(ROWS, backbone.stacks, strict=True):
        strides.setdefault(stage, stack.stride)
    return backbone.stem.stride, strides


def _widths(published: tuple[int, ...], width: float, name: str | None = None) -> int:
    scaled = published if width == 1.0 else [round_filters(w * width) for w in published]
    return one_of(*dict.fromkeys(scaled), name=name)


def _slot(number: int, stage: Stage, stride: int, width: float, *, repeats: int) -> Stack:
    return Stack(
        kind=one_of(*KINDS),
        kernel=one_of(*KERNELS),
        expansion=one_of(*EXPANSIONS),
        stride=stride,
        filters=_widths(stage.widths, width, name=f"stage{number}.width"),
        group_size=one_of(*GROUP_SIZES, name=f"stage{number}.group_size"),
        repeats=repeats,
    )

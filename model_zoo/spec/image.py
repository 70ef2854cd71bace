"""Specs of image networks: input, stem, stacks of inverted bottlenecks or nodes of a graph, head."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from hw_model.errors import SpecError
from model_zoo.spec.base import Node, require_in, require_int, require_rate
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.network import Network
from model_zoo.spec.nodes import NodeBackbone
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead
from model_zoo.spec.stem import Stem as Stem

Family = Literal[
    "mobilenet_edgetpu_v1",
    "mobilenet_edgetpu_v2",
    "efficientnet_edgetpu",
    "autoseg_edgetpu",
    "deeplabv3plus_mobilenet_edgetpu_v2",
    "deeplabv3plus_mobilenet_v2",
    "spaghettinet_edgetpu",
    "ssdlite_mobiledet_edgetpu",
]
FAMILIES: tuple[Family, ...] = get_args(Family)
#: Families whose backbone is a graph of nodes.
NODE_FAMILIES: tuple[Family, ...] = ("spaghettinet_edgetpu", "ssdlite_mobiledet_edgetpu")
Task = Literal["classification", "segmentation", "detection", "features"]
#: project: 1x1 projection alone. dw: expand, depthwise, project. fused: k x k conv, project.
#: group_fused: k x k group conv, project. fused_late_stride: fused with the stride on the projection.
BlockKind = Literal["project", "dw", "fused", "group_fused", "fused_late_stride"]
ClassifierActivation = Literal["softmax", "sigmoid"] | None
BLOCK_KINDS: tuple[BlockKind, ...] = ("project", "dw", "fused", "group_fused", "fused_late_stride")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput(Node):
    """Size of the image a network reads, (height, width, channels)."""

    height: int
    width: int
    channels: int = 3

    def check(self) -> None:
        for name in ("height", "width", "channels"):
            require_int(name, getattr(self, name), 1, 1 << 14)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape without the batch."""
        return (self.height, self.width, self.channels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack(Node):
    """`repeats` blocks of one kind and width; only the first has the stride and changes the width.

    `expansion` multiplies the block's input channels; `mid_filters` states the expanded width outright,
    where a published network deviates. A residual joins wherever shape allows, unless `residual` is off.
    """

    kind: BlockKind
    filters: int
    kernel: int = 3
    stride: int = 1
    expansion: int = 1
    repeats: int = 1
    residual: bool = True
    group_size: int | None = None
    mid_filters: int | None = None

    def check(self) -> None:
        require_in("kind", self.kind, BLOCK_KINDS)
        require_int("filters", self.filters, 1)
        require_int("kernel", self.kernel, 1, 31)
        require_int("stride", self.stride, 1, 8)
        require_int("expansion", self.expansion, 1, 64)
        require_int("repeats", self.repeats, 1, 256)
        require_in("residual", self.residual, (True, False))
        if self.mid_filters is not None:
            require_int("mid_filters", self.mid_filters, 1)
        if self.kind == "group_fused":
            require_int("group_size", self.group_size, 1)
        elif self.group_size is not None:
            raise SpecError(
                "group_size", f"belongs to group_fused alone. Received: {self.group_size}"
            )
        if self.kind == "project" and (self.kernel, self.stride, self.expansion) != (1, 1, 1):
            raise SpecError(
                "kind", "'project' is a 1x1 convolution: kernel, stride and expansion are 1"
            )

    def mid_filters_behind(self, channels: int) -> int:
        """The expanded width of a block that reads so many channels."""
        return self.mid_filters or channels * self.expansion

    @classmethod
    def settle(cls, values: dict[str, Any]) -> dict[str, Any] | None:
        if values["repeats"] == 0:
            return None
        if values["kind"] != "group_fused":
            values["group_size"] = None
        return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block with every width resolved."""

    stack: int
    index: int
    kind: BlockKind
    kernel: int
    stride: int
    in_filters: int
    mid_filters: int
    filters: int
    residual: bool
    group_size: int | None
    drop_rate: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone(Node):
    """Stem and stacks; `drop_connect` is the drop rate the last block approaches."""

    stem: Stem
    stacks: tuple[Stack, ...]
    drop_connect: float = 0.0

    def check(self) -> None:
        require_rate("drop_connect", self.drop_connect)
        if not self.stacks:
            raise SpecError("stacks", "must hold at least one stack")
        channels = self.stem.filters
        for number, stack in enumerate(self.stacks):
            if stack.group_size is not None:
                _check_groups(number, stack, channels)
                if stack.repeats > 1:
                    _check_groups(number, stack, stack.filters)
            channels = stack.filters

    def blocks(self) -> Iterator[Block]:
        """Every block in order; drop rates grow linearly over all of them, residual or not."""
        for number in range(len(self.stacks)):
            yield from self.blocks_of(number)

    def blocks_of(self, number: int) -> Iterator[Block]:
        """The blocks of one stack."""
        stack = self.stacks[number]
        channels = self.stacks[number - 1].filters if number else self.stem.filters
        repeats = [each.repeats for each in self.stacks]
        position, total = sum(repeats[:number]), sum(repeats)
        for index in range(stack.repeats):
            stride = stack.stride if index == 0 else 1
            yield Block(
                stack=number,
                index=index,
                kind=stack.kind,
                kernel=stack.kernel,
                stride=stride,
                in_filters=channels,
                mid_filters=stack.mid_filters_behind(channels),
                filters=stack.filters,
                residual=stack.residual and stride == 1 and channels == stack.filters,
                group_size=stack.group_size,
                drop_rate=self.drop_connect * (position + index) / total,
            )
            channels = stack.filters

    @property
    def total_stride(self) -> int:
        """Input pixels per pixel of the last map."""
        return self.stem.stride * math.prod(stack.stride for stack in self.stacks)

    @property
    def levels(self) -> tuple[int, ...]:
        """The stride levels whose maps a head may read, finest first: level k has 1 / 2**k of the input's size."""
        strides = [self.stem.stride]
        for stack in self.stacks:
            strides.append(strides[-1] * stack.stride)
        return tuple(sorted({stride.bit_length() - 1 for stride in strides}))


def _check_groups(number: int, stack: Stack, channels: int) -> None:
    size, mid_filters = stack.group_size, stack.mid_filters_behind(channels)
    if size is None:
        return
    groups = mid_filters // size
    if mid_filters % size or groups < 2 or channels % groups:
        raise SpecError(
            f"stacks[{number}].group_size",
            f"must split {mid_filters} expanded channels into 2 or more equal groups whose number "
            f"divides {channels} input channels; try {_possible_groups(mid_filters, channels)}. Received: {size}",
        )


def _possible_groups(mid_filters: int, channels: int) -> str:
    sizes = [
        mid_filters // groups
        for groups in range(2, mid_filters + 1)
        if mid_filters % groups == 0 and channels % groups == 0
    ]
    return ", ".join(map(str, sizes[:6])) or "another kind or width"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierHead(Node):
    """Top 1x1 convolution, pooling, dropout and classifier; `form` says how the classifier is computed."""

    TAGGED: ClassVar[bool] = True
    num_classes: int
    top_filters: int = 1280
    dropout: float = 0.0
    form: Literal["conv", "dense"] = "conv"
    activation: ClassifierActivation = "softmax"

    def check(self) -> None:
        require_int("num_classes", self.num_classes, 1)
        require_int("top_filters", self.top_filters, 1)
        require_rate("dropout", self.dropout)
        require_in("form", self.form, ("conv", "dense"))
        require_in("activation", self.activation, ("softmax", "sigmoid", None))


Head = ClassifierHead | BifpnHead | DeepLabHead | SsdHead


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec(Network):
    """A whole image network; without a head it is a backbone with named feature maps."""

    family: Family
    input: ImageInput
    backbone: Backbone | NodeBackbone
    head: Head | None = None
    version: Literal[1] = 1

    def check(self) -> None:
        require_in("family", self.family, FAMILIES)
        require_in("version", self.version, (1,))
        nodes = isinstance(self.backbone, NodeBackbone)
        if nodes != (self.family in NODE_FAMILIES):
            kind = "NodeBackbone" if self.family in NODE_FAMILIES else "Backbone"
            raise SpecError("backbone", f"of family {self.family} is a {kind}")
        if self.head is not None and nodes != isinstance(self.head, SsdHead):
            other = "SsdHead" if nodes else "ClassifierHead, BifpnHead or DeepLabHead"
            raise SpecError("head", f"of family {self.family} is a {other}")
        stride = self.backbone.total_stride
        if min(self.input.height, self.input.width) < stride:
            raise SpecError(
                "input",
                f"must be at least the total stride of {stride}; use a larger image or stride 1 in the "
                f"stem. Received: {self.input.height} x {self.input.width}",
            )
        if isinstance(self.head, BifpnHead | DeepLabHead):
            try:
                self.head.check_levels(self.stacked.levels)
            except SpecError as error:
                raise error.under("head") from None

    @property
    def task(self) -> Task:
        """What the network is for, as its head says."""
        if self.head is None:
            return "features"
        if isinstance(self.head, SsdHead):
            return "detection"
        return "classification" if isinstance(self.head, ClassifierHead) else "segmentation"

    @property
    def stacked(self) -> Backbone:
        """The backbone of a network of stacks.

        Raises:
            SpecError: it is a graph of nodes, which has no stacks.
        """
        if isinstance(self.backbone, NodeBackbone):
            raise SpecError(
                "backbone", f"of family {self.family} has nodes, where stacks are needed"
            )
        return self.backbone

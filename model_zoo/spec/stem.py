"""The first convolution of every image network."""

from dataclasses import dataclass

from model_zoo.spec.base import Node, require_int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem(Node):
    """The first convolution."""

    kernel: int
    filters: int
    stride: int = 2

    def check(self) -> None:
        require_int("kernel", self.kernel, 1, 31)
        require_int("filters", self.filters, 1)
        require_int("stride", self.stride, 1, 8)

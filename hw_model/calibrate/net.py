"""Layers in inference form, in a row: how the reference networks are written down."""

from typing import Literal

from hw_model.graph import Graph, GraphBuilder, ops


class Net:
    """Inference-form layers on a `GraphBuilder`: bias and activation are already inside."""

    def __init__(self, height: int, width: int, channels: int = 3) -> None:
        self.builder = GraphBuilder()
        self.x = self.builder.input((1, height, width, channels), dtype="int8")
        self._count = 0

    def emit(self, op: ops.OpType, *inputs: int) -> int:
        self._count += 1
        name = f"{type(op).__name__.lower()}_{self._count}"
        self.x = self.builder.emit(op, inputs or (self.x,), name=name)[0]
        return self.x

    def conv(
        self,
        filters: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        act: ops.ActivationName | None = "relu",
        source: int | None = None,
        padding: ops.Padding = "same",
    ) -> int:
        op = ops.Conv2D(
            filters=filters,
            kernel=kernel if isinstance(kernel, tuple) else (kernel, kernel),
            padding=padding,
            stride=(stride, stride),
            bias=True,
            activation=act,
        )
        return self.emit(op, *(() if source is None else (source,)))

    def depthwise(self, kernel: int = 3, stride: int = 1) -> int:
        return self.emit(
            ops.DepthwiseConv2D(
                kernel=(kernel, kernel), stride=(stride, stride), bias=True, activation="relu6"
            )
        )

    def inverted_bottleneck(self, expansion: int, kernel: int, stride: int, filters: int) -> None:
        source, width = self.x, self.channels()
        if expansion > 1:
            self.conv(width * expansion, act="relu6")
        self.depthwise(kernel, stride)
        self.conv(filters, act=None)
        if stride == 1 and width == filters:
            self.emit(ops.Add(), source, self.x)

    def pool(
        self,
        kernel: int,
        stride: int,
        source: int | None = None,
        mode: Literal["max", "average"] = "max",
        padding: ops.Padding = "same",
    ) -> int:
        op = ops.Pool(mode=mode, kernel=(kernel, kernel), stride=(stride, stride), padding=padding)
        return self.emit(op, *(() if source is None else (source,)))

    def channels(self) -> int:
        return self.builder.shape(self.x)[-1]

    def classify(self, classes: int, name: str) -> Graph:
        self.emit(ops.GlobalPool())
        self.emit(ops.Dense(units=classes))
        return self.finish(name)

    def finish(self, name: str) -> Graph:
        return self.builder.finish(self.x, name=name)

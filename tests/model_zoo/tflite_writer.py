"""Writes an executed graph as a `.tflite` file, as other makers would: every liberty they take is a switch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as s

from hw_model.graph import Graph, Op, ops

#: Layer -> (kernel as Keras has it, bias).
Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]

_ACTIVATIONS = {None: 0, "relu": 1, "relu6": 3}
_NUMBERS = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int8": 9}
SCALE = 0.05


@dataclass(kw_only=True)
class Style:
    """What a file is like."""

    form: str = "int8"  # float32, float16 (of the weights), uint8, int8
    bare_relu: bool = False
    pads: bool = False
    pads_in_front: bool = False  # where an odd zero goes, as PyTorch has it
    mean: bool = False
    float_ends: bool = False
    bias_scales: bool = True
    weight_scales: bool = True
    sparse: bool = False
    extra: str = ""  # an operator behind the first output


class Writer:
    """One file in the making."""

    def __init__(self, graph: Graph, weights: Weights, style: Style) -> None:
        self.graph, self.weights, self.style = graph, weights, style
        self.model = s.ModelT()
        self.model.version, self.model.buffers = 3, [s.BufferT()]
        self.model.operatorCodes = []
        self.main = s.SubGraphT()
        self.main.tensors, self.main.operators = [], []
        self.kind = "float32" if style.form == "float16" else style.form
        self.place = {
            i: self.tensor(f"t{i}", tensor.shape, self.kind)
            for i, tensor in enumerate(graph.tensors)
        }
        self.main.inputs = [self.place[i] for i in graph.inputs]
        if style.float_ends:
            self.main.inputs = [self.recast(i, "QUANTIZE") for i in self.main.inputs]
        for op in graph.ops:
            self.write(op)
        self.main.outputs = [self.place[i] for i in graph.outputs]
        if style.float_ends:
            self.main.outputs = [self.recast(i, "DEQUANTIZE") for i in self.main.outputs]
        if style.extra:
            end = self.main.outputs[0]
            made = self.tensor("extra", tuple(self.main.tensors[end].shape), self.kind)
            self.add(style.extra, [end], [made])
            self.main.outputs[0] = made

    def content(self) -> bytes:
        """The file."""
        self.model.subgraphs = [self.main]
        builder = flatbuffers.Builder(1 << 16)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def recast(self, index: int, code: str) -> int:
        """A float tensor beside one of the network's ends."""
        other = self.tensor(f"real{index}", tuple(self.main.tensors[index].shape), "float32")
        pair = ([other], [index]) if code == "QUANTIZE" else ([index], [other])
        self.add(code, *pair)
        return other

    def tensor(
        self, name: str, shape: Any, kind: str, values: Any = None, quantization: Any = None
    ) -> int:
        """A tensor's place; activations of quantized files get a scale."""
        made = s.TensorT()
        made.name, made.shape, made.type, made.buffer = name, list(shape), _NUMBERS[kind], 0
        if values is not None:
            buffer = s.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.model.buffers.append(buffer)
            made.buffer = len(self.model.buffers) - 1
        elif kind in ("int8", "uint8"):
            quantization = ([SCALE], [128 if kind == "uint8" else 0], 0)
        if quantization is not None:
            made.quantization = s.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = quantization[:2]
            made.quantization.quantizedDimension = quantization[2]
        self.main.tensors.append(made)
        return len(self.main.tensors) - 1

    def add(self, code: str, inputs: list[int], outputs: list[int], **options: Any) -> None:
        """An operator; options are named as the schema names them."""
        number = getattr(s.BuiltinOperator, code)
        known = [entry.builtinCode for entry in self.model.operatorCodes]
        if number not in known:
            entry = s.OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode = number, min(number, 127)
            entry.version = 1
            self.model.operatorCodes.append(entry)
            known.append(number)
        made = s.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = known.index(number), inputs, outputs
        if options:
            kind = options.pop("kind")
            made.builtinOptionsType = getattr(s.BuiltinOptions, kind)
            made.builtinOptions = getattr(s, f"{kind}T")()
            for name, value in options.items():
                setattr(made.builtinOptions, name, value)
        self.main.operators.append(made)

    def numbers(self, values: Any) -> int:
        """Constant integers."""
        array = np.asarray(values, np.int32)
        return self.tensor("numbers", array.shape, "int32", array)

    def constant(self, values: np.ndarray, axis: int) -> tuple[int, Any]:
        """A weight in the file's form, and its scales."""
        form = self.style.form
        if form == "float32":
            return self.tensor("weight", values.shape, form, values.astype(np.float32)), None
        if form == "float16":
            half = self.tensor("half", values.shape, form, values.astype(np.float16))
            whole = self.tensor("weight", values.shape, "float32")
            self.add("DEQUANTIZE", [half], [whole])
            return whole, None
        if form == "uint8":
            low, high = min(values.min(), 0.0), max(values.max(), 0.0)
            scales = np.asarray([(high - low) / 255])
            zeros = np.rint(-low / scales)
            stored = np.clip(np.rint(values / scales + zeros), 0, 255)
        else:
            others = tuple(each for each in range(values.ndim) if each != axis)
            scales = np.abs(values).max(axis=others) / 127 + 1e-9
            zeros = np.zeros(len(scales))
            shape = [-1 if each == axis else 1 for each in range(values.ndim)]
            stored = np.rint(values / scales.reshape(shape))
        own = (list(scales), [int(z) for z in zeros], axis) if self.style.weight_scales else None
        place = self.tensor("weight", values.shape, form, stored.astype(form), own)
        if self.style.sparse:
            self.main.tensors[place].sparsity = s.SparsityParametersT()
        return place, scales

    def biases(self, values: np.ndarray, scales: Any) -> int:
        """A bias, in int32 where weights are quantized."""
        if scales is None:
            return self.tensor("bias", values.shape, "float32", values.astype(np.float32))
        step = np.broadcast_to(scales * SCALE, values.shape)
        stored = np.rint(values / step).astype(np.int32)
        own = (list(scales * SCALE), [0] * len(scales), 0) if self.style.bias_scales else None
        return self.tensor("bias", values.shape, "int32", stored, own)

    def write(self, op: Op) -> None:
        """One operation as an operator or several."""
        inputs = [self.place[i] for i in op.inputs]
        outputs = [self.place[i] for i in op.outputs]
        function = getattr(op.type, "activation", None)
        if function is not None and self.style.bare_relu:
            plain = self.tensor(f"{op.name}/plain", self.graph.output_shapes(op)[0], self.kind)
            self.add("RELU6" if function == "relu6" else "RELU", [plain], outputs)
            relu = self.main.operators.pop()
            getattr(self, f"_{op.kind.lower()}")(op, inputs, [plain], 0)
            self.main.operators.append(relu)
            return
        getattr(self, f"_{op.kind.lower()}")(op, inputs, outputs, _ACTIVATIONS.get(function, 0))

    def _weighted(self, op: Op, kernel: np.ndarray, axis: int) -> list[int]:
        weight, scales = self.constant(kernel, axis)
        return [weight, self.biases(self.weights[op.name][1], scales)]

    def _padded(self, op: Op, source: int) -> tuple[int, int]:
        """What a kernel reads and its padding code: zeros as an operator of their own where asked for."""
        kind: Any = op.type
        if not self.style.pads or kind.kernel == (1, 1) or kind.padding != "same":
            return source, 0 if kind.padding == "same" else 1
        batch, *extents, channels = self.graph.input_shapes(op)[0]
        pairs = []
        for extent, size, stride, step in zip(
            extents, kind.kernel, kind.stride, kind.dilation, strict=True
        ):
            covered = (-(-extent // stride) - 1) * stride + (size - 1) * step + 1
            zeros = max(0, covered - extent)
            half = (zeros // 2, zeros - zeros // 2)
            pairs.append(half[::-1] if self.style.pads_in_front else half)
        shape = [batch, *(e + sum(p) for e, p in zip(extents, pairs, strict=True)), channels]
        wider = self.tensor(f"{op.name}/padded", shape, self.kind)
        self.add("PAD", [source, self.numbers([(0, 0), *pairs, (0, 0)])], [wider])
        return wider, 1

    def _conv2d(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        kind: Any = op.type
        source, padding = self._padded(op, inputs[0])
        own = self._weighted(op, self.weights[op.name][0].transpose(3, 0, 1, 2), 0)
        self.add(
            "CONV_2D", [source, *own], outputs, kind="Conv2DOptions", padding=padding,
            strideH=kind.stride[0], strideW=kind.stride[1], dilationHFactor=kind.dilation[0],
            dilationWFactor=kind.dilation[1], fusedActivationFunction=relu,
        )  # fmt: skip

    def _depthwiseconv2d(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        kind: Any = op.type
        source, padding = self._padded(op, inputs[0])
        own = self._weighted(op, self.weights[op.name][0].transpose(3, 0, 1, 2), 3)
        self.add(
            "DEPTHWISE_CONV_2D", [source, *own], outputs, kind="DepthwiseConv2DOptions",
            padding=padding, strideH=kind.stride[0], strideW=kind.stride[1], depthMultiplier=1,
            dilationHFactor=kind.dilation[0], dilationWFactor=kind.dilation[1],
            fusedActivationFunction=relu,
        )  # fmt: skip

    def _dense(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        own = self._weighted(op, self.weights[op.name][0].T, 0)
        self.add(
            "FULLY_CONNECTED", [*inputs, *own], outputs, kind="FullyConnectedOptions",
            fusedActivationFunction=relu,
        )  # fmt: skip

    def _add(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        self.add("ADD", inputs[::-1], outputs, kind="AddOptions", fusedActivationFunction=relu)

    def _concat(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        axis = len(self.graph.output_shapes(op)[0]) + op.type.axis  # type: ignore[attr-defined]
        self.add("CONCATENATION", inputs, outputs, kind="ConcatenationOptions", axis=axis)

    def _split(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        axis = self.numbers(3)
        self.add("SPLIT", [axis, *inputs], outputs, kind="SplitOptions", numSplits=len(outputs))

    def _pool(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        kind: Any = op.type
        whole = kind.kernel == self.graph.input_shapes(op)[0][1:3] and kind.padding == "valid"
        if whole and self.style.mean:
            axes = self.numbers([1, 2])
            self.add("MEAN", [*inputs, axes], outputs, kind="ReducerOptions", keepDims=True)
            return
        code = "AVERAGE_POOL_2D" if kind.mode == "average" else "MAX_POOL_2D"
        step = (1, 1) if whole else kind.stride
        self.add(
            code, inputs, outputs, kind="Pool2DOptions", padding=int(kind.padding == "valid"), strideH=step[0],
            strideW=step[1], filterHeight=kind.kernel[0], filterWidth=kind.kernel[1],
        )  # fmt: skip

    def _globalpool(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        keep = op.type.keep_dims  # type: ignore[attr-defined]
        axes = self.numbers([1, 2])
        self.add("MEAN", [*inputs, axes], outputs, kind="ReducerOptions", keepDims=keep)

    def _reshape(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        self.add("RESHAPE", [*inputs, self.numbers(self.graph.output_shapes(op)[0])], outputs)

    def _softmax(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        self.add("SOFTMAX", inputs, outputs, kind="SoftmaxOptions", beta=1.0)

    def _activation(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        names = {"relu": "RELU", "relu6": "RELU6", "sigmoid": "LOGISTIC"}
        self.add(names[op.type.function], inputs, outputs)  # type: ignore[attr-defined]

    def _resize(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        bilinear = op.type.mode == "bilinear"  # type: ignore[attr-defined]
        code = "RESIZE_BILINEAR" if bilinear else "RESIZE_NEAREST_NEIGHBOR"
        kind = "ResizeBilinearOptions" if bilinear else "ResizeNearestNeighborOptions"
        size = self.numbers(op.type.size)  # type: ignore[attr-defined]
        self.add(code, [*inputs, size], outputs, kind=kind, halfPixelCenters=True)

    def _slice(self, op: Op, inputs: list[int], outputs: list[int], relu: int) -> None:
        kind: Any = op.type
        cut = [self.numbers(kind.begin), self.numbers(kind.sizes)]
        self.add("SLICE", [*inputs, *cut], outputs)


def random_weights(graph: Graph, seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """A kernel and a bias for every operation of an executed graph that has them."""
    rng = np.random.default_rng(seed)
    found = {}
    for op in graph.ops:
        if isinstance(op.type, ops.Conv2D | ops.DepthwiseConv2D | ops.Dense):
            shape = graph.params(op)[0].shape
            width = graph.output_shapes(op)[0][-1]
            bias = rng.normal(0, 1, width) if op.type.bias else np.zeros(width)
            found[op.name] = (rng.normal(0, 0.3, shape), bias)
    return found

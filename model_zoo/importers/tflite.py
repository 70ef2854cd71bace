"""A trained `.tflite` file as a network of the zoo: what its operators hold becomes the weights of Keras layers."""

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hw_model.errors import DataError
from hw_model.graph import Op, ops
from hw_model.io.tflite_file import FileOperator
from model_zoo.importers.published import assign
from model_zoo.importers.tflite_constants import Constants, Floats
from model_zoo.importers.tflite_match import Match, match_file
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec.image import ModelSpec
from model_zoo.spec.reading import Spec
from model_zoo.text.storage import TextPreprocessor

if TYPE_CHECKING:
    from model_zoo.nn.model import ZooModel

_WEIGHTED = (ops.Conv2D, ops.DepthwiseConv2D, ops.Dense)
_NORMS = (ops.BatchNorm, ops.ScaleShift)
#: What may stand behind the scores of a network.
_TAILS = (ops.Reshape, ops.Resize, ops.Softmax, ops.ArgMax, ops.QuantizedArgMax, ops.Activation)
#: A bias a network has no place for must be as good as none: this share of the largest weight.
_NO_BIAS = 1e-6


def import_tflite(path: str | os.PathLike[str], spec: Spec | None = None) -> "ZooModel":
    """The Keras model of a trained `.tflite` file: float32, uint8 per tensor or int8 per channel.

    `spec` is its architecture, at the file's image size and classes; without one it is found. Batch norms that the
    file has merged into kernels stand as they do nothing but add its biases.

    Raises:
        DataError: unreadable, of another network, or with weights in a form that is not read.
    """
    return build(match_file(Path(path), spec))


def build(
    match: Match,
    *,
    preprocessing: Preprocessing | TextPreprocessor | None = None,
    class_names: tuple[str, ...] = (),
) -> "ZooModel":
    """The Keras model of a file and the spec it was found to hold.

    Without `preprocessing` images are read as the family's are, or as a file of unsigned bytes says.
    """
    from model_zoo.nn.model import ZooModel, default_preprocessing

    weights = weights_of(match)
    if preprocessing is None and isinstance(match.spec, ModelSpec):
        preprocessing = _as_stored(default_preprocessing(match.spec), match)
    model = ZooModel(
        match.spec,
        preprocessing=preprocessing,
        class_names=class_names,
        weights_origin=f"file:{Path(match.whole.file.source).name}",
        name=match.title,
    )
    for name, arrays in weights.items():
        assign(model.get_layer(name), arrays)
    return model


def _as_stored(usual: Preprocessing, match: Match) -> Preprocessing:
    """How pixels become the numbers a file reads: files of unsigned bytes take them as they are."""
    file = match.whole.file
    tensor = file.tensors[file.inputs[0]]
    if tensor.element_type != "UINT8" or tensor.quantization is None:
        return usual
    scale, zero = float(tensor.quantization.scale[0]), float(tensor.quantization.zero_point[0])
    return replace(usual, mean=zero, scale=1 / scale)


def weights_of(match: Match) -> dict[str, list[Floats]]:
    """Arrays of every layer with weights, in the order of `Graph.params`.

    Raises:
        DataError: a weight is missing, in a form that is not read, or has no place in the network.
    """
    return _Unfolding(match).weights()


def score_tensors(match: Match) -> dict[str, int]:
    """Layers and the tensors of the file that hold the same, one for each output.

    In front of a last softmax, sigmoid or argmax: scores tell more than what is made of them.
    """
    graph = match.spec.graph()
    steps = match.steps(graph)
    writers = {index: step.name for step in steps.items for index in step.outputs}
    found = {}
    for index in graph.outputs:
        op = graph.ops[graph.producers[index]]
        while isinstance(op.type, _TAILS):
            index = op.inputs[0]
            op = graph.ops[graph.producers[index]]
        found[op.name] = match.operators[writers[steps.value(index)]].outputs[0]
    return found


def layer_tensors(match: Match) -> dict[str, int]:
    """Every layer whose output the file keeps, and the tensor it keeps it in.

    Of layers that share one, such as a kernel, its norm and its ReLU, the last one.
    """
    graph = match.spec.graph()
    steps = match.steps(graph)
    layers = {steps.value(op.outputs[0]): op.name for op in graph.ops if len(op.outputs) == 1}
    return {
        layers[step.outputs[0]]: match.operators[step.name].outputs[0]
        for step in steps.items
        if step.name in match.operators and step.outputs[0] in layers
    }


class _Unfolding:
    """Takes apart what execution merges, so that the layers compute what the file does.

    A norm that a kernel took over becomes one that only adds the bias. A factor the network multiplies by is taken
    out of the kernel that took it over. A dense layer that reads in front of a norm, with its scale and shift in its
    own weights, is given back those behind the norm.
    """

    def __init__(self, match: Match) -> None:
        self._match = match
        self._constants = Constants(match.whole.file)
        self._graph = graph = match.spec.graph()
        steps = match.steps(graph)
        self._value = steps.value
        self._reads = {step.name: step.inputs for step in steps.items}
        merged = [op for op in graph.ops if op.outputs[0] in steps.absorbed]
        #: By the layer whose kernel took them over.
        self._norms = {self._writer(op): op for op in merged if isinstance(op.type, _NORMS)}
        self._factors = {
            self._writer(op): op.type.factor for op in merged if isinstance(op.type, ops.Rescale)
        }
        self._made: dict[str, list[Floats]] = {}
        #: Biases on their way to the norm behind their layer, by its name.
        self._passed: dict[str, Floats] = {}

    def _writer(self, op: Op) -> str:
        """Name of the layer an operation reads, dropout aside."""
        writer = self._graph.ops[self._graph.producers[op.inputs[0]]]
        return self._writer(writer) if isinstance(writer.type, ops.Dropout) else writer.name

    def weights(self) -> dict[str, list[Floats]]:
        """Every layer's."""
        for op in self._graph.ops:
            params = self._graph.params(op)
            if not params:
                continue
            arrays = self._arrays(op)
            for array, param in zip(arrays, params, strict=True):
                if array.shape != param.shape:
                    raise DataError(
                        f"{self._match.whole.file.source}: {op.name} must hold {param.name} of shape "
                        f"{param.shape}. Received: {array.shape}"
                    )
            self._made[op.name] = arrays
        return self._made

    def _arrays(self, op: Op) -> list[Floats]:
        kind = op.type
        if isinstance(kind, _WEIGHTED):
            return self._layer(op)
        if isinstance(kind, ops.GroupConv2D):
            return self._groups(op.name, kind)
        if isinstance(kind, ops.BatchNorm):
            return _plain_norm(self._passed.pop(op.name), kind.epsilon)
        if isinstance(kind, ops.ScaleShift):
            return self._scale_shift(op)
        if isinstance(kind, ops.Embedding):
            return [self._constants.kernel(self._operator(op.name))]
        if isinstance(kind, ops.PositionEmbedding):
            rows = self._constants.operand(self._operator(op.name))
            return [rows.reshape(rows.shape[-2:])]
        if isinstance(kind, ops.TiedLogits):
            operator = self._operator(op.name)
            table = self._constants.kernel(operator).T
            bias = self._bias(operator, kind.rows)
            wider = table.shape[1] > kind.width
            return [table[:, kind.width :], bias] if wider else [bias]
        raise DataError(f"{op.name} ({op.kind}) cannot be read from .tflite files")

    def _operator(self, name: str) -> FileOperator:
        return self._match.operators[name]

    def _bias(self, operator: FileOperator, size: int) -> Floats:
        bias = self._constants.bias(operator)
        return np.zeros(size, np.float32) if bias is None else bias

    def _layer(self, op: Op) -> list[Floats]:
        """Kernel, and where the layer has one its bias."""
        operator, kind = self._operator(op.name), op.type
        param = self._graph.params(op)[0]
        kernel = self._constants.kernel(operator)
        if kernel.size == math.prod(param.shape):  # a dense layer may be a 1x1 convolution
            kernel = kernel.reshape(param.shape)
        bias = self._bias(operator, self._graph.output_shapes(op)[0][-1])
        factor = np.float32(self._factors.get(op.name, 1.0))
        kernel, bias = kernel / factor, bias / factor
        if self._reads[op.name][0] != self._value(op.inputs[0]):
            kernel, bias = _behind(self._made[self._writer(op)], kernel, bias)
        norm = self._norms.get(op.name)
        owns = bool(getattr(kind, "bias", False))
        if norm is not None:
            self._passed[norm.name] = bias
            bias = np.zeros_like(bias)
        elif not owns and np.abs(bias).max() > _NO_BIAS * np.abs(kernel).max():
            raise DataError(
                f"{self._match.whole.file.source}: the operator of {op.name} adds a bias, which the network does "
                "not have there"
            )
        return [kernel, bias] if owns else [kernel]

    def _groups(self, name: str, kind: ops.GroupConv2D) -> list[Floats]:
        """The kernels of the groups, then their norms."""
        if self._match.group_form == "native":
            operator = self._operator(name)
            kernels = np.split(self._constants.kernel(operator), kind.groups, axis=-1)
            biases = np.split(self._bias(operator, kind.filters), kind.groups)
        else:
            each = [self._operator(f"{name}/conv_{group}") for group in range(kind.groups)]
            kernels = [self._constants.kernel(operator) for operator in each]
            biases = [self._bias(operator, kind.group_size) for operator in each]
        norms = [part for bias in biases for part in _plain_norm(bias, kind.epsilon)]
        return [*kernels, *norms]

    def _scale_shift(self, op: Op) -> list[Floats]:
        """As the file has them, or nothing but what the layer before passes on."""
        width = self._graph.output_shapes(op)[0][-1]
        if f"{op.name}/scale" in self._match.operators:
            parts = (self._operator(f"{op.name}/{part}") for part in ("scale", "shift"))
            return [np.broadcast_to(self._constants.operand(p).ravel(), (width,)) for p in parts]
        passed = self._passed.pop(op.name, np.zeros(width, np.float32))
        return [np.ones(width, np.float32), passed]


def _plain_norm(bias: Floats, epsilon: float) -> list[Floats]:
    """Gamma, beta, mean and variance of a batch norm that adds a bias and does no more."""
    one = np.ones_like(bias)
    return [one * np.float32(math.sqrt(1 + epsilon)), bias, np.zeros_like(bias), one]


def _behind(norm: list[Floats], kernel: Floats, bias: Floats) -> tuple[Floats, Floats]:
    """Weights for what a scale and shift make of a layer's input, from those for the input itself."""
    gamma, beta = (part.astype(np.float64) for part in norm)
    known = gamma != 0  # a channel that is shut off reaches no weight
    own = np.where(known[:, None], kernel / np.where(known, gamma, 1.0)[:, None], 0.0)
    return own.astype(np.float32), (bias - beta @ own).astype(np.float32)

"""Files of several precisions: AI Edge Quantizer rounds a float file operator by operator, as a policy asks.

TensorFlow's converter has one precision for a whole file, so this is the back end of policies alone: where everything
is int8 its files answer no better (`benchmarks/results/ptq_backends.json`).
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw_model.errors import EdgeZooError, EnvironmentFault, UsageError
from hw_model.io.tflite_file import FileOperator, TFLiteFile, load
from pipelines.export.convert import Converted, Sample, convert_float
from pipelines.export.edit import Edit
from pipelines.export.fidelity import CASTS, feed
from pipelines.export.precision import PRECISIONS, Policy, Precision
from pipelines.export.progress import Report
from pipelines.export.quiet import quiet
from pipelines.export.runner import make_interpreter

#: What only moves values has the precision of what it moves, unless a rule names it.
_MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "PAD")
#: Bits of activations; the weights of both have 8.
_BITS = {"int8": 8, "int16": 16}
_FLOAT: Precision = "float32"
#: Smallest and largest value a tensor has had, by its name.
Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class InPrecision:
    """Operators of a file that compute in one precision, counted by kind."""

    precision: Precision
    operators: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """What a policy asked for, and what the file holds.

    `unmet` names operators in another precision than they were asked to have: kernels or the quantizer lack them.
    """

    policy: Policy
    operators: tuple[InPrecision, ...]
    unmet: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rounding:
    """A float file that can be rounded by one policy after the other.

    `layers` are those of the model that each of its operators computes, in the file's order.
    """

    float32: bytes
    file: TFLiteFile
    layers: tuple[tuple[str, ...], ...]
    ranges: Ranges

    def wanted(self, policy: Policy) -> list[Precision]:
        """What a policy asks of each operator."""
        found: list[Precision] = []
        held: dict[int, Precision] = {}
        for operator, layers in zip(self.file.operators, self.layers, strict=True):
            asked = policy.precision_of(layers)
            if asked is None and operator.code in _MOVES:
                asked = held.get(operator.inputs[0])
            found.append(asked or policy.default)
            held |= dict.fromkeys(operator.outputs, found[-1])
        return found

    def apply(self, policy: Policy, *, name: str) -> bytes:
        """The file a policy asks for; inputs and outputs are as precise as what reads and computes them.

        Raises:
            SpecError: a rule that matches no layer.
        """
        policy.check(list(dict.fromkeys(layer for layers in self.layers for layer in layers)))
        wanted = self.wanted(policy)
        scopes = {
            self._scope(operator.outputs): precision
            for operator, precision in zip(self.file.operators, wanted, strict=True)
        }
        readers = [
            precision
            for operator, precision in zip(self.file.operators, wanted, strict=True)
            if {*operator.inputs} & {*self.file.inputs}
        ]
        writers = [
            precision
            for operator, precision in zip(self.file.operators, wanted, strict=True)
            if {*operator.outputs} & {*self.file.outputs}
        ]
        with quiet():
            try:
                return _rounded(self, policy.default, scopes, _most(readers), _most(writers))
            except EdgeZooError:
                raise
            except Exception as error:  # whatever the quantizer's checks and loops throw
                first = str(error).strip().partition("\n")[0][:300]
                raise EdgeZooError(
                    f"AI Edge Quantizer cannot quantize {name!r}: {first}"
                ) from error

    def mixture(self, content: bytes, policy: Policy) -> Mixture:
        """What a file made by `apply` holds, read from the file itself."""
        held = precisions(load(content))
        counts = {each: Counter[str]() for each in PRECISIONS}
        unmet: Counter[tuple[str, Precision, Precision]] = Counter()
        wanted = self.wanted(policy)
        for operator, asked, got in zip(self.file.operators, wanted, held, strict=True):
            counts[got][operator.code] += 1
            if asked != got:
                unmet[operator.code, asked, got] += 1
        return Mixture(
            policy=policy,
            operators=tuple(
                InPrecision(precision=each, operators=tuple(found.most_common()))
                for each, found in counts.items()
                if found
            ),
            unmet=tuple(
                f"{count} {code} in {got} instead of {asked}"
                for (code, asked, got), count in unmet.items()
            ),
        )

    def _scope(self, tensors: Iterable[int]) -> str:
        """What the quantizer calls an operator by."""
        return "".join(f"{self.file.tensors[index].name};" for index in tensors)


def prepare(model: Any, samples: Sequence[Sample], report: Report) -> Rounding:
    """The float file of a model with its layers and the ranges of its tensors over `samples`.

    Raises:
        UsageError: a model that has learned ranges of its own.
        EnvironmentFault: AI Edge Quantizer is not installed.
    """
    require_quantizer()
    content = convert_float(model, report)
    file = load(content)
    if any(op.code in (*CASTS, "FAKE_QUANT") for op in file.operators):
        raise UsageError(
            "A network that has learned ranges of its own is exported in 8 bits throughout; a policy needs the "
            f"float network it came from. Received: {model.name!r}"
        )
    return Rounding(
        float32=content,
        file=file,
        layers=layers_of(model, file),
        ranges=ranges_of(content, samples, report),
    )


def require_quantizer() -> None:
    """Raises `EnvironmentFault` where AI Edge Quantizer is missing."""
    try:
        with quiet():
            import ai_edge_quantizer  # noqa: F401
    except ImportError as error:
        raise EnvironmentFault(
            "Precision policies need AI Edge Quantizer: pip install 'edgezoo[mixed]'"
        ) from error


def layers_of(model: Any, file: TFLiteFile) -> tuple[tuple[str, ...], ...]:
    """The layers each operator of a float file computes, by the names of its outputs.

    A name holds those of all layers an operator was made of, such as
    `net_1/stem_relu_1/Relu;net_1/stem_conv2d_1/convolution`, where the number after the model's own name stands
    behind each. What computes an output of the model has lost its name, and is known by its constants.
    """
    names = frozenset(layer.name for layer in model.layers)
    texts = [file.tensors[index].name for op in file.operators for index in op.outputs]
    suffix = _suffix(model.name, texts)
    ends = dict(zip(file.outputs, _output_layers(model), strict=True))
    fixed = file.constants()
    found = []
    for operator in file.operators:
        texts = [file.tensors[index].name for index in operator.outputs]
        layers = [ends[index] for index in operator.outputs if index in ends]
        if layers:
            texts += [file.tensors[index].name for index in operator.inputs if index in fixed]
        parts = [part for text in texts for part in re.split("[/;]", text)]
        layers += [layer for part in parts if (layer := _layer(part, suffix, names))]
        found.append(tuple(dict.fromkeys(layers)))
    return tuple(found)


def _suffix(model: str, texts: Iterable[str]) -> str:
    """What stands behind the name of the model, and so behind that of each layer."""
    for text in texts:
        for part in text.split(";"):
            root = part.partition("/")[0]
            if re.fullmatch(rf"{re.escape(model)}(_\d+)?", root):
                return root.removeprefix(model)
    return ""


def _layer(part: str, suffix: str, names: frozenset[str]) -> str | None:
    """The layer a part of a tensor's name stands for."""
    for name in (part.removesuffix(suffix), part, re.sub(r"_\d+$", "", part)):
        if name in names:
            return name
    return None


def _output_layers(model: Any) -> list[str]:
    """The layer behind each output, in the order of a file's outputs."""
    outputs = model.output
    if isinstance(outputs, dict):
        outputs = [outputs[key] for key in sorted(outputs)]
    elif not isinstance(outputs, list | tuple):
        outputs = [outputs]
    return [str(tensor._keras_history.operation.name) for tensor in outputs]


def ranges_of(content: bytes, samples: Sequence[Sample], report: Report) -> Ranges:
    """Smallest and largest value of every float tensor that is computed, over all samples."""
    interpreter = make_interpreter(content, preserve=True)
    file = load(content)
    tensors = [
        (index, file.tensors[index].name)
        for index in (*file.inputs, *(index for op in file.operators for index in op.outputs))
        if file.tensors[index].element_type == "FLOAT32"
    ]
    found: Ranges = {}
    report("calibrate", 0)
    for sample in samples:
        feed(interpreter, sample)
        for index, name in tensors:
            values = interpreter.get_tensor(index)
            low, high = found.get(name, (np.inf, -np.inf))
            found[name] = (min(low, float(values.min())), max(high, float(values.max())))
        report("calibrate", 1)
    return found


def precisions(file: TFLiteFile) -> list[Precision]:
    """What each operator of a file computes in, casts left out."""
    fixed = file.constants()
    return [_held(file, fixed, op) for op in file.operators if op.code not in CASTS]


def _held(file: TFLiteFile, fixed: Collection[int], operator: FileOperator) -> Precision:
    """By the first of its tensors that is computed: results of an argmax are numbers in themselves."""
    computed = [index for index in operator.inputs if index >= 0 and index not in fixed]
    for index in (*computed, *operator.outputs):
        for precision in PRECISIONS:
            if file.tensors[index].element_type == precision.upper():
                return precision
    return PRECISIONS[0]


def _most(precisions: Sequence[Precision]) -> Precision:
    """The highest of several precisions."""
    return max(precisions, key=PRECISIONS.index, default="int8")


def _rounded(
    rounding: Rounding,
    default: Precision,
    scopes: dict[str, Precision],
    reading: Precision,
    writing: Precision,
) -> bytes:
    from ai_edge_quantizer import Quantizer, qtyping, recipe_manager

    names = qtyping.TFLOperationName
    manager = recipe_manager.RecipeManager()

    def add(pattern: str, operation: Any, precision: Precision) -> None:
        if precision == _FLOAT:
            manager.add_quantization_config(pattern, operation, algorithm_key="no_quantize")
        else:
            manager.add_static_config(pattern, operation, _BITS[precision], 8)

    add(".*", names.ALL_SUPPORTED, default)
    for precision in PRECISIONS:
        # One pattern for all: each pattern is tried on each operator.
        if found := [re.escape(scope) for scope, asked in scopes.items() if asked == precision]:
            add(f"^(?:{'|'.join(found)})$", names.ALL_SUPPORTED, precision)
    add("(?s:.*)", names.INPUT, reading)
    add("(?s:.*)", names.OUTPUT, writing)
    ranges = {
        name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
        for name, (low, high) in rounding.ranges.items()
    }
    quantizer = Quantizer(rounding.float32, manager.get_quantization_recipe())
    result = quantizer.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def convert_mixed(
    model: Any, samples: Sequence[Sample], policy: Policy, report: Report
) -> tuple[Converted, Mixture]:
    """A file in the precisions a policy asks for, and what it holds of each."""
    rounding = prepare(model, samples, report)
    report("quantize", 0)
    # The quantizer keeps constants of larger files behind the tables, where not every runtime looks for them.
    content = Edit(rounding.apply(policy, name=model.name)).content()
    return Converted(int8=content, float32=rounding.float32), rounding.mixture(content, policy)

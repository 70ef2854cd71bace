"""How close an int8 file stays to the float file it came from, tensor by tensor."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hw_model.io.tflite_file import TFLiteFile, load
from pipelines.export.convert import Converted, Sample
from pipelines.export.progress import Report
from pipelines.export.runner import Port, make_interpreter

#: Written where both files agree to the last bit.
EXACT_DB = 200.0
#: Operators that only change how a value is stored.
CASTS = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSqnr:
    """Signal to quantization noise of one operator's output, in dB; 6 dB are one bit."""

    name: str
    operator: str
    sqnr_db: float


def measure_sqnr(
    converted: Converted, samples: Sequence[Sample], report: Report
) -> tuple[TensorSqnr, ...]:
    """SQNR of every operator output that both files compute, in execution order.

    The noise of a tensor is all that gathered up to it, not that of its operator alone.
    """
    return tuple(sqnr_by_tensor(converted, samples, report).values())


def sqnr_by_tensor(
    converted: Converted, samples: Sequence[Sample], report: Report
) -> dict[int, TensorSqnr]:
    """`measure_sqnr` by the tensors' places in the float file."""
    pairs = _pairs(load(converted.float32), load(converted.int8))
    exact = make_interpreter(converted.float32, preserve=True)
    rounded = make_interpreter(converted.int8, preserve=True)
    # A model that rounds already, such as one with a learned range, has int8 tensors in its float file.
    wanted_ports, ports = (
        {details["index"]: Port(details) for details in each.get_tensor_details()}
        for each in (exact, rounded)
    )
    signal = np.zeros(len(pairs))
    noise = np.zeros(len(pairs))
    for sample in samples:
        feed(exact, sample)
        feed(rounded, sample)
        for row, (_, _, left, right) in enumerate(pairs):
            wanted = wanted_ports[left].real(exact.get_tensor(left)).astype(np.float64)
            got = ports[right].real(rounded.get_tensor(right))
            signal[row] += np.sum(wanted**2)
            noise[row] += np.sum((wanted - got) ** 2)
        report("compare", 1)
    return {
        left: TensorSqnr(name=name, operator=code, sqnr_db=decibel(signal[row], noise[row]))
        for row, (name, code, left, _) in enumerate(pairs)
        if signal[row] > 0  # an output that is always zero has no ratio
    }


def decibel(signal: float, noise: float) -> float:
    """A ratio of powers in dB, at most `EXACT_DB`."""
    if noise == 0:
        return EXACT_DB
    return round(min(EXACT_DB, 10 * math.log10(signal / noise)), 2)


def feed(interpreter: Any, sample: Sample) -> None:
    """Runs an interpreter on one sample of real values."""
    for details, values in zip(interpreter.get_input_details(), sample, strict=True):
        interpreter.set_tensor(details["index"], Port(details).store(values))
    interpreter.invoke()


def _pairs(exact: TFLiteFile, rounded: TFLiteFile) -> list[tuple[str, str, int, int]]:
    """(name, operator, float tensor, int8 tensor): by position where both files have the same operators."""
    left = [op for op in exact.operators if op.code not in CASTS and op.outputs]
    right = [op for op in rounded.operators if op.code not in CASTS and op.outputs]
    if [op.code for op in left] == [op.code for op in right]:
        return [
            (exact.tensors[a.outputs[0]].name, a.code, a.outputs[0], b.outputs[0])
            for a, b in zip(left, right, strict=True)
        ]
    by_name = {rounded.tensors[op.outputs[0]].name: op.outputs[0] for op in right}
    named = [(exact.tensors[op.outputs[0]].name, op) for op in left]
    return [(name, op.code, op.outputs[0], by_name[name]) for name, op in named if name in by_name]

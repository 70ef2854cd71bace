"""The constants of a `.tflite` file as real numbers, laid out as Keras lays out its weights."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError
from hw_model.io.tflite_file import FileOperator, FileTensor, TFLiteFile

Floats = npt.NDArray[np.float32]

_STORED = {
    "FLOAT32": "<f4", "FLOAT16": "<f2", "INT8": "i1", "UINT8": "u1", "INT16": "<i2", "INT32": "<i4", "INT64": "<i8",
}  # fmt: skip
_FLOATS = ("FLOAT32", "FLOAT16")
#: Where operators have their kernel, or their table.
_KERNELS = {
    "CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "BATCH_MATMUL": 1, "EMBEDDING_LOOKUP": 1, "GATHER": 0,
}  # fmt: skip
_BIASED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


class Constants:
    """What the operators of one file hold."""

    def __init__(self, file: TFLiteFile) -> None:
        self._file = file
        self._fixed = file.constants()
        # Weights may be kept in 16 bits, and made 32 when the file is loaded.
        self._widened = {
            operator.outputs[0]: operator.inputs[0]
            for operator in file.operators
            if operator.code == "DEQUANTIZE" and operator.inputs[0] in self._fixed
        }

    def kernel(self, operator: FileOperator) -> Floats:
        """(height, width, in, out) of a convolution, (in, out) of a dense layer, (rows, width) of a table."""
        values = self._real(operator, _KERNELS[operator.code])
        if operator.code in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            return values.transpose(1, 2, 3, 0)
        turned = operator.code == "FULLY_CONNECTED" or (
            operator.code == "BATCH_MATMUL" and bool(operator.option(1, "?"))
        )
        return values.swapaxes(-1, -2) if turned else values

    def bias(self, operator: FileOperator) -> Floats | None:
        """(out,) of a layer; None where it has none."""
        absent = len(operator.inputs) < 3 or operator.inputs[2] < 0
        return None if operator.code not in _BIASED or absent else self._real(operator, 2)

    def operand(self, operator: FileOperator) -> Floats:
        """What a sum or product adds or multiplies by."""
        place = 0 if self._is_fixed(operator.inputs[0]) else 1
        values = self._real(operator, place)
        return -values if operator.code == "SUB" and place == 1 else values

    def _is_fixed(self, index: int) -> bool:
        return index in self._fixed or index in self._widened

    def _real(self, operator: FileOperator, place: int) -> Floats:
        index = self._widened.get(operator.inputs[place], operator.inputs[place])
        tensor = self._file.tensors[index]
        where = f"{self._file.source}: {tensor.name or operator.code}"
        if tensor.is_sparse or tensor.element_type not in _STORED or not len(tensor.data):
            kind = "sparse" if tensor.is_sparse else tensor.element_type
            raise DataError(
                f"{where} holds weights in a form that is not read (float32, float16 and integers of 8 to 32 bits "
                f"are). Received: {kind if len(tensor.data) else 'no constant'}"
            )
        stored = np.frombuffer(tensor.data, _STORED[tensor.element_type]).reshape(tensor.shape)
        if tensor.element_type in _FLOATS:
            return stored.astype(np.float32)
        return _dequantized(stored, self._scale(operator, place, tensor, where), tensor)

    def _scale(
        self, operator: FileOperator, place: int, tensor: FileTensor, where: str
    ) -> npt.NDArray[np.float64]:
        """Its own, or of a bias without one that of input times kernel."""
        if tensor.quantization is not None:
            return tensor.quantization.scale.astype(np.float64)
        factors = [self._file.tensors[index].quantization for index in operator.inputs[:2]]
        if place != 2 or None in factors:
            raise DataError(
                f"{where} is {tensor.element_type.lower()} without scale and zero point; export it again"
            )
        left, right = (each.scale.astype(np.float64) for each in factors if each is not None)
        return left * right


def _dequantized(
    stored: npt.NDArray[Any], scale: npt.NDArray[np.float64], tensor: FileTensor
) -> Floats:
    quantization = tensor.quantization
    zero: Any = quantization.zero_point if quantization is not None else np.zeros(1, np.int64)
    if len(scale) > 1:
        shape = [1] * stored.ndim
        shape[quantization.axis if quantization is not None else 0] = -1
        scale = scale.reshape(shape)
        zero = zero.reshape(shape) if len(zero) > 1 else zero
    return ((stored.astype(np.int64) - zero) * scale).astype(np.float32)

"""Files of others: reads `.tflite` models into graphs."""

from hw_model.io.tflite import (
    Header,
    Port,
    float_operators,
    read_header,
    read_tflite,
    tensor_quantization,
    weight_bytes,
)
from hw_model.io.tflite_file import TensorQuantization, read_metadata

__all__ = [
    "Header", "Port", "TensorQuantization", "float_operators", "read_header", "read_metadata",
    "read_tflite", "tensor_quantization", "weight_bytes",
]  # fmt: skip

"""Names and numbers of the TFLite file format, version 3: operator codes, element types, field slots.

Source: the published format definition (tensorflow/lite/schema/schema.fbs, file identifier TFL3), as compiled into
TensorFlow 2.21 and LiteRT 2.3; a test compares operators and element types with the latter.
"""

from typing import Final

from hw_model.graph import ops
from hw_model.graph.types import DType

IDENTIFIER: Final = b"TFL3"

#: Operator names by builtin code, from 0.
# fmt: off
OPERATORS: Final[tuple[str, ...]] = (
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTH_TO_SPACE", "DEQUANTIZE",
    "EMBEDDING_LOOKUP", "FLOOR", "FULLY_CONNECTED", "HASHTABLE_LOOKUP", "L2_NORMALIZATION", "L2_POOL_2D",
    "LOCAL_RESPONSE_NORMALIZATION", "LOGISTIC", "LSH_PROJECTION", "LSTM", "MAX_POOL_2D", "MUL", "RELU",
    "RELU_N1_TO_1", "RELU6", "RESHAPE", "RESIZE_BILINEAR", "RNN", "SOFTMAX", "SPACE_TO_DEPTH", "SVDF", "TANH",
    "CONCAT_EMBEDDINGS", "SKIP_GRAM", "CALL", "CUSTOM", "EMBEDDING_LOOKUP_SPARSE", "PAD",
    "UNIDIRECTIONAL_SEQUENCE_RNN", "GATHER", "BATCH_TO_SPACE_ND", "SPACE_TO_BATCH_ND", "TRANSPOSE", "MEAN",
    "SUB", "DIV", "SQUEEZE", "UNIDIRECTIONAL_SEQUENCE_LSTM", "STRIDED_SLICE", "BIDIRECTIONAL_SEQUENCE_RNN",
    "EXP", "TOPK_V2", "SPLIT", "LOG_SOFTMAX", "DELEGATE", "BIDIRECTIONAL_SEQUENCE_LSTM", "CAST", "PRELU",
    "MAXIMUM", "ARG_MAX", "MINIMUM", "LESS", "NEG", "PADV2", "GREATER", "GREATER_EQUAL", "LESS_EQUAL", "SELECT",
    "SLICE", "SIN", "TRANSPOSE_CONV", "SPARSE_TO_DENSE", "TILE", "EXPAND_DIMS", "EQUAL", "NOT_EQUAL", "LOG",
    "SUM", "SQRT", "RSQRT", "SHAPE", "POW", "ARG_MIN", "FAKE_QUANT", "REDUCE_PROD", "REDUCE_MAX", "PACK",
    "LOGICAL_OR", "ONE_HOT", "LOGICAL_AND", "LOGICAL_NOT", "UNPACK", "REDUCE_MIN", "FLOOR_DIV", "REDUCE_ANY",
    "SQUARE", "ZEROS_LIKE", "FILL", "FLOOR_MOD", "RANGE", "RESIZE_NEAREST_NEIGHBOR", "LEAKY_RELU",
    "SQUARED_DIFFERENCE", "MIRROR_PAD", "ABS", "SPLIT_V", "UNIQUE", "CEIL", "REVERSE_V2", "ADD_N", "GATHER_ND",
    "COS", "WHERE", "RANK", "ELU", "REVERSE_SEQUENCE", "MATRIX_DIAG", "QUANTIZE", "MATRIX_SET_DIAG", "ROUND",
    "HARD_SWISH", "IF", "WHILE", "NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", "SCATTER_ND", "SELECT_V2",
    "DENSIFY", "SEGMENT_SUM", "BATCH_MATMUL", "PLACEHOLDER_FOR_GREATER_OP_CODES", "CUMSUM", "CALL_ONCE",
    "BROADCAST_TO", "RFFT2D", "CONV_3D", "IMAG", "REAL", "COMPLEX_ABS", "HASHTABLE", "HASHTABLE_FIND",
    "HASHTABLE_IMPORT", "HASHTABLE_SIZE", "REDUCE_ALL", "CONV_3D_TRANSPOSE", "VAR_HANDLE", "READ_VARIABLE",
    "ASSIGN_VARIABLE", "BROADCAST_ARGS", "RANDOM_STANDARD_NORMAL", "BUCKETIZE", "RANDOM_UNIFORM", "MULTINOMIAL",
    "GELU", "DYNAMIC_UPDATE_SLICE", "RELU_0_TO_1", "UNSORTED_SEGMENT_PROD", "UNSORTED_SEGMENT_MAX",
    "UNSORTED_SEGMENT_SUM", "ATAN2", "UNSORTED_SEGMENT_MIN", "SIGN", "BITCAST", "BITWISE_XOR", "RIGHT_SHIFT",
    "STABLEHLO_LOGISTIC", "STABLEHLO_ADD", "STABLEHLO_DIVIDE", "STABLEHLO_MULTIPLY", "STABLEHLO_MAXIMUM",
    "STABLEHLO_RESHAPE", "STABLEHLO_CLAMP", "STABLEHLO_CONCATENATE", "STABLEHLO_BROADCAST_IN_DIM",
    "STABLEHLO_CONVOLUTION", "STABLEHLO_SLICE", "STABLEHLO_CUSTOM_CALL", "STABLEHLO_REDUCE", "STABLEHLO_ABS",
    "STABLEHLO_AND", "STABLEHLO_COSINE", "STABLEHLO_EXPONENTIAL", "STABLEHLO_FLOOR", "STABLEHLO_LOG",
    "STABLEHLO_MINIMUM", "STABLEHLO_NEGATE", "STABLEHLO_OR", "STABLEHLO_POWER", "STABLEHLO_REMAINDER",
    "STABLEHLO_RSQRT", "STABLEHLO_SELECT", "STABLEHLO_SUBTRACT", "STABLEHLO_TANH", "STABLEHLO_SCATTER",
    "STABLEHLO_COMPARE", "STABLEHLO_CONVERT", "STABLEHLO_DYNAMIC_SLICE", "STABLEHLO_DYNAMIC_UPDATE_SLICE",
    "STABLEHLO_PAD", "STABLEHLO_IOTA", "STABLEHLO_DOT_GENERAL", "STABLEHLO_REDUCE_WINDOW", "STABLEHLO_SORT",
    "STABLEHLO_WHILE", "STABLEHLO_GATHER", "STABLEHLO_TRANSPOSE", "DILATE", "STABLEHLO_RNG_BIT_GENERATOR",
    "REDUCE_WINDOW", "STABLEHLO_COMPOSITE", "STABLEHLO_SHIFT_LEFT", "STABLEHLO_CBRT", "STABLEHLO_CASE",
)
# fmt: on
CUSTOM: Final = OPERATORS.index("CUSTOM")

#: Element type names by code, with the bits one element takes; 0 where a type has no fixed size.
ELEMENT_TYPES: Final[tuple[tuple[str, int], ...]] = (
    ("FLOAT32", 32), ("FLOAT16", 16), ("INT32", 32), ("UINT8", 8), ("INT64", 64), ("STRING", 0), ("BOOL", 8),
    ("INT16", 16), ("COMPLEX64", 64), ("INT8", 8), ("FLOAT64", 64), ("COMPLEX128", 128), ("UINT64", 64),
    ("RESOURCE", 0), ("VARIANT", 0), ("UINT32", 32), ("UINT16", 16), ("INT4", 4), ("BFLOAT16", 16),
    ("INT2", 2), ("UINT4", 4), ("FLOAT8_E4M3FN", 8), ("FLOAT8_E5M2", 8),
)  # fmt: skip
#: What a graph calls the element types an activation may have.
DTYPES: Final[dict[str, DType]] = {
    "FLOAT32": "float32", "FLOAT16": "float16", "INT8": "int8", "UINT8": "uint8", "INT16": "int16",
    "INT32": "int32", "INT64": "int64", "BOOL": "bool",
}  # fmt: skip
#: What stands in for the other element types, by size, so that the rest of a file can be costed.
STAND_INS: Final[dict[str, DType]] = {
    "FLOAT64": "float32", "BFLOAT16": "float16", "FLOAT8_E4M3FN": "float16", "FLOAT8_E5M2": "float16",
    "INT4": "int8", "INT2": "int8", "UINT4": "int8", "UINT16": "int16", "UINT32": "int32", "UINT64": "int64",
    "COMPLEX64": "int64", "COMPLEX128": "int64", "STRING": "int32", "RESOURCE": "int32", "VARIANT": "int32",
}  # fmt: skip

#: Activation a kernel applies while writing its output, by code; two of them have no name in graphs.
FUSED_ACTIVATIONS: Final[dict[int, ops.ActivationName]] = {1: "relu", 3: "relu6", 4: "tanh"}
RELU_N1_TO_1: Final = 2
SIGN_BIT: Final = 5
PADDINGS: Final[tuple[ops.Padding, ...]] = ("same", "valid")


class ModelSlot:
    """Fields of the root table."""

    VERSION, OPERATOR_CODES, SUBGRAPHS, DESCRIPTION, BUFFERS, _, METADATA, SIGNATURES = range(8)


class OperatorCodeSlot:
    """Fields of an entry in the table of operator codes."""

    OLD_BUILTIN, CUSTOM, VERSION, BUILTIN = range(4)


class SubgraphSlot:
    """Fields of a subgraph."""

    TENSORS, INPUTS, OUTPUTS, OPERATORS, NAME = range(5)


class TensorSlot:
    """Fields of a tensor."""

    SHAPE, TYPE, BUFFER, NAME, QUANTIZATION, IS_VARIABLE, SPARSITY, SHAPE_SIGNATURE = range(8)


class QuantizationSlot:
    """Fields of a tensor's quantization."""

    MIN, MAX, SCALE, ZERO_POINT, _, _, AXIS = range(7)


class BufferSlot:
    """Fields of a buffer; offset and size are used instead of data in files over 2 GB."""

    DATA, OFFSET, SIZE = range(3)


class OperatorSlot:
    """Fields of an operator."""

    OPCODE, INPUTS, OUTPUTS, _, OPTIONS = range(5)


class MetadataSlot:
    """Fields of a metadata entry."""

    NAME, BUFFER = range(2)

"""What a `.tflite` file says that a graph cannot, in lines a report shows: nothing is left out in silence."""

from collections import Counter
from collections.abc import Sequence

from hw_model.graph.types import Tensor
from hw_model.io.tflite_call import is_foreign
from hw_model.io.tflite_file import TFLiteFile

_COMPILED = "edgetpu-custom-op"
_SHOWN = 4
_NAME_LIMIT = 60
_INTEGERS = {"int8", "uint8", "int16"}
_FLOATS = {"float32", "float16"}


def notes_on(file: TFLiteFile, made: Sequence[Tensor], left_out: Counter[str]) -> tuple[str, ...]:
    """One line for each thing that is true of the file and missing from the graph made of it."""
    touched = {index for op in file.operators for index in (*op.inputs, *op.outputs) if index >= 0}
    tensors = [file.tensors[index] for index in sorted(touched | {*file.inputs})]
    dtypes = {tensor.dtype for tensor in made}
    dynamic = [tensor.name for tensor in tensors if tensor.dynamic]
    foreign = [tensor.name for tensor in tensors if is_foreign(tensor)]
    types = sorted({tensor.element_type for tensor in tensors if is_foreign(tensor)})
    sparse = [tensor.name for tensor in tensors if tensor.is_sparse]
    fixed = file.constants()
    constants = [file.tensors[index].name for index in file.outputs if index in fixed]
    lines = [
        (
            any(op.custom and op.code == _COMPILED for op in file.operators),
            "The file is compiled for an Edge TPU, which hides its layers in one operator; cost the file it was "
            "compiled from",
        ),
        (
            file.subgraphs > 1,
            f"{file.subgraphs - 1} further subgraphs (branches, loops, other signatures) are not costed",
        ),
        (dynamic, f"Sizes known while running only are costed as 1: {shown(dynamic)}"),
        (
            not dtypes & _INTEGERS and dtypes & _FLOATS,
            "The file computes in floating point; it is costed as the int8 file it would become",
        ),
        ("int16" in dtypes, "16-bit activations are costed as 8-bit ones"),
        (foreign, f"Graphs do not have {', '.join(types)}, the type of: {shown(foreign)}"),
        (sparse, f"Sparse weights are costed as dense ones: {shown(sparse)}"),
        (constants, f"Outputs that are constants are left out: {shown(constants)}"),
        (
            left_out,
            "Operators that only prepare constants, or whose result nothing reads, are left out: "
            f"{counted(left_out)}",
        ),
    ]
    return tuple(line for holds, line in lines if holds)


def shown(names: Sequence[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:_NAME_LIMIT] or "unnamed" for name in names[:_SHOWN]) + more


def counted(names: Counter[str]) -> str:
    """Names with how often each occurs, the most frequent first."""
    return shown([f"{count} {name}" for name, count in names.most_common()])

"""Runs the `.tflite` file of a network that answers questions; such a file holds its vocabulary and settings."""

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from hw_model.errors import DataError, EdgeZooError, UsageError
from hw_model.graph import ops
from hw_model.io import read_metadata, read_tflite
from hw_model.io.tflite_file import FileTensor, load
from model_zoo.lowering.bert import MASK, TYPE_IDS, WORD_IDS
from model_zoo.text import QuestionPreprocessor
from model_zoo.text.storage import TextPreprocessor, pack, unpack
from pipelines.export.edit import Edit
from pipelines.export.runner import FileRunner, Floats

#: Sorted, as the outputs of an exported file are.
OUTPUTS = ("end_logits", "start_logits")
#: What a file keeps beside its network: settings and tokens as JSON, compressed.
READING = "text_preprocessing"


class QuestionRunner(FileRunner):
    """A file that reads `input_word_ids`, `input_mask`, `input_type_ids` (1, L) and scores both ends of an answer.

    Other makers' names of the inputs are understood where they tell masks and types (or segments) from words.
    """

    EXAMPLE = "window"

    def _output_names(self, path: str | os.PathLike[str]) -> tuple[str, ...]:
        self._reads, names, self.length = _ports_of(path)
        return names

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Floats]:
        """`end_logits` and `start_logits` (N, L) for inputs (N, L) by their names."""
        arrays = [inputs[name] for name in self._reads]
        if arrays[0].shape[1:] != (self.length,):
            raise UsageError(f"The file reads {self.length} tokens. Received: {arrays[0].shape}")
        stored = self._run(
            *(port.store(values) for port, values in zip(self._ports, arrays, strict=True))
        )
        return {name: port.real(stored[name]) for name, port in self.outputs.items()}


def check_answers(path: str | os.PathLike[str]) -> int:
    """How many tokens a file reads that answers questions.

    Raises:
        UsageError: it does not.
        DataError: it is missing, no `.tflite` file, or damaged.
    """
    return _ports_of(path)[2]


def _ports_of(path: str | os.PathLike[str]) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """Names of a file's inputs and outputs, and their length."""
    file = load(path)
    given = [file.tensors[index] for index in file.inputs]
    made = [file.tensors[index] for index in file.outputs]
    reads = _input_names(given)
    names = tuple(name for tensor in made for name in OUTPUTS if name in tensor.name)
    shapes = {tensor.shape for tensor in (*given, *made)}
    if (
        sorted(names) != sorted(OUTPUTS)
        or reads is None
        or len(shapes) > 1
        or len(given[0].shape) != 2
    ):
        listed = ", ".join(f"{each.name} {list(each.shape)}" for each in (*given, *made))
        raise UsageError(
            f"{path} answers no questions: it must read words, their mask and their types (1, L) and answer "
            f"with {' and '.join(OUTPUTS)} (1, L). Received: {listed}"
        )
    return reads, names, given[0].shape[1]


def _input_names(tensors: list[FileTensor]) -> tuple[str, ...] | None:
    """Which of the inputs each tensor is; None where that cannot be told."""
    names = tuple(_input_name(tensor.name) for tensor in tensors)
    integers = all(tensor.element_type in ("INT32", "INT64") for tensor in tensors)
    return names if integers and sorted(names) == sorted((WORD_IDS, MASK, TYPE_IDS)) else None


def _input_name(name: str) -> str:
    if "mask" in name:
        return MASK
    return TYPE_IDS if "type" in name or "segment" in name else WORD_IDS


def finished(
    content: bytes, preprocessor: TextPreprocessor | None, outputs: tuple[str, ...]
) -> bytes:
    """A text network's file that says which output is which, and that holds how text is read."""
    if not outputs and preprocessor is None:
        return content
    edit = Edit(content)
    for tensor, name in zip(edit.outputs, outputs, strict=bool(outputs)):
        edit.rename(tensor, name)
    if preprocessor is not None:
        edit.add_metadata(READING, zlib.compress(json.dumps(pack(preprocessor)).encode(), 9))
    return edit.content()


def reading_in(path: str | os.PathLike[str]) -> TextPreprocessor | None:
    """How the text of a file's network is read, if the file says so.

    Raises:
        DataError: no `.tflite` file, or what it says is damaged.
    """
    data = read_metadata(os.fspath(path), READING)
    if data is None:
        return None
    try:
        return unpack(json.loads(zlib.decompress(data)))
    except (zlib.error, ValueError, EdgeZooError) as error:
        raise DataError(f"{path}: its vocabulary is damaged ({error}); export it again") from error


def question_reading(path: str | os.PathLike[str]) -> QuestionPreprocessor | None:
    """As `reading_in`, of a file that is to answer questions."""
    found = reading_in(path)
    if found is None or isinstance(found, QuestionPreprocessor):
        return found
    raise UsageError(f"{path} reads sentences and answers no questions")


def embedded_words(path: str | os.PathLike[str]) -> int | None:
    """How many words a file's network knows: the rows of the table its word ids are looked up in."""
    graph = read_tflite(Path(path))
    rows = [op.type.rows for op in graph.ops if isinstance(op.type, ops.Embedding)]
    return max(rows, default=None)

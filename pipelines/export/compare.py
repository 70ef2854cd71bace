"""Is the converted file the network that was predicted from the spec? Operations, attributes, shapes and wiring."""

from hw_model.graph import Graph, canonical, diff_graphs, wiring
from hw_model.io import read_tflite
from hw_model.io.tflite_file import Source

__all__ = ["canonical", "compare_with_file"]


def compare_with_file(predicted: Graph, source: Source) -> tuple[str, ...]:
    """Lines saying how a file's graph differs from the predicted inference graph; empty when it does not.

    `-` lines are only predicted, `+` lines only in the file.
    """
    expected, found = canonical(predicted), canonical(read_tflite(source))
    lines = diff_graphs(expected, found)
    return tuple(lines or wiring(expected, found))

"""Differences a person can read: between two graphs, and between two nested values such as specs."""

import difflib
from typing import Any

from hw_model.codec import to_data
from hw_model.graph.types import Graph, Op


def diff_graphs(a: Graph, b: Graph, *, attributes: bool = True) -> list[str]:
    """Lines saying which operations differ, `-` only in `a`, `+` only in `b`; empty when they agree.

    Operations are compared by kind, attributes (unless told not to) and shapes, in execution order; names
    are shown but not compared.
    """
    left = [_line(a, op, attributes) for op in a.ops]
    right = [_line(b, op, attributes) for op in b.ops]
    lines: list[str] = []
    matcher = difflib.SequenceMatcher(a=left, b=right, autojunk=False)
    for tag, left_from, left_to, right_from, right_to in matcher.get_opcodes():
        if tag == "equal":
            continue
        lines += [f"- {a.ops[i].name}: {left[i]}" for i in range(left_from, left_to)]
        lines += [f"+ {b.ops[i].name}: {right[i]}" for i in range(right_from, right_to)]
    for end in ("inputs", "outputs"):
        ends_a = [a.tensors[index].shape for index in getattr(a, end)]
        ends_b = [b.tensors[index].shape for index in getattr(b, end)]
        if ends_a != ends_b:
            lines += [f"- {end}: {ends_a}", f"+ {end}: {ends_b}"]
    return lines


def _line(graph: Graph, op: Op, attributes: bool) -> str:
    def shown(indices: tuple[int, ...]) -> str:
        return ", ".join(f"{graph.tensors[i].dtype}{list(graph.tensors[i].shape)}" for i in indices)

    label = repr(op.type) if attributes else op.kind
    return f"{label} {shown(op.inputs)} -> {shown(op.outputs)}"


def diff_values(a: Any, b: Any) -> list[str]:
    """Lines `path: old -> new` for two specs or other nested values; empty when they are equal."""
    return _diff(to_data(a), to_data(b), "")


def _diff(a: Any, b: Any, path: str) -> list[str]:
    if isinstance(a, dict) and isinstance(b, dict):
        keys = list(a) + [key for key in b if key not in a]
        prefix = f"{path}." if path else ""
        return [
            line
            for key in keys
            for line in _diff(a.get(key, "(absent)"), b.get(key, "(absent)"), prefix + key)
        ]
    if isinstance(a, list) and isinstance(b, list):
        return _diff_lists(a, b, path)
    return [] if a == b else [f"{path}: {a} -> {b}"]


def _diff_lists(a: list[Any], b: list[Any], path: str) -> list[str]:
    lines: list[str] = []
    for index in range(max(len(a), len(b))):
        place = f"{path}[{index}]"
        if index >= len(a):
            lines.append(f"{place}: added {b[index]}")
        elif index >= len(b):
            lines.append(f"{place}: removed {a[index]}")
        else:
            lines += _diff(a[index], b[index], place)
    return lines

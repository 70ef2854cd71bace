"""Legality: each rule has a graph that breaks it alone; files of graphs read back equal or are refused."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model.errors import SpecError
from hw_model.graph import (
    Graph,
    GraphBuilder,
    Tensor,
    diff_graphs,
    from_json,
    ops,
    to_inference,
    to_json,
    verify,
)


def _graph() -> Graph:
    b = GraphBuilder()
    x = b.input((1, 8, 8, 4))
    y = b.conv(x, 8, 3, name="conv")
    y = b.activation(b.batch_norm(y, name="norm"), "relu", name="relu")
    z = b.group_conv(y, 8, 3, group_size=4, name="group")
    return b.finish(b.add(y, z, name="add"), name="small")


GRAPH = _graph()


class _Unregistered(ops.OpType):
    """An operation type nobody knows."""


def _with_op(index: int, **changes: Any) -> Graph:
    made = list(GRAPH.ops)
    made[index] = replace(made[index], **changes)
    return replace(GRAPH, ops=tuple(made))


BROKEN: dict[str, Graph] = {
    "a name no other operation has": _with_op(1, name="conv"),
    "reads 2 tensors": _with_op(4, inputs=(3,)),
    "which nothing before it writes": _with_op(1, inputs=(4,)),
    "which already has a value": _with_op(1, outputs=(1,)),
    "which the graph does not have": _with_op(4, outputs=(99,)),
    "but its tensors say": replace(
        GRAPH, tensors=(*GRAPH.tensors[:5], Tensor("add", (1, 8, 8, 9)))
    ),
    "must be positive": replace(GRAPH, tensors=(Tensor("image", (1, 0, 8, 4)), *GRAPH.tensors[1:])),
    "is unknown": replace(
        GRAPH,
        tensors=(Tensor("image", (1, 8, 8, 4), "int4"), *GRAPH.tensors[1:]),  # type: ignore[arg-type]
    ),
    "must name at least one": replace(GRAPH, outputs=()),
    "name tensors the graph does not have": replace(GRAPH, outputs=(77,)),
    "has no effect": replace(GRAPH, outputs=(3,)),
    "is never written": replace(GRAPH, ops=GRAPH.ops[:-1], outputs=(5,)),
    "must read and write": _with_op(0, inputs=()),
    "is of unknown type": _with_op(0, type=_Unregistered()),
}


@pytest.mark.parametrize("problem", BROKEN)
def test_each_rule_refuses_the_graph_that_breaks_it(problem: str) -> None:
    with pytest.raises(SpecError, match=problem):
        verify(BROKEN[problem])


def test_a_legal_graph_passes_and_counts() -> None:
    assert verify(GRAPH) is GRAPH
    assert GRAPH.macs == 64 * 8 * 36 + 64 * 8 * 36
    assert GRAPH.consumers[3] == (3, 4)
    assert GRAPH.producers[5] == 4
    assert GRAPH.trainable_count == GRAPH.param_count - 16 - 16


@pytest.mark.parametrize(
    "graph", [GRAPH, to_inference(GRAPH), to_inference(GRAPH, group_form="native")]
)
def test_json_reads_back_equal(graph: Graph) -> None:
    assert from_json(to_json(graph)) == graph
    assert from_json(to_json(graph, indent=2)) == graph


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda d: d["ops"][0].update(kind="Conv3D"), r"ops\[0\]\.kind"),
        (lambda d: d["ops"][0]["attributes"].update(filtres=3), r"ops\[0\]\.attributes\.filtres"),
        (lambda d: d["ops"][0]["attributes"].update(filters="8"), r"ops\[0\]\.attributes\.filters"),
        (lambda d: d["ops"][0].update(attributes=[]), r"ops\[0\]\.attributes"),
        (lambda d: d["ops"][0].update(inputs=[0.5]), r"ops\[0\]\.inputs\[0\]"),
        (lambda d: d["tensors"][2].update(shape=[1, 8, "8", 8]), r"tensors\[2\]\.shape\[2\]"),
        (lambda d: d.update(version=9), "version"),
        (lambda d: d.pop("outputs"), "outputs"),
        (lambda d: d["ops"].pop(), "outputs"),
    ],
)
def test_a_wrong_file_is_refused_by_path(change: Any, path: str) -> None:
    data = json.loads(to_json(GRAPH))
    change(data)
    with pytest.raises(SpecError, match=f"^{path}"):
        from_json(json.dumps(data))


@given(st.data())
def test_damaged_text_is_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    text = to_json(GRAPH)
    start = data.draw(st.integers(0, len(text) - 1))
    cut = data.draw(st.integers(1, 20))
    insert = data.draw(st.text(alphabet='{}[]",:0123e-N \x00', max_size=5))
    damaged = text[:start] + insert + text[start + cut :]
    with contextlib.suppress(SpecError):
        verify(from_json(damaged))


def test_a_diff_shows_what_differs_and_nothing_when_equal() -> None:
    split, native = to_inference(GRAPH), to_inference(GRAPH, group_form="native")
    assert diff_graphs(split, split) == []
    lines = diff_graphs(split, native)
    assert any(line.startswith("- group/split: Split") for line in lines)
    assert any(line.startswith("+ group: Conv2D") and "groups=2" in line for line in lines)
    assert not any("conv:" in line for line in lines)


def test_a_diff_sees_shapes_and_ends() -> None:
    b = GraphBuilder()
    other = b.finish(b.conv(b.input((1, 9, 9, 4)), 8, 3, name="conv"), name="other")
    lines = diff_graphs(GRAPH, other)
    assert "- inputs: [(1, 8, 8, 4)]" in lines
    assert "+ inputs: [(1, 9, 9, 4)]" in lines

"""The single sweep to an inference graph gives what the passes give one after another, on any graph."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_model.graph import Graph, GraphBuilder, GroupForm, ops, to_inference, verify
from hw_model.graph.passes import Steps
from model_zoo.registry import entries, spec_of


def _oracle() -> ModuleType:
    path = Path(__file__).with_name("sequential_passes.py")
    found = importlib.util.spec_from_file_location("sequential_passes", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


ORACLE = _oracle()
UNARY = (
    "conv",
    "depthwise",
    "group",
    "norm",
    "relu",
    "relu6",
    "silu",
    "dropout",
    "pool",
    "bias_relu_conv",
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Networks of the operations the passes touch, with forks, joins and several ends in odd places."""
    b = GraphBuilder()
    values = [b.input((1, 6, 6, 8))]
    for step in range(draw(st.integers(1, 14))):
        x = draw(st.sampled_from(values[-3:]))
        kind = draw(st.sampled_from((*UNARY, "add", "mul")))
        name = f"{kind}_{step}"
        if kind in ("add", "mul"):
            other = draw(st.sampled_from(values))
            op: ops.OpType = ops.Add() if kind == "add" else ops.Mul()
            values.append(b.emit(op, (x, other), name=name)[0])
        else:
            values.append(_unary(b, x, kind, name))
    read = set()  # every loose end is an output, as the rules of a graph want it
    graph = b.finish({"last": values[-1]}, name="random")
    for op_ in graph.ops:
        read.update(op_.inputs)
    loose = [index for index in values[1:] if index not in read]
    extra = draw(st.sampled_from(values[1:]))
    ends = {f"end_{index}": index for index in dict.fromkeys((*loose, extra))}
    return verify(b.finish(ends, name="random"))


def _unary(b: GraphBuilder, x: int, kind: str, name: str) -> int:
    if kind == "conv":
        return b.conv(x, 8, 3, name=name)
    if kind == "depthwise":
        return b.depthwise(x, 3, name=name)
    if kind == "group":
        return b.group_conv(x, 8, 3, group_size=4, name=name)
    if kind == "norm":
        return b.batch_norm(x, name=name)
    if kind == "dropout":
        return b.dropout(x, 0.5, name=name)
    if kind == "pool":
        return b.emit(
            ops.Pool(mode="max", kernel=(3, 3), stride=(1, 1), padding="same"), (x,), name=name
        )[0]
    if kind == "bias_relu_conv":
        op = ops.Conv2D(filters=8, kernel=(1, 1), bias=True, activation="relu")
        return b.emit(op, (x,), name=name)[0]
    function: ops.ActivationName = (
        "relu" if kind == "relu" else "relu6" if kind == "relu6" else "silu"
    )
    return b.activation(x, function, name=name)


@given(graphs(), st.sampled_from(["split", "native"]))
@settings(max_examples=400)
def test_one_sweep_equals_the_passes_in_turn(graph: Graph, form: GroupForm) -> None:
    assert to_inference(graph, group_form=form) == ORACLE.to_inference(graph, group_form=form)


@pytest.mark.parametrize("name", entries())
def test_every_architecture_of_the_zoo_agrees(name: str) -> None:
    graph = spec_of(name).graph()
    for form in ("split", "native"):
        result = verify(to_inference(graph, group_form=form))
        assert result == ORACLE.to_inference(graph, group_form=form)


@given(graphs())
def test_steps_read_what_the_graph_reads(graph: Graph) -> None:
    steps, result = Steps(graph, "split"), to_inference(graph)
    seen = [(step.kind, tuple(steps.shapes[i] for i in step.inputs)) for step in steps.items]
    assert seen == [(op.type, result.input_shapes(op)) for op in result.ops]


def test_a_norm_behind_a_fork_is_not_merged() -> None:
    b = GraphBuilder()
    x = b.conv(b.input((1, 4, 4, 4)), 4, 1, name="conv")
    y = b.batch_norm(x, name="norm")
    graph = to_inference(b.finish(b.add(x, y, name="add"), name="fork"))
    assert [op.kind for op in graph.ops] == ["Conv2D", "Scale", "Add"]

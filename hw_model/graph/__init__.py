"""Graphs of operations with shapes: built, verified, rewritten for inference, compared, stored."""

from hw_model.graph import ops
from hw_model.graph.builder import Builder, GraphBuilder
from hw_model.graph.canonical import canonical, wiring
from hw_model.graph.codec import from_json, signature, to_json
from hw_model.graph.diff import diff_graphs, diff_values
from hw_model.graph.passes import GroupForm, executed_outputs, to_inference
from hw_model.graph.types import Graph, Op, Param, Shape, Tensor
from hw_model.graph.verify import verify

__all__ = [
    "Builder", "Graph", "GraphBuilder", "GroupForm", "Op", "Param", "Shape", "Tensor", "canonical",
    "diff_graphs", "diff_values", "executed_outputs", "from_json", "ops", "signature", "to_inference", "to_json",
    "verify", "wiring",
]  # fmt: skip

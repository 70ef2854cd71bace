"""Evaluators: several ways to cost a graph on a target behind one interface, found by name."""

import importlib
from functools import lru_cache
from typing import Any, Protocol

from hw_model.cost.report import CostReport, OpRow
from hw_model.errors import UnknownNameError
from hw_model.graph import Graph
from hw_model.targets.target import Target

#: Name to class; a class is imported when it is first asked for.
EVALUATORS = {
    "analytical": "hw_model.cost.analytical:Analytical",
    "simulator": "hw_model.cost.simulator:Simulator",
    "learned": "hw_model.cost.learned:Learned",
}


class Evaluator(Protocol):
    """Predicts the cost of one inference at batch size 1: a pure function of graph, target and `evaluator_id`."""

    target: Target
    #: Name and version, as in `analytical-3`: a part of every key under which costs are stored.
    evaluator_id: str

    def report(self, graph: Graph, *, source: Any = None) -> CostReport:
        """The cost of a graph as trained, or as it is when it is quantized already.

        `source` is a spec whose `graph()` gives the graph again: a report then keeps that and not the graph.
        """
        ...

    def rows(self, graph: Graph) -> tuple[OpRow, ...]:
        """One row for each operation the target runs, in execution order, with the reason for its time."""
        ...


@lru_cache(maxsize=32)
def evaluator_for(target: Target, name: str = "analytical") -> Evaluator:
    """The evaluator of that name for a target, with what it remembers.

    Raises:
        UnknownNameError: no such evaluator.
    """
    if name not in EVALUATORS:
        raise UnknownNameError("evaluator", name, EVALUATORS)
    module, _, cls = EVALUATORS[name].partition(":")
    evaluator: Evaluator = getattr(importlib.import_module(module), cls)(target)
    return evaluator

"""Cost of a graph on a target: counted work, ceilings, energy, and the report a person or a search reads."""

from hw_model.cost.analytical import EVALUATOR_ID, Analytical
from hw_model.cost.energy import ENERGY_COMPONENTS
from hw_model.cost.evaluator import EVALUATORS, Evaluator, evaluator_for
from hw_model.cost.report import CostReport, ModelTerms, OpRow
from hw_model.cost.work import CEILINGS

__all__ = [
    "CEILINGS", "ENERGY_COMPONENTS", "EVALUATORS", "EVALUATOR_ID", "Analytical", "CostReport", "Evaluator",
    "ModelTerms", "OpRow", "evaluator_for",
]  # fmt: skip

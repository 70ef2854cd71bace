"""Architecture search: spaces, samplers, quality, studies that survive a kill. Free of Keras and TensorFlow."""

from pipelines.search.budget import Budget, Reward
from pipelines.search.config import QualityConfig, SearchConfig
from pipelines.search.export import export_winner
from pipelines.search.problem import Candidate, Cost, Problem, Refusal, SpecProblem
from pipelines.search.run import rebudget, resume, run_search
from pipelines.search.study import Study, best, front, open_study
from pipelines.search.trial import Trial

__all__ = [
    "Budget", "Candidate", "Cost", "Problem", "QualityConfig", "Refusal", "Reward", "SearchConfig",
    "SpecProblem", "Study", "Trial", "best", "export_winner", "front", "open_study", "rebudget", "resume", "run_search",
]  # fmt: skip

"""How good an architecture is: by a short training, by a predictor fitted on trainings, or by a declared proxy."""

from pipelines.search.quality.base import Evaluator, Failure, Outcome, Quality, QualityStatement

__all__ = ["Evaluator", "Failure", "Outcome", "Quality", "QualityStatement"]

"""Quality by a predictor fitted on trained trials, which says how well it ranks trials it has not seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hw_model.errors import UsageError
from pipelines.search.arrays import FloatArray, IntArray
from pipelines.search.problem import Candidate, Cost
from pipelines.search.quality.base import Outcome, Quality, QualityStatement
from pipelines.search.ranking import RankCorrelation, rank_correlation
from pipelines.search.ridge import Ridge, fit_ridge, one_hot
from pipelines.search.trial import Trial

FOLDS = 5
#: Sizes a cost summary may hold; their logarithms are features beside the choices.
_SIZES = ("macs", "parameter_bytes")


class PredictorQuality:
    """Ridge regression on the choices and the sizes of a network."""

    kind = "predictor"
    batch_limit = 1 << 20

    def __init__(
        self, trials: Sequence[Trial], cardinalities: IntArray, *, min_trials: int
    ) -> None:
        """Fits on the trained trials among `trials`, all of one space.

        Raises:
            UsageError: fewer than `min_trials` of them, or all of the same quality.
        """
        trained = [t for t in trials if t.quality_kind == "train" and t.quality is not None]
        if len(trained) < max(min_trials, FOLDS):
            raise UsageError(
                f"A predictor needs at least {max(min_trials, FOLDS)} trained trials to be fitted and "
                f"checked. Received: {len(trained)}; train more, or use a proxy."
            )
        self._cardinalities = cardinalities
        features = self._features([t.genotype for t in trained], [t.cost for t in trained])
        values = np.asarray([t.quality for t in trained], dtype=np.float64)
        self.correlation = held_out_correlation(features, values)
        if self.correlation is None:
            raise UsageError("The trained trials all have the same quality; nothing can be learned")
        self._model: Ridge = fit_ridge(features, values)
        self.name = f"ridge on {len(trained)} trained trials"

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        """Predicted quality of each candidate."""
        features = self._features([c.genotype for c in candidates], [c.cost for c in candidates])
        return [Quality(value=value) for value in self._model.predict(features).tolist()]

    def statement(self, trials: Sequence[Trial]) -> QualityStatement:
        """The rank correlation on held-out trials."""
        return QualityStatement(
            kind=self.kind,
            name=self.name,
            measured_on=f"trials held out in {FOLDS} folds",
            correlation=self.correlation,
        )

    def _features(self, genotypes: Sequence[tuple[int, ...]], costs: Sequence[Cost]) -> FloatArray:
        rows = np.asarray(genotypes, dtype=np.int64).reshape(len(genotypes), -1)
        if rows.shape[1] != len(self._cardinalities):
            raise UsageError("The trials the predictor is fitted on are of another space")
        sizes = np.asarray([_log_sizes(cost.summary, cost.values) for cost in costs])
        return np.hstack((one_hot(rows, self._cardinalities), sizes))


def held_out_correlation(features: FloatArray, values: FloatArray) -> RankCorrelation | None:
    """Every trial predicted by a model that did not see it nor chose its penalty by it."""
    folds = np.random.default_rng(0).permutation(len(values)) % FOLDS
    predicted = np.empty(len(values))
    for fold in range(FOLDS):
        held = folds == fold
        predicted[held] = fit_ridge(features[~held], values[~held]).predict(features[held])
    return rank_correlation(predicted, values, against="held-out trained trials")


def _log_sizes(summary: Mapping[str, Any], costs: Sequence[float]) -> list[float]:
    known = [float(summary[name]) for name in _SIZES if name in summary]
    return [float(np.log(max(size, 1e-12))) for size in known or costs]

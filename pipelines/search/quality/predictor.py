"""Quality by a predictor fitted on trained trials, which says how well it ranks trials it has not seen."""

from collections.abc import Sequence

import numpy as np

from hw_model.errors import UsageError
from pipelines.search.arrays import FloatArray, IntArray
from pipelines.search.problem import Candidate, Cost, Genotype
from pipelines.search.quality.base import Outcome, Quality, QualityStatement
from pipelines.search.ranking import RankCorrelation, rank_correlation
from pipelines.search.ridge import GenotypeModel
from pipelines.search.trial import Trial

FOLDS = 5


class PredictorQuality:
    """Ridge regression on the choices, and on the logarithm of every size in the cost summary."""

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
        self._sizes = _sizes_of_all([t.cost for t in trained])
        rows, sizes = self._read([t.genotype for t in trained], [t.cost for t in trained])
        values = np.asarray([t.quality for t in trained], dtype=np.float64)
        self.correlation = held_out_correlation(rows, sizes, values, cardinalities)
        if self.correlation is None:
            raise UsageError("The trained trials all have the same quality; nothing can be learned")
        self._model = GenotypeModel.fit(rows, sizes, values, cardinalities)
        self.name = f"ridge on {len(trained)} trained trials"

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        """Predicted quality of each candidate."""
        rows, sizes = self._read([c.genotype for c in candidates], [c.cost for c in candidates])
        return [Quality(value=value) for value in self._model.predict(rows, sizes).tolist()]

    def statement(self, trials: Sequence[Trial]) -> QualityStatement:
        """The rank correlation on held-out trials."""
        return QualityStatement(
            kind=self.kind,
            name=self.name,
            measured_on=f"trials held out in {FOLDS} folds",
            correlation=self.correlation,
        )

    def _read(
        self, genotypes: Sequence[Genotype], costs: Sequence[Cost]
    ) -> tuple[IntArray, FloatArray]:
        rows = np.asarray(genotypes, dtype=np.int64).reshape(len(genotypes), -1)
        if rows.shape[1] != len(self._cardinalities):
            raise UsageError("The trials the predictor is fitted on are of another space")
        sizes = [
            [float(cost.summary[name]) for name in self._sizes] or list(cost.values)
            for cost in costs
        ]
        return rows, np.asarray(sizes, dtype=np.float64)


def held_out_correlation(
    rows: IntArray, sizes: FloatArray, values: FloatArray, cardinalities: IntArray
) -> RankCorrelation | None:
    """Every trial predicted by a model that did not see it nor chose its penalty by it."""
    folds = np.random.default_rng(0).permutation(len(values)) % FOLDS
    predicted = np.empty(len(values))
    for fold in range(FOLDS):
        held = folds == fold
        model = GenotypeModel.fit(rows[~held], sizes[~held], values[~held], cardinalities)
        predicted[held] = model.predict(rows[held], sizes[held])
    return rank_correlation(predicted, values, against="held-out trained trials")


def _sizes_of_all(costs: Sequence[Cost]) -> list[str]:
    """Names of the counts that every cost summary has."""

    def counts(cost: Cost) -> set[str]:
        return {name for name, value in cost.summary.items() if type(value) is int and value >= 0}

    return sorted(set.intersection(*map(counts, costs)))

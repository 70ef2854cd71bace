"""Ridge regression on genotypes and sizes: the smallest model that learns which choices are worth their cost."""

from dataclasses import dataclass

import numpy as np

from pipelines.search.arrays import FloatArray, IntArray, JsonObject

PENALTIES: tuple[float, ...] = tuple(10.0**power for power in range(-3, 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ridge:
    """A fitted linear model."""

    centre: FloatArray
    weights: FloatArray
    intercept: float
    penalty: float

    def predict(self, features: FloatArray) -> FloatArray:
        """Values for (N, features)."""
        predicted: FloatArray = (features - self.centre) @ self.weights + self.intercept
        return predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class GenotypeModel:
    """Ridge on the choices of a genotype and the logarithms of its sizes (costs, counts; all above -1).

    Each size weighs as much as all choices together, so that a handful of trials already teaches what size
    alone explains, and many teach the worth of single choices.
    """

    cardinalities: IntArray
    size_centre: FloatArray
    size_scale: FloatArray
    ridge: Ridge

    @classmethod
    def fit(
        cls, genotypes: IntArray, sizes: FloatArray, values: FloatArray, cardinalities: IntArray
    ) -> "GenotypeModel":
        """From (N, genes), (N, sizes) and (N,)."""
        logs = np.log1p(sizes)
        spread = logs.std(axis=0)
        centre, scale = logs.mean(axis=0), np.where(spread > 0, spread, 1.0)
        features = _features(genotypes, cardinalities, (logs - centre) / scale)
        return cls(
            cardinalities=cardinalities,
            size_centre=centre,
            size_scale=scale,
            ridge=fit_ridge(features, values),
        )

    def predict(self, genotypes: IntArray, sizes: FloatArray) -> FloatArray:
        """Values for rows as in `fit`."""
        scaled = (np.log1p(sizes) - self.size_centre) / self.size_scale
        return self.ridge.predict(_features(genotypes, self.cardinalities, scaled))

    def to_data(self) -> JsonObject:
        """JSON-ready copy; floats survive the round trip exactly."""
        return {
            "size_centre": self.size_centre.tolist(),
            "size_scale": self.size_scale.tolist(),
            "centre": self.ridge.centre.tolist(),
            "weights": self.ridge.weights.tolist(),
            "intercept": self.ridge.intercept,
            "penalty": self.ridge.penalty,
        }

    @classmethod
    def from_data(cls, data: JsonObject, cardinalities: IntArray) -> "GenotypeModel":
        """The model `to_data` wrote."""
        return cls(
            cardinalities=cardinalities,
            size_centre=np.asarray(data["size_centre"], dtype=np.float64),
            size_scale=np.asarray(data["size_scale"], dtype=np.float64),
            ridge=Ridge(
                centre=np.asarray(data["centre"], dtype=np.float64),
                weights=np.asarray(data["weights"], dtype=np.float64),
                intercept=float(data["intercept"]),
                penalty=float(data["penalty"]),
            ),
        )


def _features(genotypes: IntArray, cardinalities: IntArray, scaled: FloatArray) -> FloatArray:
    return np.hstack((one_hot(genotypes, cardinalities) / np.sqrt(len(cardinalities)), scaled))


def one_hot(genotypes: IntArray, cardinalities: IntArray) -> FloatArray:
    """(N, genes) as (N, sum of cardinalities) of 0 and 1.

    >>> one_hot(np.array([[0, 2]]), np.array([2, 3])).tolist()
    [[1.0, 0.0, 0.0, 0.0, 1.0]]
    """
    starts = np.concatenate(([0], np.cumsum(cardinalities)[:-1]))
    hot = np.zeros((len(genotypes), int(cardinalities.sum())))
    hot[np.arange(len(genotypes))[:, None], genotypes + starts] = 1.0
    return hot


def fit_ridge(features: FloatArray, values: FloatArray) -> Ridge:
    """Fits with the penalty whose leave-one-out error, known in closed form, is the lowest."""
    rows, columns = features.shape
    centre = features.mean(axis=0)
    intercept = float(values.mean())
    centred, residual = features - centre, values - intercept
    solve = _solve_rows if rows <= columns else _solve_columns
    best_error, best_penalty = np.inf, PENALTIES[-1]
    best_weights: FloatArray = np.zeros(columns)
    for penalty in PENALTIES:
        weights, leverage = solve(centred, residual, penalty)
        # The intercept, fitted along, adds 1 / rows to every row's leverage.
        spared = np.maximum(1.0 - leverage - 1.0 / rows, 1e-9)
        error = float(np.mean(((residual - centred @ weights) / spared) ** 2))
        if error < best_error:
            best_error, best_penalty, best_weights = error, penalty, weights
    return Ridge(centre=centre, weights=best_weights, intercept=intercept, penalty=best_penalty)


def _solve_rows(x: FloatArray, y: FloatArray, penalty: float) -> tuple[FloatArray, FloatArray]:
    """Weights and leverages through the (rows, rows) kernel; cheap where rows are few.

    Inverses, not decompositions: those fight for cores with a training that runs beside the search.
    """
    inverse = np.linalg.inv(x @ x.T + penalty * np.eye(len(x)))
    return x.T @ (inverse @ y), 1.0 - penalty * np.diag(inverse)


def _solve_columns(x: FloatArray, y: FloatArray, penalty: float) -> tuple[FloatArray, FloatArray]:
    """The same through the (columns, columns) covariance."""
    inverse = np.linalg.inv(x.T @ x + penalty * np.eye(x.shape[1]))
    return inverse @ (x.T @ y), ((x @ inverse) * x).sum(axis=1)

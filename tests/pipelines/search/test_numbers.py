"""Rank correlation, ridge and Pareto sorting against plain definitions."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.search.pareto import crowding, dominated, ranks_of
from pipelines.search.ranking import kendall, rank_correlation, spearman
from pipelines.search.ridge import GenotypeModel, fit_ridge, one_hot

SMALL = st.integers(0, 4)


@given(st.lists(st.tuples(SMALL, SMALL), min_size=3, max_size=30))
def test_kendall_is_tau_b(pairs: list[tuple[int, int]]) -> None:
    left, right = (np.array(side, dtype=float) for side in zip(*pairs, strict=True))
    if np.ptp(left) == 0 or np.ptp(right) == 0:
        assert rank_correlation(left, right, against="x") is None
        return
    both = ties_left = ties_right = 0.0
    for (a, b), (c, d) in itertools.combinations(pairs, 2):
        both += np.sign(a - c) * np.sign(b - d)
        ties_left += a != c
        ties_right += b != d
    assert kendall(left, right) == pytest.approx(both / np.sqrt(ties_left * ties_right))


def test_spearman_shares_the_rank_of_equals() -> None:
    left = np.array([1.0, 2.0, 2.0, 3.0])
    assert spearman(left, np.array([10.0, 20.0, 20.0, 30.0])) == pytest.approx(1.0)
    # Ranks 0, 1.5, 1.5, 3 against 3, 2, 1, 0: covariance -4.5, variances 4.5 and 5.
    assert spearman(left, np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(-4.5 / np.sqrt(4.5 * 5))


def test_correlation_needs_three_pairs() -> None:
    assert rank_correlation([1.0, 2.0], [1.0, 2.0], against="x") is None
    found = rank_correlation([1.0, 2.0, 3.0], [1.0, 3.0, 9.0], against="x")
    assert found is not None
    assert (found.spearman, found.kendall, found.pairs) == (pytest.approx(1), pytest.approx(1), 3)


@pytest.mark.parametrize("rows", [12, 60])
def test_ridge_picks_the_penalty_of_true_leave_one_out(rows: int) -> None:
    """Both ways to solve it, fewer rows than columns and more, against fitting without each row in turn."""
    from pipelines.search.ridge import PENALTIES, _solve_columns, _solve_rows

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 20))
    y = x @ rng.normal(size=20) * 0.3 + rng.normal(size=rows)
    errors = []
    for penalty in PENALTIES:
        left_out = []
        for i in range(rows):
            keep = np.arange(rows) != i
            centre, mean = x[keep].mean(axis=0), y[keep].mean()
            z = x[keep] - centre
            w = np.linalg.solve(z.T @ z + penalty * np.eye(20), z.T @ (y[keep] - mean))
            left_out.append(y[i] - mean - (x[i] - centre) @ w)
        errors.append(np.mean(np.square(left_out)))
    assert fit_ridge(x, y).penalty == PENALTIES[int(np.argmin(errors))]
    z = x - x.mean(axis=0)
    for ours, theirs in zip(_solve_rows(z, y, 1.0), _solve_columns(z, y, 1.0), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_model_of_genotypes_learns_and_survives_json() -> None:
    rng = np.random.default_rng(1)
    genotypes, cardinalities = rng.integers(0, 3, size=(200, 6)), np.full(6, 3)
    sizes = np.exp(rng.normal(size=(200, 2)))
    values = one_hot(genotypes, cardinalities) @ rng.normal(size=18) + np.log1p(sizes[:, 0])
    model = GenotypeModel.fit(genotypes[:150], sizes[:150], values[:150], cardinalities)
    predicted = model.predict(genotypes[150:], sizes[150:])
    np.testing.assert_allclose(predicted, values[150:], atol=0.05)
    again = GenotypeModel.from_data(json.loads(json.dumps(model.to_data())), cardinalities)
    assert (again.predict(genotypes[150:], sizes[150:]) == predicted).all()


def test_few_trials_teach_what_size_explains() -> None:
    """30 trials of 60 genes: too few to learn genes, enough to see that a size is all there is."""
    rng = np.random.default_rng(2)
    genotypes, cardinalities = rng.integers(0, 4, size=(230, 60)), np.full(60, 4)
    sizes = np.exp(rng.normal(size=(230, 3)))
    model = GenotypeModel.fit(genotypes[:30], sizes[:30], np.log(sizes[:30, 1]), cardinalities)
    assert spearman(model.predict(genotypes[30:], sizes[30:]), sizes[30:, 1]) > 0.85


def test_a_size_that_never_changes_is_harmless() -> None:
    genotypes, cardinalities = np.arange(12).reshape(12, 1) % 3, np.array([3])
    values = genotypes[:, 0].astype(float)
    model = GenotypeModel.fit(genotypes, np.ones((12, 1)), values, cardinalities)
    np.testing.assert_allclose(model.predict(genotypes, np.ones((12, 1))), values, atol=0.01)


@given(st.lists(st.tuples(SMALL, SMALL, SMALL), min_size=1, max_size=25))
def test_fronts_by_definition(rows: list[tuple[int, int, int]]) -> None:
    points = np.array(rows, dtype=float)

    def beats(a: np.ndarray, b: np.ndarray) -> bool:
        return bool((a <= b).all() and (a < b).any())

    expected = [any(beats(other, point) for other in points) for point in points]
    assert dominated(points).tolist() == expected
    ranks = ranks_of(points)
    assert (ranks == 0).tolist() == [not beaten for beaten in expected]
    for i, j in itertools.product(range(len(points)), repeat=2):
        if beats(points[i], points[j]):
            assert ranks[i] < ranks[j]
    assert ranks.min() == 0


def test_crowding_prefers_the_lonely() -> None:
    points = np.array([[0.0, 10.0], [1.0, 9.0], [1.1, 8.9], [5.0, 5.0], [10.0, 0.0]])
    alone = crowding(points, np.zeros(5, dtype=np.int64))
    assert np.isinf(alone[[0, 4]]).all()
    assert alone[3] > alone[1] > 0
    assert alone[3] > alone[2] > 0

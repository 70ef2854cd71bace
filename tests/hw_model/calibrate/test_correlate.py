"""Agreement figures against SciPy's, ties included."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hw_model.calibrate.correlate import correlate

VALUES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=12)


@given(VALUES)
def test_ranks_agree_with_scipy(pairs: list[tuple[int, int]]) -> None:
    predicted, measured = ([float(v) for v in side] for side in zip(*pairs, strict=True))
    found = correlate(predicted, measured)
    if len(set(predicted)) == 1 or len(set(measured)) == 1:
        assert (found.spearman, found.kendall) == (0.0, 0.0)
        return
    assert found.spearman == pytest.approx(stats.spearmanr(predicted, measured).statistic)
    assert found.kendall == pytest.approx(stats.kendalltau(predicted, measured).statistic)


def test_errors_are_relative_to_the_measurement() -> None:
    found = correlate([1.1, 1.0, 4.0], [1.0, 2.0, 4.0])
    assert found.mape == pytest.approx(0.2)
    assert found.max_error == pytest.approx(0.5)
    assert found.within_10_percent == pytest.approx(1 / 3)


def test_lists_must_match() -> None:
    with pytest.raises(ValueError, match="two equally long lists"):
        correlate([1.0], [1.0, 2.0])

"""Budgets and rewards: what is read, what is refused, and which cost is worth paying for."""

import numpy as np
import pytest

from hw_model.errors import UsageError
from pipelines.search import Budget, Reward

MS5 = Budget(quantity="latency_ms", limit=5.0)


@pytest.mark.parametrize(
    ("text", "quantity", "limit"),
    [
        ("1.2ms", "latency_ms", 1.2),
        (" 800 us ", "latency_ms", 0.8),
        ("800µs", "latency_ms", 0.8),
        ("0.002s", "latency_ms", 2.0),
        ("3mJ", "energy_mj", 3.0),
        ("1e-3J", "energy_mj", 1.0),
        ("250uJ", "energy_mj", 0.25),
        (".5ms", "latency_ms", 0.5),
    ],
)
def test_parse(text: str, quantity: str, limit: float) -> None:
    budget = Budget.parse(text)
    assert budget.quantity == quantity
    assert budget.limit == pytest.approx(limit)


@pytest.mark.parametrize(
    "text", ["", "1.2", "ms", "1.2 parsecs", "1,2ms", "-1ms", "nanms", "1.2msx"]
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(UsageError, match=r"a unit, such as 1\.2ms"):
        Budget.parse(text)


@pytest.mark.parametrize("limit", [0.0, -1.0, float("nan"), float("inf")])
def test_limit_must_be_positive(limit: float) -> None:
    with pytest.raises(UsageError, match="above 0"):
        Budget(quantity="latency_ms", limit=limit)


def test_zero_is_no_budget() -> None:
    with pytest.raises(UsageError, match="above 0"):
        Budget.parse("0ms")


def test_str_names_the_unit() -> None:
    assert [str(MS5), str(Budget.parse("2500uJ"))] == ["5 ms", "2.5 mJ"]


def test_hard_reward_is_quality_within_the_budget() -> None:
    spent, quality = np.array([4.0, 5.0, 5.1]), np.array([0.1, 0.2, 0.3])
    assert Reward().affordable(spent, MS5).tolist() == [True, True, False]
    assert Reward().value(quality, spent, MS5).tolist() == quality.tolist()


def test_soft_rewards() -> None:
    spent, quality = np.array([2.5, 5.0, 10.0]), np.array([0.8, 0.8, 0.8])
    value = {
        form: Reward(form=form, beta=-0.1, gate_ratio=2.0).value(quality, spent, MS5)
        for form in ("abs", "mnas", "mnas_hard")
    }
    np.testing.assert_allclose(value["abs"], [0.75, 0.8, 0.7])
    np.testing.assert_allclose(value["mnas"], [0.8 * 2**0.1, 0.8, 0.8 * 2**-0.1])
    np.testing.assert_allclose(value["mnas_hard"], [0.8, 0.8, 0.8 * 2**-0.1])
    assert Reward(form="abs", gate_ratio=2.0).affordable(spent, MS5).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"form": "soft"}, "reward.form must be one of hard, abs"),
        ({"form": "abs", "beta": 0.1}, "below 0"),
        ({"form": "hard", "gate_ratio": 1.5}, "gate_ratio"),
        ({"form": "abs", "gate_ratio": 0.5}, "gate_ratio"),
    ],
)
def test_reward_refuses(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Reward(**settings)  # type: ignore[arg-type]

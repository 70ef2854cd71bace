"""The winner of a search is a preset that the zoo can load."""

import json
from pathlib import Path

import pytest
from search_toy import ToyProblem, ToyQuality, toy_config

from hw_model import estimate
from hw_model.errors import UsageError
from model_zoo import presets
from model_zoo.spec import from_json
from pipelines.search import (
    Budget,
    QualityConfig,
    SearchConfig,
    Study,
    best,
    export_winner,
    front,
    run_search,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("study")
    return run_search(
        SearchConfig(
            folder=str(folder),
            budget=Budget.parse("0.33ms"),
            image_size=28,
            channels=1,
            num_classes=10,
            width=0.25,
            trials=16,
            quality=QualityConfig(kind="proxy"),
        ),
        progress=False,
    )


def test_winner_without_weights(study: Study, tmp_path: Path) -> None:
    folder = export_winner(study, tmp_path)
    winner = best(study)
    spec = from_json((folder / "spec.json").read_text())
    assert json.loads(spec.to_json()) == dict(winner.spec)
    cost = json.loads((folder / "cost.json").read_text())
    assert cost["latency_ms"] == winner.cost.values[0] == estimate(spec).latency_ms <= 0.33
    assert len(cost["rows"]) > 20
    found = json.loads((folder / "search.json").read_text())
    assert found["winner"]["key"] == winner.key
    assert found["quality"]["kind"] == "proxy"
    assert found["budget"] == {"quantity": "latency_ms", "limit": 0.33}
    preset = presets.get(tmp_path)
    assert (preset.name, preset.spec_id, preset.weights) == ("winner", spec.spec_id, None)
    assert presets.spec_of(tmp_path) == spec


def test_another_trial_or_budget(study: Study, tmp_path: Path) -> None:
    cheapest = front(study, quantities=["latency_ms"])[0]
    folder = export_winner(study, tmp_path, trial=cheapest, name="cheap")
    assert json.loads((folder / "search.json").read_text())["winner"]["key"] == cheapest.key
    budget = Budget(quantity="latency_ms", limit=cheapest.cost.values[0])
    export_winner(study, tmp_path, budget=budget, name="tight")
    assert {preset.name for preset in presets.read_manifest(tmp_path).presets} == {"cheap", "tight"}
    with pytest.raises(UsageError, match="the nearest takes"):
        export_winner(study, tmp_path, budget=Budget.parse("1us"))


def test_trials_that_are_no_specs(tmp_path: Path) -> None:
    toy = run_search(
        toy_config(tmp_path / "toy", trials=6),
        problem=ToyProblem(),
        evaluator=ToyQuality(),
        progress=False,
    )
    with pytest.raises(UsageError, match="no specs of the zoo"):
        export_winner(toy, tmp_path / "out")

"""Proxies and predictors say what they are and how well they rank; trainings use real images and no test image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import EdgeZooError, UnknownNameError, UsageError
from pipelines.data import load_dataset
from pipelines.search import (
    Budget,
    Candidate,
    Cost,
    QualityConfig,
    SearchConfig,
    Study,
    Trial,
    best,
    open_study,
    resume,
    run_search,
)
from pipelines.search.folder import StudyFolder
from pipelines.search.quality import Quality
from pipelines.search.quality.predictor import PredictorQuality
from pipelines.search.quality.proxy import ProxyQuality
from pipelines.search.quality.training import TrainedQuality, part, search_data
from pipelines.search.wiring import make_evaluator, make_problem

CARDINALITIES = np.full(8, 4)
WORTH = np.random.default_rng(2).normal(size=(8, 4))


def trained_trials(count: int, *, kind: str = "train", noise: float = 0.1) -> list[Trial]:
    """Trials whose quality is a sum over genes and grows with the size of the network."""
    rng = np.random.default_rng(0)
    trials = []
    for row in rng.integers(0, 4, size=(count, 8)).tolist():
        macs = int(10 ** (6 + sum(row) / 10))
        quality = WORTH[np.arange(8), row].sum() + 0.1 * sum(row) + noise * rng.normal()
        trials.append(
            Trial(
                genotype=tuple(row),
                key="".join(map(str, row)),
                cost=Cost(
                    values=(1.0,), summary={"macs": macs, "parameter_bytes": macs // 7, "blocks": 5}
                ),
                quality=float(quality),
                quality_kind=kind,
                seed=0,
                phase=0,
                generation=0,
                position=0,
            )
        )
    return trials


def candidates(trials: list[Trial]) -> list[Candidate]:
    return [Candidate(genotype=t.genotype, key=t.key, cost=t.cost) for t in trials]


def values(outcomes: list[Any]) -> list[float]:
    assert all(isinstance(outcome, Quality) for outcome in outcomes)
    return [outcome.value for outcome in outcomes]


def test_predictor_ranks_what_it_has_not_seen_as_well_as_it_says() -> None:
    trials = trained_trials(300)
    predictor = PredictorQuality(trials[:80], CARDINALITIES, min_trials=20)
    predicted = values(predictor.evaluate(candidates(trials[80:]), 0))
    from pipelines.search.ranking import spearman

    truth = np.array([t.quality for t in trials[80:]])
    measured = spearman(np.array(predicted), truth)
    statement = predictor.statement([])
    assert statement.kind == "predictor"
    assert statement.correlation is not None
    assert statement.correlation.pairs == 80
    assert statement.correlation.spearman == pytest.approx(measured, abs=0.05)
    assert measured > 0.9


def test_predictor_of_noise_says_so() -> None:
    """The reported correlation is of held-out trials: a fit to noise must not look good."""
    trials = trained_trials(60, noise=100.0)
    correlation = PredictorQuality(trials, CARDINALITIES, min_trials=20).correlation
    assert correlation is None or abs(correlation.spearman) < 0.35


def test_predictor_refuses_too_few_trained_trials() -> None:
    enough_but_predicted = trained_trials(50, kind="predictor")
    with pytest.raises(UsageError, match="at least 20 trained trials .* Received: 19"):
        PredictorQuality(trained_trials(19) + enough_but_predicted, CARDINALITIES, min_trials=20)


def test_predictor_refuses_trials_of_another_space() -> None:
    with pytest.raises(UsageError, match="another space"):
        PredictorQuality(trained_trials(30), np.full(9, 4), min_trials=20)


@pytest.mark.parametrize("proxy", ["log_macs", "log_params", "log_macs_params", "depth"])
def test_proxies_are_labelled_and_grow_with_the_network(proxy: str) -> None:
    small = Cost(values=(1.0,), summary={"macs": 10, "parameter_bytes": 10, "blocks": 2})
    large = Cost(values=(1.0,), summary={"macs": 99, "parameter_bytes": 99, "blocks": 3})
    quality = ProxyQuality(proxy)
    rows = [Candidate(genotype=(0,), key=key, cost=c) for key, c in (("s", small), ("l", large))]
    low, high = values(quality.evaluate(rows, 0))
    assert low < high
    assert (quality.kind, quality.name) == ("proxy", proxy)
    assert "not measured" in str(quality.statement([]))


def test_proxy_is_measured_on_trained_trials() -> None:
    """On those given and those of the study, and on no others."""
    trained, proxied = trained_trials(40), trained_trials(40, kind="proxy", noise=9.0)
    statement = ProxyQuality("log_macs", trained[:25]).statement([*trained[25:], *proxied])
    assert statement.correlation is not None
    assert statement.correlation.pairs == 40
    assert 0 < statement.correlation.spearman < 0.95
    assert "40 architectures against trained quality" in str(statement)


def test_unknown_proxy_suggests() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean log_macs"):
        ProxyQuality("log_mac")


def test_proxy_needs_its_sizes() -> None:
    with pytest.raises(UsageError, match="needs 'macs' in the cost summary"):
        ProxyQuality("log_macs").evaluate(
            [Candidate(genotype=(0,), key="x", cost=Cost(values=(1.0,)))], 0
        )


def config(folder: Path, quality: QualityConfig, **changes: Any) -> SearchConfig:
    settings: dict[str, Any] = {
        "folder": str(folder),
        "budget": Budget.parse("0.33ms"),
        "image_size": 28,
        "channels": 1,
        "num_classes": 10,
        "width": 0.25,
        "trials": 24,
    }
    return SearchConfig(quality=quality, **{**settings, **changes})


def test_a_search_by_proxy_of_the_real_space(tmp_path: Path) -> None:
    proxy = QualityConfig(kind="proxy", proxy="log_macs")
    study = run_search(config(tmp_path, proxy), progress=False)
    assert len(study.complete) == 24
    winner = best(study)
    assert winner.cost.values[0] <= 0.33
    assert winner.spec["family"] == "mobilenet_edgetpu_v2"
    assert winner.quality_kind == "proxy"
    statement = study.folder.read_quality()
    assert statement is not None
    assert statement["correlation"] is None
    assert statement["measured_on"] == "nothing: no trained trials"
    with pytest.raises(UsageError, match="at least 20 trained trials .* Received: 0"):
        run_search(
            config(tmp_path / "p", QualityConfig(kind="predictor", source=str(tmp_path))),
            progress=False,
        )
    other = config(tmp_path / "q", QualityConfig(kind="predictor", source=str(tmp_path)), width=0.5)
    with pytest.raises(UsageError, match="another space or image size"):
        run_search(other, progress=False)


def test_predictor_needs_a_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs quality.source"):
        run_search(config(tmp_path, QualityConfig(kind="predictor")), progress=False)
    assert not (tmp_path / "study.json").exists()


def test_predictor_from_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study with (pretended) trained trials feeds the predictor of the next."""
    monkeypatch.setattr(ProxyQuality, "kind", "train")
    proxy = QualityConfig(kind="proxy", proxy="depth")
    run_search(config(tmp_path / "a", proxy, trials=40, sampler="random"), progress=False)
    monkeypatch.undo()
    fitted = QualityConfig(kind="predictor", source=str(tmp_path / "a"))
    study = run_search(config(tmp_path / "b", fitted), progress=False)
    statement = study.folder.read_quality()
    assert statement is not None
    assert statement["correlation"]["pairs"] == 40
    assert statement["correlation"]["spearman"] > 0.5


def test_held_out_images_are_a_share_of_each_class_and_never_the_test_split() -> None:
    whole = load_dataset("embedded")
    train, held = part(whole.train, 0)
    assert len(train) + len(held) == len(whole.train)
    assert len(held) == round(len(whole.train) / 5)
    counts = np.bincount(held.labels)
    assert counts.max() - counts.min() <= 1
    again_train, again_held = part(whole.train, 0)
    assert (again_held.read([0, 1]) == held.read([0, 1])).all()
    pixels = {train.read([i]).tobytes() for i in range(len(train))}
    assert sum(held.read([i]).tobytes() in pixels for i in range(len(held))) == 0
    with pytest.raises(UsageError, match="Cannot hold out"):
        part(whole.train, len(whole.train))


def test_images_must_have_the_classes_of_the_space(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 10 classes; set num_classes"):
        search_data(config(tmp_path, QualityConfig(), num_classes=7))


QUICK = QualityConfig(train_images=64, test_images=32, epochs=1, repeats=3)


@pytest.mark.slow
def test_a_search_by_training(tmp_path: Path) -> None:
    """Three architectures on real images, cut off in the second training, resumed, and exported."""
    settings = config(tmp_path / "s", QUICK, trials=3, batch_size=3, budget=Budget.parse("0.3ms"))
    real = TrainedQuality._train
    calls: list[str] = []

    def cut(self: TrainedQuality, genotype: Any, key: str, seed: int) -> Quality:
        calls.append(key)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, genotype, key, seed)

    folder = StudyFolder(settings.folder)
    evaluator = TrainedQuality(settings, folder.artifacts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainedQuality, "_train", cut)
        with pytest.raises(KeyboardInterrupt):
            run_search(settings, evaluator=evaluator, progress=False)
    assert len(open_study(settings.folder).trials) == 1
    study = resume(settings.folder, progress=False)
    check_trained(study)
    winner = best(study)
    weights = folder.artifacts / winner.key / "model.weights.h5"
    assert weights.is_file()
    statement = folder.read_quality()
    assert statement is not None
    assert statement["kind"] == "train"
    check_export(study, tmp_path / "out")


def check_trained(study: Study) -> None:
    assert len(study.complete) == 3
    assert all(0 <= (trial.quality or -1) <= 1 for trial in study.trials)
    assert all(trial.quality_detail["images"] == 32 for trial in study.trials)
    kept = {path.name for path in study.folder.artifacts.iterdir()}
    assert kept <= {trial.key for trial in study.trials}


def check_export(study: Study, out: Path) -> None:
    """The preset gives the quality the trial recorded."""
    from model_zoo import load_model
    from pipelines.search import export_winner
    from pipelines.train import evaluate

    preset = export_winner(study, out, name="found")
    model = load_model(out)
    data = search_data(study.manifest.config)
    top1 = evaluate(model, data.test, model.preprocessing)["top1"]
    assert top1 == pytest.approx(best(study).quality, abs=1e-6)
    assert {path.name for path in preset.iterdir()} == {
        "spec.json",
        "model.weights.h5",
        "cost.json",
        "search.json",
    }


def test_rank_correlation_of_training_is_measured_by_training_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worst to best, each once; what an earlier run trained again is not trained a third time."""
    trials = trained_trials(40)
    again = {f"{t.key}-again": -(t.quality or 0.0) for t in trials}
    calls: list[str] = []

    def train(self: TrainedQuality, genotype: Any, key: str, seed: int) -> Quality:
        calls.append(key)
        return Quality(value=again[key])

    monkeypatch.setattr(TrainedQuality, "_train", train)
    evaluator = TrainedQuality(config(tmp_path, QualityConfig(repeats=5)), tmp_path / "artifacts")
    statement = evaluator.statement(trials[:30])
    assert statement.correlation is not None
    assert statement.correlation.spearman == pytest.approx(-1.0)
    assert statement.correlation.pairs == 5
    ranked = sorted(trials[:30], key=lambda t: t.quality or 0.0)
    assert {f"{ranked[0].key}-again", f"{ranked[-1].key}-again"} < set(calls)
    assert len(calls) == len(set(calls)) == 5
    evaluator.statement(trials)
    assert len(calls) == 5
    monkeypatch.setattr(TrainedQuality, "_train", _diverges)
    failing = TrainedQuality(config(tmp_path, QualityConfig()), tmp_path / "y" / "a")
    assert "not measured" in str(failing.statement(trials))
    untested = TrainedQuality(config(tmp_path, QualityConfig(repeats=0)), tmp_path / "x" / "a")
    assert "not measured" in str(untested.statement(trials))


def _diverges(*_: object) -> Quality:
    raise EdgeZooError("The loss became nan")


def test_trained_quality_travels_to_workers(tmp_path: Path) -> None:
    import pickle

    settings = config(tmp_path, QUICK)
    evaluator = make_evaluator(settings, StudyFolder(tmp_path))
    assert isinstance(evaluator, TrainedQuality)
    evaluator._loaded = (search_data(settings), object(), make_problem(settings))  # type: ignore[assignment]
    again = pickle.loads(pickle.dumps(evaluator))
    assert again._loaded is None
    assert again.name == "recipe search_short on embedded"

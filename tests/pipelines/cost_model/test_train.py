"""Training: one seed one model, the network in NumPy is the one Keras trained, and it beats a line over MACs."""

from pathlib import Path

import numpy as np
import pytest

from hw_model import load_target
from hw_model.cost.features import Reader
from hw_model.cost.learned_file import CostModel
from hw_model.errors import UsageError
from pipelines.cost_model.samples import Plan, sample
from pipelines.cost_model.specs import is_held_out
from pipelines.cost_model.train import (
    Example,
    agreement,
    example,
    predicted,
    seen_by,
    train_cost_model,
)

TARGET = "coral_usb"
SETTINGS = {"samples": 128, "seed": 21, "steps": 250}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where samples are kept, so that they are simulated once."""
    return tmp_path_factory.mktemp("samples")


@pytest.fixture(scope="module")
def model(folder: Path) -> CostModel:
    """A model of a small training."""
    return train_cost_model(load_target(TARGET), folder=folder, **SETTINGS)


@pytest.fixture(scope="module")
def examples(folder: Path) -> tuple[list[Example], list[Example]]:
    """What the training saw, and what was held out."""
    target = load_target(TARGET)
    plan = Plan(target=target, seed=SETTINGS["seed"], count=SETTINGS["samples"], folder=folder)
    found: tuple[list[Example], list[Example]] = ([], [])
    for each in sample(plan):
        found[is_held_out(each.spec.spec_id)].append(example(Reader(target), each))
    return found


@pytest.mark.slow
def test_a_small_training_beats_a_line_over_macs(
    model: CostModel, examples: tuple[list[Example], list[Example]]
) -> None:
    seen, held = examples

    def macs(which: list[Example]) -> np.ndarray:
        return np.array([each.inputs.run.macs for each in which], np.float64)

    true = np.array([each.totals[0] for each in held])
    slope, start = np.polyfit(macs(seen), [each.totals[0] for each in seen], 1)
    line = np.abs((slope * macs(held) + start) / true - 1).mean()
    assert model.about.held_out.latency_mape < min(0.05, line / 4)
    assert model.about.held_out == agreement(model, held)
    assert model.about.samples == len(seen)
    assert model.seen == seen_by(seen)


@pytest.mark.slow
def test_one_seed_gives_one_model(model: CostModel, folder: Path) -> None:
    again = train_cost_model(load_target(TARGET), folder=folder, **SETTINGS)
    assert again.model_id == model.model_id


@pytest.mark.slow
def test_numpy_runs_the_network_that_keras_trained(
    model: CostModel, examples: tuple[list[Example], list[Example]]
) -> None:
    import keras

    from pipelines.cost_model.train import _network

    network, layers = _network(model.mean.size)
    for layer, weights in zip(layers, model.layers, strict=True):
        layer.set_weights(list(weights))
    each = examples[1][0]
    x = np.clip((each.inputs.x - model.mean) / model.scale, -6, 6)
    out = network([x[None].astype("f4"), each.inputs.base[None].astype("f4")])
    sums = keras.ops.convert_to_numpy(out)[0].sum(axis=0) + each.constants
    assert sums == pytest.approx(predicted(model, each), rel=1e-4)


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--samples must be at least 64\. Received: 63"):
        train_cost_model(load_target(TARGET), samples=63, seed=0, folder=tmp_path)

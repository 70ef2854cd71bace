"""A model that ends in a softmax is trained on its logits, and ends in a softmax afterwards."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from pipelines.data import ImageDataset
from pipelines.train import train
from pipelines.train.logits import linear_output
from pipelines.train.recipe import parse_recipe

pytestmark = pytest.mark.backends


def _model(last: str) -> Any:
    image = keras.Input((4, 4, 1))
    x = keras.layers.Dense(3, activation="relu")(keras.layers.Flatten()(image))
    if last == "dense":
        return keras.Model(image, keras.layers.Dense(3, activation="softmax")(x))
    return keras.Model(image, keras.layers.Activation("softmax")(keras.layers.Dense(3)(x)))


@pytest.mark.parametrize("last", ["dense", "activation"])
def test_the_closing_softmax_is_gone_inside_and_back_outside(last: str) -> None:
    model = _model(last)
    images = np.random.default_rng(0).normal(size=(5, 4, 4, 1)).astype(np.float32)
    before = model.predict(images, verbose=0)
    np.testing.assert_allclose(before.sum(axis=1), 1.0, rtol=1e-5)
    with linear_output(model):
        logits = model.predict(images, verbose=0)
        assert not np.allclose(logits.sum(axis=1), 1.0)
        np.testing.assert_allclose(ops.convert_to_numpy(ops.softmax(logits)), before, atol=1e-6)
    np.testing.assert_allclose(model.predict(images, verbose=0), before, atol=1e-6)


def test_a_certain_and_wrong_model_recovers(
    tmp_path: Path, dataset: ImageDataset, make_model: Callable[..., Any]
) -> None:
    """With clipped probabilities this loss would have no gradient at all."""
    model = make_model()
    head = model.layers[-1]
    kernel, bias = head.get_weights()
    bias[:] = -200.0
    bias[0] = 200.0
    head.set_weights([kernel * 0, bias])
    recipe = parse_recipe(
        {
            "epochs": 1,
            "batch_size": 32,
            "optimizer": {"name": "sgd", "learning_rate": 1.0, "clip_norm": 0.0},
        }
    )
    train(
        model,
        dataset,
        recipe,
        run_dir=tmp_path,
        preprocessing=lambda x: x / np.float32(255),
        verbose=0,
    )
    moved = np.abs(head.get_weights()[1] - bias).max()
    assert moved > 0.1

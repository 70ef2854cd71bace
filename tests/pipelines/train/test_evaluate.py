"""Metrics against hand-made scores, and batch-norm statistics that are measured."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hw_model.errors import UsageError
from pipelines.data import ImageDataset, LabelBatches
from pipelines.train import evaluate, predict, recalibrate, score
from pipelines.train.batch_norm import Recalibration, is_settled

pytestmark = pytest.mark.backends


def test_scores_by_hand() -> None:
    labels = np.array([0, 6, 2])
    logits = np.array(
        [
            [9, 1, 2, 3, 4, 5, 6],  # first
            [9, 8, 7, 6, 5, 4, 3],  # last of seven
            [5, 4, 3, 2, 1, 0, -1],  # third
        ],
        np.float32,
    )
    metrics = score(logits, labels)
    assert metrics["top1"] == pytest.approx(1 / 3)
    assert metrics["top5"] == pytest.approx(2 / 3)
    shifted = np.exp(logits.astype(np.float64))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    expected = -np.log(probabilities[np.arange(3), labels]).mean()
    assert metrics["loss"] == pytest.approx(expected, rel=1e-6)
    assert score(probabilities.astype(np.float32), labels)["loss"] == pytest.approx(
        expected, rel=1e-4
    )


def test_a_constant_output_is_right_by_chance_only() -> None:
    labels = np.arange(10)
    assert score(np.full((10, 10), 0.1, np.float32), labels)["top1"] == pytest.approx(0.1)


def test_logits_and_probabilities_of_one_model_agree(
    dataset: ImageDataset, preprocessing: Callable[..., Any], make_model: Callable[..., Any]
) -> None:
    soft, plain = make_model(), make_model(softmax=False)
    plain.set_weights(soft.get_weights())
    assert evaluate(plain, dataset.test, preprocessing) == pytest.approx(
        evaluate(soft, dataset.test, preprocessing), rel=1e-4
    )


def test_predictions_keep_the_order_of_the_split(
    model: Any, dataset: ImageDataset, preprocessing: Callable[..., Any]
) -> None:
    scores = predict(model, dataset.test, preprocessing, batch_size=32)
    whole = model.predict_on_batch(preprocessing(dataset.test.read(range(100))))
    np.testing.assert_allclose(scores, whole, atol=1e-5)


def test_a_model_that_takes_no_images_is_refused(dataset: ImageDataset) -> None:
    import keras

    flat = keras.Sequential([keras.Input((5,)), keras.layers.Dense(10)])
    with pytest.raises(UsageError, match=r"Received: \(None, 5\)"):
        evaluate(flat, dataset.test, lambda images: images)


def test_recalibrated_statistics_are_those_of_the_images(
    model: Any, dataset: ImageDataset, preprocessing: Callable[..., Any]
) -> None:
    import keras

    assert not is_settled(model, 100)
    assert is_settled(model, 500)
    norm = model.get_layer("stem_bn")
    batches = LabelBatches(
        dataset.train,
        batch_size=64,
        num_classes=10,
        preprocessing=preprocessing,
        training=True,
    )
    images = np.concatenate([batches[index][0] for index in range(len(batches))])
    stem = keras.ops.convert_to_numpy(model.get_layer("stem")(images))
    seeds = [keras.ops.convert_to_numpy(v.value) for v in model.variables]
    with Recalibration(model).measured(batches):
        mean = keras.ops.convert_to_numpy(norm.moving_mean.value)
        np.testing.assert_allclose(mean, stem.mean(axis=(0, 1, 2)), rtol=1e-3, atol=1e-5)
    for before, variable in zip(seeds, model.variables, strict=True):
        np.testing.assert_array_equal(before, keras.ops.convert_to_numpy(variable.value))
    assert norm.momentum == 0.99
    recalibrate(model, batches)
    variance = keras.ops.convert_to_numpy(norm.moving_variance.value)
    np.testing.assert_allclose(variance, stem.var(axis=(0, 1, 2)), rtol=0.1)

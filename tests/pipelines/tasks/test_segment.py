"""Segmentation metrics and loss against plain NumPy, on any backend."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from hw_model.errors import UsageError
from pipelines.data import IGNORED, ImageDataset, MaskArraySplit
from pipelines.tasks import TASKS, evaluate, task_of
from pipelines.tasks.segment import class_maps, cross_entropy, resized, score_model
from pipelines.train import train
from pipelines.train.recipe import parse_recipe

CLASSES = 4
pytestmark = pytest.mark.backends


def scene_split(count: int, seed: int = 0, size: int = 16) -> MaskArraySplit:
    """Coloured squares: the class of a pixel is its colour."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, CLASSES, (count, size // 4, size // 4), dtype=np.uint8)
    masks = coarse.repeat(4, axis=1).repeat(4, axis=2)
    colours = np.array([[20, 20, 20], [220, 30, 30], [30, 220, 30], [30, 30, 220]], np.uint8)
    images = np.clip(colours[masks] + rng.integers(-20, 20, (*masks.shape, 3)), 0, 255)
    masks[:, :2, :2] = IGNORED
    return MaskArraySplit(images.astype(np.uint8), masks)


def identity(images: Any) -> Any:
    return np.asarray(images, np.float32) / 127.5 - 1


def model_of(stride: int = 2) -> keras.Model:
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=stride, padding="same", activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Conv2D(CLASSES, 1)(x))


def test_metrics_equal_those_counted_pixel_by_pixel() -> None:
    keras.utils.set_random_seed(0)
    model, split = model_of(), scene_split(7)
    images, masks = split.read_pairs(np.arange(7))
    scores = keras.ops.convert_to_numpy(
        resized(np.asarray(model.predict(identity(images), verbose=0)), (16, 16))
    )
    found, hits, unions = scores.argmax(-1), np.zeros(CLASSES), np.zeros(CLASSES)
    counted = masks != IGNORED
    for label in range(CLASSES):
        true, said = (masks == label) & counted, (found == label) & counted
        hits[label], unions[label] = (true & said).sum(), (true | said).sum()
    wide = scores[counted].astype(np.float64)
    own = wide[np.arange(len(wide)), masks[counted]]
    loss = (np.log(np.exp(wide).sum(-1)) - own).mean()

    result = score_model(model, split, identity, batch_size=3)
    np.testing.assert_allclose(result.iou, hits / unions)
    metrics = evaluate(model, split, identity, batch_size=3)
    assert metrics["miou"] == pytest.approx((hits / unions).mean())
    assert metrics["pixel_accuracy"] == pytest.approx((found == masks)[counted].mean())
    assert metrics["loss"] == pytest.approx(loss, rel=1e-4)


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="Keras' own metric warns of 64-bit integers there"
)
def test_metrics_equal_those_of_keras() -> None:
    keras.utils.set_random_seed(1)
    model, split = model_of(), scene_split(5, seed=2)
    images, masks = split.read_pairs(np.arange(5))
    found = class_maps(model.predict(identity(images), verbose=0), (16, 16))
    metric = keras.metrics.MeanIoU(CLASSES, ignore_class=IGNORED, sparse_y_pred=True)
    metric.update_state(masks, found)
    assert score_model(model, split, identity).miou == pytest.approx(float(metric.result()))


def test_a_class_nobody_has_or_claims_is_left_out_of_the_mean() -> None:
    masks = np.zeros((1, 16, 16), np.uint8)
    masks[:, :, 8:] = 1
    split = MaskArraySplit(np.zeros((1, 16, 16, 3), np.uint8), masks)
    model = model_of()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([0 * kernel, np.array([1, 0, 0, 0], np.float32)])
    result = score_model(model, split, identity)
    assert np.isnan(result.iou[2:]).all()
    assert result.miou == pytest.approx((0.5 + 0) / 2)


def test_loss_counts_only_what_is_not_ignored() -> None:
    scores = np.random.default_rng(1).normal(size=(2, 3, 3, CLASSES)).astype(np.float32)
    masks = np.full((2, 3, 3), IGNORED)
    assert float(cross_entropy(masks, scores, from_logits=True)) == 0.0
    masks[1, 2, 0] = 3
    row = scores[1, 2, 0]
    expected = np.log(np.exp(row).sum()) - row[3]
    assert float(cross_entropy(masks, scores, from_logits=True)) == pytest.approx(
        expected, rel=1e-5
    )
    loss = TASKS["segmentation"].loss(from_logits=True, label_smoothing=0.0)
    assert float(loss(masks, scores)) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(UsageError, match="label smoothing"):
        TASKS["segmentation"].loss(from_logits=True, label_smoothing=0.1)


def test_class_maps_reads_scores_and_ids_of_any_size() -> None:
    scores = np.zeros((1, 2, 2, 3), np.float32)
    scores[0, 0, :, 1] = 1
    scores[0, 1, :, 2] = 1
    np.testing.assert_array_equal(class_maps(scores, (4, 4))[0, :, 0], [1, 1, 2, 2])
    ids = np.array([[[0.1, 1.9], [3.0, 4.2]]])
    np.testing.assert_array_equal(class_maps(ids, (2, 2))[0], [[0, 2], [3, 4]])
    np.testing.assert_array_equal(
        class_maps(ids[..., None], (4, 4))[0], np.kron([[0, 2], [3, 4]], np.ones((2, 2)))
    )


def test_a_small_network_learns_colours(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    data = ImageDataset(
        name="squares",
        class_names=("black", "red", "green", "blue"),
        splits={"train": scene_split(64), "test": scene_split(16, seed=1)},
    )
    assert (data.task, task_of(data.test).NAME) == ("segmentation", "segmentation")
    model = model_of(stride=1)
    recipe = parse_recipe(
        {
            "epochs": 8,
            "batch_size": 8,
            "optimizer": {"name": "adamw", "learning_rate": 0.02},
            "augmentation": {"flip": True, "scale": [0.8, 1.25]},
        }
    )
    result = train(model, data, recipe, run_dir=tmp_path, preprocessing=identity, verbose=0)
    assert result.metrics["miou"] > 0.9
    assert {"epoch", "loss", "val_miou", "val_pixel_accuracy", "val_loss"} <= set(result.history[0])


def test_a_model_of_other_classes_is_refused(tmp_path: Path) -> None:
    splits = {"train": scene_split(8), "test": scene_split(4)}
    data = ImageDataset(name="squares", class_names=tuple("abcde"), splits=splits)
    with pytest.raises(
        UsageError, match="has 5 classes for segmentation but the model has 4 classes"
    ):
        train(model_of(), data, parse_recipe({}), run_dir=tmp_path, preprocessing=identity)

"""Detection as a task: losses against plain loops, evaluation, training on any backend."""

import tomllib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest

from hw_model.errors import UsageError
from model_zoo import create_model
from pipelines.data import ImageDataset, load_dataset, subset
from pipelines.data.box_batches import UNCOUNTED
from pipelines.tasks import TASKS, evaluate, task_of
from pipelines.tasks.detect import FOCAL_ALPHA, FOCAL_GAMMA, loss_classes
from pipelines.train import train
from pipelines.train.recipe import parse_recipe

pytestmark = pytest.mark.backends
RECIPE = """
summary = "a few steps"
epochs = 8
batch_size = 4
eval_images = 4
[optimizer]
name = "adamw"
learning_rate = 2e-3
clip_norm = 1.0
[augmentation]
flip = true
ssd_crop = true
"""


def shapes(train_images: int = 8) -> ImageDataset:
    data = load_dataset("composed_shapes_boxes", image_size=(64, 64))
    splits = {name: subset(split, train_images) for name, split in data.splits.items()}
    return ImageDataset(name=data.name, class_names=data.class_names, splits=splits)


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(0)
    return create_model(
        "ssdlite_mobiledet_edgetpu", num_classes=6, input_shape=(64, 64, 3), width=0.25
    )


def focal(slot: int, logits: npt.NDArray[np.float64]) -> float:
    total = 0.0
    for place, logit in enumerate(logits):
        chance = 1 / (1 + np.exp(-logit))
        right = place == slot and slot > 0
        own = chance if right else 1 - chance
        total -= (
            (FOCAL_ALPHA if right else 1 - FOCAL_ALPHA) * (1 - own) ** FOCAL_GAMMA * np.log(own)
        )
    return total


def test_the_class_loss_is_the_focal_loss_of_counted_anchors_by_the_matched_ones() -> None:
    rng = np.random.default_rng(0)
    slots = np.array([[0, 2, UNCOUNTED], [3, 0, 1]], np.int32)
    logits = rng.normal(0, 2, (2, 3, 4))
    expected = sum(
        focal(int(slots[place]), logits[place])
        for place in np.ndindex(2, 3)
        if slots[place] != UNCOUNTED
    )
    _, classes = loss_classes()
    loss = classes()(slots, logits.astype(np.float32))
    np.testing.assert_allclose(float(loss), expected / 3, rtol=1e-5)


def test_the_box_loss_is_smooth_l1_of_matched_anchors() -> None:
    targets = np.zeros((1, 3, 5), np.float32)
    targets[0, 0], targets[0, 2] = (1, 0, 0, 0, 1), (0, 0, 0, 3, 1)
    codes = np.zeros((1, 3, 4), np.float32)
    codes[0, 1] = 9
    codes[0, 0, 1] = 0.5
    boxes, _ = loss_classes()
    # 1 - 0.5 and 0.5**2 / 2 of the first, 3 - 0.5 of the last; a mean over 4 codes and 2 anchors.
    np.testing.assert_allclose(float(boxes()(targets, codes)), (0.5 + 0.125 + 2.5) / 4 / 2)


def test_losses_without_any_object_are_finite() -> None:
    boxes, classes = loss_classes()
    assert float(boxes()(np.zeros((1, 2, 5), np.float32), np.ones((1, 2, 4), np.float32))) == 0
    loss = float(classes()(np.zeros((1, 2), np.int32), np.full((1, 2, 3), 80, np.float32)))
    assert 100 < loss < 200


def test_data_and_task_know_each_other(model: Any) -> None:
    data = shapes()
    assert (data.task, task_of(data.test).NAME, data.num_classes) == ("detection", "detection", 6)
    assert TASKS["detection"].classes_of(model) == 6


def test_evaluation_gives_ap_and_loss(model: Any) -> None:
    metrics = evaluate(model, shapes().test, batch_size=3)
    assert set(metrics) == {"ap", "ap50", "ap75", "loss"}
    assert 0 <= metrics["ap"] <= metrics["ap50"] < 0.2  # of random weights
    again = evaluate(model, shapes().test, batch_size=8)
    assert again["ap"] == metrics["ap"]


def test_training_brings_the_loss_down(model: Any, tmp_path: Path) -> None:
    before = evaluate(model, shapes().train)["loss"]
    result = train(
        model, shapes(), parse_recipe(tomllib.loads(RECIPE)), run_dir=tmp_path / "run", verbose=0
    )
    assert result.epochs == 8
    assert evaluate(model, shapes().train)["loss"] < 0.98 * before
    assert "trained on composed_shapes_boxes" in model.weights_origin


def test_a_detector_needs_its_anchors_and_the_right_classes(model: Any) -> None:
    inputs = keras.Input((64, 64, 3))
    plain = keras.Model(inputs, keras.layers.Conv2D(6, 1)(inputs))
    with pytest.raises(UsageError, match="anchors"):
        evaluate(plain, shapes().test, lambda images: images)
    data = shapes()
    other = ImageDataset(name="two", class_names=("a", *data.class_names), splits=data.splits)
    with pytest.raises(UsageError, match="7 classes for detection"):
        TASKS["detection"].check_fit(model, other)

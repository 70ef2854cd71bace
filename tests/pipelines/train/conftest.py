"""A small model and a small real data set for the training tests."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipelines.data import ImageDataset, load_dataset, subset
from pipelines.train import Recipe
from pipelines.train.recipe import parse_recipe


def to_unit(images: np.ndarray) -> np.ndarray:
    """uint8 to -1..1, as the zoo's preprocessing does."""
    return images.astype(np.float32) / 127.5 - 1.0


def build_model(
    *, num_classes: int = 10, shape: tuple[int, int, int] = (28, 28, 1), softmax: bool = True
) -> Any:
    """Conv, batch norm, dropout and a dense head: every kind of state a checkpoint must hold."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(8, 3, strides=2, use_bias=False, name="stem"),
            layers.BatchNormalization(name="stem_bn"),
            layers.ReLU(),
            layers.Conv2D(12, 3, strides=2, name="body"),
            layers.BatchNormalization(name="body_bn"),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.2),
            layers.Dense(num_classes, activation="softmax" if softmax else None, name="logits"),
        ]
    )


def small_recipe(**changes: Any) -> Recipe:
    """Four quick epochs that use everything a recipe can switch on."""
    table: dict[str, Any] = {
        "epochs": 4,
        "batch_size": 32,
        "label_smoothing": 0.1,
        "eval_images": 50,
        "optimizer": {"name": "sgd", "learning_rate": 0.1, "weight_decay": 1e-3, "clip_norm": 5.0},
        "schedule": {"kind": "cosine", "warmup_epochs": 1.0},
        "average": {"decay": 0.9, "dynamic": True},
        "augmentation": {"flip": True, "shift_pixels": 2, "cutout_pixels": 6},
    }
    return parse_recipe({**table, **changes})


@pytest.fixture(scope="session")
def dataset() -> ImageDataset:
    """256 training and 100 test images of the embedded Fashion-MNIST."""
    whole = load_dataset("embedded")
    return ImageDataset(
        name="few",
        class_names=whole.class_names,
        splits={"train": subset(whole.train, 256), "test": subset(whole.test, 100)},
    )


@pytest.fixture(scope="session")
def preprocessing() -> Callable[[np.ndarray], np.ndarray]:
    return to_unit


@pytest.fixture
def model() -> Any:
    return build_model()


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    return build_model


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    return small_recipe

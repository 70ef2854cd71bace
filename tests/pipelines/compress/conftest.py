"""A small network that has learned something, and its data; skipped without model optimization."""

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from model_zoo.spec import Backbone, ClassifierHead, ImageInput, ModelSpec, Stack, Stem
from pipelines.data import ArraySplit, ImageDataset
from tests.pipelines.export.conftest import images_of, trained_model

_THERE = all(find_spec(name) for name in ("tf_keras", "tensorflow_model_optimization"))
_TENSORFLOW = os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow"
# The settings and measures need neither.
collect_ignore = (
    [] if _THERE and _TENSORFLOW else ["test_bridge.py", "test_methods.py", "test_quantize.py"]
)


def random_images(model: Any, count: int = 3) -> Any:
    """Inputs as a network takes them."""
    shape = (count, *model.input_shape[1:])
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def answers_of(model: Any, inputs: Any) -> list[Any]:
    """The outputs of either Keras as a list of arrays."""
    outputs = model(inputs, training=False)
    if isinstance(outputs, dict):
        outputs = list(outputs.values())
    return [np.asarray(each) for each in (outputs if isinstance(outputs, list) else [outputs])]


@pytest.fixture(scope="session")
def model() -> Any:
    """A classifier with groups, a residual and a depthwise convolution, whose norms are far from their start."""
    spec = ModelSpec(
        family="mobilenet_edgetpu_v2",
        input=ImageInput(height=16, width=16, channels=1),
        backbone=Backbone(
            stem=Stem(kernel=3, filters=8),
            stacks=(
                Stack(kind="group_fused", filters=8, expansion=4, group_size=16),
                Stack(kind="dw", filters=12, kernel=3, expansion=2, stride=2),
            ),
        ),
        head=ClassifierHead(num_classes=4, top_filters=16, dropout=0.1),
    )
    return trained_model(spec, seed=5)


@pytest.fixture(scope="session")
def data(model: Any) -> ImageDataset:
    """Images labelled by the network itself."""
    images = images_of(model.spec, 48, seed=4)
    labels = model.predict(model.preprocessing(images), verbose=0).argmax(axis=-1)
    return ImageDataset(
        name="answers",
        splits={
            "train": ArraySplit(images[:32], labels[:32]),
            "test": ArraySplit(images[32:], labels[32:]),
        },
        class_names=("a", "b", "c", "d"),
    )

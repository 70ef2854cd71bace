"""Small networks at 28-32 px, one of them exported once for all tests of this folder."""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import SpecError
from model_zoo.create import create_spec
from model_zoo.spec import (
    BLOCK_KINDS,
    FAMILIES,
    Backbone,
    ClassifierHead,
    ImageInput,
    ModelSpec,
    Stack,
    Stem,
)
from pipelines.data import ArraySplit
from pipelines.export import Certificate, export_int8

# Only TensorFlow converts; on another backend there is nothing here to run.
collect_ignore_glob = (
    [] if os.environ.get("KERAS_BACKEND", "tensorflow") == "tensorflow" else ["test_*.py"]
)


def small_spec() -> ModelSpec:
    """Every kind of block, a residual, more than ten groups."""
    return ModelSpec(
        family="mobilenet_edgetpu_v2",
        input=ImageInput(height=28, width=28, channels=1),
        backbone=Backbone(
            stem=Stem(kernel=3, filters=12),
            stacks=(
                Stack(kind="project", filters=12, kernel=1),
                Stack(kind="group_fused", filters=12, expansion=4, group_size=4),
                Stack(kind="fused", filters=16, expansion=2, stride=2),
                Stack(kind="dw", filters=16, kernel=5, expansion=2),
                Stack(kind="fused_late_stride", filters=24, expansion=2, stride=2),
            ),
        ),
        head=ClassifierHead(num_classes=4, top_filters=32, dropout=0.1),
    )


def random_spec(seed: int) -> ModelSpec:
    """A legal small network of random blocks, sizes, channels and head."""
    pick = random.Random(seed)
    while True:
        stacks = []
        for _ in range(pick.randint(2, 4)):
            kind, filters = pick.choice(BLOCK_KINDS), pick.choice((8, 16, 24))
            if kind == "project":
                stacks.append({"kind": kind, "filters": filters, "kernel": 1})
                continue
            stacks.append(
                {
                    "kind": kind,
                    "filters": filters,
                    "kernel": pick.choice((1, 3, 5)),
                    "stride": pick.choice((1, 1, 2)),
                    "expansion": pick.choice((1, 2, 4)),
                    "repeats": pick.choice((1, 2)),
                    "group_size": pick.choice((4, 8)) if kind == "group_fused" else None,
                }
            )
        head = ClassifierHead(
            num_classes=pick.choice((2, 5)),
            top_filters=16,
            dropout=0.1,
            form=pick.choice(("conv", "dense")),
            activation=pick.choice(("softmax", "sigmoid", None)),
        )
        stem = Stem(
            kernel=pick.choice((3, 5)), filters=pick.choice((8, 16)), stride=pick.choice((1, 2))
        )
        size = ImageInput(
            height=pick.choice((28, 31)), width=pick.choice((28, 32)), channels=pick.choice((1, 3))
        )
        try:
            return ModelSpec(
                family=pick.choice(FAMILIES),
                input=size,
                backbone=Backbone(stem=stem, stacks=tuple(Stack(**stack) for stack in stacks)),
                head=pick.choice((head, head, head, None)),
            )
        except SpecError:
            continue


def trained_model(spec: ModelSpec, seed: int = 0) -> Any:
    """A model whose norms and biases are as far from their start as after a training."""
    import keras

    from model_zoo.nn.model import ZooModel

    keras.utils.set_random_seed(seed)
    model = ZooModel(spec, weights_origin="trained for a test")
    generator = np.random.default_rng(seed)
    centres = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_variance": 1.0, "bias": 0.0}
    for variable in model.variables:
        kind = variable.path.rpartition("/")[2]
        if kind in centres:
            values = generator.normal(centres[kind], 0.2, variable.shape)
            variable.assign(np.abs(values) if kind == "moving_variance" else values)
    return model


def images_of(spec: ModelSpec, count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Random uint8 images."""
    size = spec.input
    shape = (count, size.height, size.width, size.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@dataclass(frozen=True)
class Exported:
    """A model, its file, and the images around it."""

    model: Any
    path: Path
    certificate: Certificate
    test: ArraySplit


@pytest.fixture(scope="session")
def model() -> Any:
    """A trained network with `small_spec`."""
    return trained_model(small_spec())


@pytest.fixture(scope="session")
def exported(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """That network as an int8 file, evaluated on 64 images labelled by the network itself."""
    images = images_of(model.spec, 64, seed=1)
    scores = model.predict(model.preprocessing(images), verbose=0)
    test = ArraySplit(images, scores.argmax(axis=-1))
    path = tmp_path_factory.mktemp("export") / "small.tflite"
    certificate = export_int8(
        model, images_of(model.spec, 24), path, target=None, evaluate_on=test, progress=False
    )
    return Exported(model, path, certificate, test)


@dataclass(frozen=True)
class Detector:
    """A detector, its file without post-processing, and images as it takes them."""

    model: Any
    path: Path
    certificate: Certificate
    inputs: np.ndarray[Any, Any]


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """A small SpaghettiNet whose boxes and scores vary as those of a trained one do."""
    spec = create_spec(
        "spaghettinet_edgetpu_s", input_shape=(128, 128, 3), width=0.25, num_classes=4
    )
    model = trained_model(spec)
    for variable in model.variables:
        if "ssd_" in variable.path and "conv2d/kernel" in variable.path:
            variable.assign(12 * variable)
    path = tmp_path_factory.mktemp("detector") / "raw.tflite"
    certificate = export_int8(model, images_of(spec, 4), path, progress=False)
    return Detector(model, path, certificate, model.preprocessing(images_of(spec, 6, seed=3)))


@pytest.fixture(scope="session")
def make_random_model() -> Callable[[int], Any]:
    """A trained network with `random_spec(seed)`."""
    return lambda seed: trained_model(random_spec(seed), seed)


@pytest.fixture(scope="session")
def make_images() -> Callable[..., np.ndarray[Any, Any]]:
    """`images_of`, for tests."""
    return images_of


@pytest.fixture(scope="session")
def make_trained() -> Callable[[ModelSpec], Any]:
    """`trained_model`, for tests."""
    return trained_model

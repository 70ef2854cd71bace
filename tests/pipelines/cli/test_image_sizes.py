"""Images of many sizes are read as large as the model takes them, unless the user says a size."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw_model.errors import DataError
from pipelines.cli.references import load_images
from pipelines.data.sizes import SizesDifferError, only_size


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of three images, all of other sizes."""
    rng = np.random.default_rng(0)
    for label in ("left", "right"):
        (tmp_path / label).mkdir()
        for index in range(6):
            pixels = rng.integers(0, 256, (20 + index, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{index}.png")
    return tmp_path


def asked(folder: Path, size: str | None = None) -> argparse.Namespace:
    return argparse.Namespace(data=str(folder), image_size=size)


def test_the_size_is_the_models(folder: Path) -> None:
    assert load_images(asked(folder), "mobilenet_edgetpu_v2_xs").train.image_shape == (224, 224, 3)
    found = load_images(asked(folder), "spaghettinet_edgetpu_s_composed_scenes")
    assert found.train.image_shape == (128, 128, 3)


def test_a_size_that_is_given_wins(folder: Path) -> None:
    found = load_images(asked(folder, "24x36"), "mobilenet_edgetpu_v2_xs")
    assert found.train.image_shape == (24, 36, 3)


@pytest.mark.parametrize("model", ["no_such_model", "none.tflite", "mobilebert_edgetpu_xs"])
def test_a_model_that_says_no_size_leaves_the_question(folder: Path, model: str) -> None:
    with pytest.raises(SizesDifferError, match=r"6 sizes.*\(--image-size 224\)"):
        load_images(asked(folder), model)


def test_images_of_one_size_keep_it(folder: Path) -> None:
    for path in folder.rglob("*.png"):
        Image.open(path).resize((40, 20)).save(path)
    found = load_images(asked(folder), "mobilenet_edgetpu_v2_xs")
    assert found.train.image_shape == (20, 40, 3)


def test_other_faults_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_images(asked(tmp_path), "mobilenet_edgetpu_v2_xs")
    assert not isinstance(caught.value, SizesDifferError)
    assert only_size({(3, 4)}, "", usual=1) == (3, 4)

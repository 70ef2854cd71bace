"""Predictions on a user's own images: any size and format, clear refusals, and the picture that is written."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hw_model.errors import DataError, UsageError
from model_zoo import create_spec
from model_zoo.preprocessing import Preprocessing
from pipelines import predict
from pipelines.predict import Predictor, predictor_of, read_image, segmentation_picture, shares


def halves(inputs: Any) -> Any:
    """Scores (1, 2, 2, 3): the left half is class 0, the right half class 2."""
    assert inputs.shape == (1, 8, 8, 3)
    scores = np.zeros((1, 2, 2, 3), np.float32)
    scores[:, :, 0, 0] = 5
    scores[:, :, 1, 2] = 5
    return scores


PREDICTOR = Predictor(
    run=halves,
    preprocessing=Preprocessing(height=8, width=8),
    class_names=("background", "dog"),
    task="segmentation",
)


def test_a_mask_has_the_size_of_the_image() -> None:
    mask = PREDICTOR.mask(np.zeros((30, 50, 3), np.uint8))
    assert mask.shape == (30, 50)
    assert set(mask[:, :20].ravel()) == {0}
    assert set(mask[:, 30:].ravel()) == {2}
    assert shares(mask)[0][1] + shares(mask)[1][1] == pytest.approx(1)
    assert (PREDICTOR.name_of(1), PREDICTOR.name_of(2)) == ("dog", "class 2")


def test_the_picture_holds_the_image_and_a_row_for_each_class() -> None:
    image = np.full((30, 200, 3), 50, np.uint8)
    picture = segmentation_picture(image, PREDICTOR.mask(image), PREDICTOR)
    assert picture.shape == (30 + 4 + 18, 200, 3)
    np.testing.assert_array_equal(picture[:30, :80], image[:, :80])
    empty = segmentation_picture(image, np.zeros((30, 200), np.uint8), PREDICTOR)
    np.testing.assert_array_equal(empty, image)


@pytest.mark.parametrize("logits", [True, False])
def test_scores_are_probabilities_whatever_the_model_gives(logits: bool) -> None:
    row = np.log([[0.7, 0.2, 0.1]]) + 3 if logits else np.array([[0.7, 0.2, 0.1]])
    predictor = Predictor(
        run=lambda _: row,
        preprocessing=PREDICTOR.preprocessing,
        class_names=(),
        task="classification",
    )
    found = predictor.scores(np.zeros((4, 4, 3), np.uint8))
    np.testing.assert_allclose(found, [0.7, 0.2, 0.1], atol=1e-6)


def test_scores_that_happen_to_sum_to_one_are_no_probabilities() -> None:
    predictor = Predictor(
        run=lambda _: np.array([[2.0, -1.0, 0.0]]),
        preprocessing=PREDICTOR.preprocessing,
        class_names=(),
        task="classification",
    )
    expected = np.exp([2.0, -1.0, 0.0])
    found = predictor.scores(np.zeros((4, 4, 3), np.uint8))
    np.testing.assert_allclose(found, expected / expected.sum(), rtol=1e-5)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "1", "I;16"])
def test_images_of_every_mode_become_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.tiff" if mode in ("CMYK", "I;16") else "image.png")
    Image.new(mode, (7, 5)).save(path)
    assert read_image(path).shape == (5, 7, 3)


def test_a_turned_photograph_is_put_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    Image.new("RGB", (7, 5)).save(tmp_path / "phone.jpg", exif=exif)
    assert read_image(tmp_path / "phone.jpg").shape == (7, 5, 3)


def test_what_is_no_image_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="There is no image"):
        read_image(tmp_path / "missing.png")
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DataError, match="Cannot read image .*text.png"):
        read_image(tmp_path / "text.png")
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:5000])
    with pytest.raises(DataError, match="Cannot read image .*half.png"):
        read_image(tmp_path / "half.png")
    monkeypatch.setattr(predict, "MOST_PIXELS", 3000)
    with pytest.raises(DataError, match="70 x 50 pixels; scale it to at most 3,000"):
        read_image(tmp_path / "whole.png")


def test_random_weights_and_backbones_are_refused() -> None:
    class Untrained:
        name = "net"
        weights_origin = "random"

    class Headless(Untrained):
        weights_origin = "trained"
        spec = create_spec("mobilenet_edgetpu_v2_tiny", backbone=True)

    with pytest.raises(UsageError, match="net is an architecture without weights"):
        predictor_of(Untrained())
    with pytest.raises(UsageError, match="net is a backbone: it gives feature maps"):
        predictor_of(Headless())

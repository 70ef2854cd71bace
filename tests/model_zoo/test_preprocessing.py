"""Preprocessing: values, shapes, channel conversions, resizing, and what it refuses."""

import numpy as np
import pytest

from hw_model import codec
from hw_model.errors import DataError, SpecError
from model_zoo.preprocessing import Preprocessing

GRAY = Preprocessing(height=28, width=28, channels=1)


def test_values_are_the_published_range() -> None:
    images = np.array([0, 127, 128, 255], np.uint8).reshape(1, 2, 2, 1)
    out = Preprocessing(height=2, width=2, channels=1)(images)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.ravel(), [-1, -0.5 / 127.5, 0.5 / 127.5, 1], atol=1e-6)


@pytest.mark.parametrize(
    "shape", [(28, 28), (28, 28, 1), (5, 28, 28, 1), (2, 28, 28, 3), (2, 28, 28, 4), (2, 40, 30, 1)]
)
def test_any_image_becomes_the_network_s_input(shape: tuple[int, ...]) -> None:
    out = GRAY(np.zeros(shape, np.uint8))
    assert out.shape == (shape[0] if len(shape) == 4 else 1, 28, 28, 1)
    assert np.all(out == -1)


def test_gray_is_repeated_alpha_dropped_and_colour_weighted() -> None:
    rgb = Preprocessing(height=1, width=1, channels=3)
    np.testing.assert_allclose(rgb(np.array([[[[255]]]], np.uint8)), np.ones((1, 1, 1, 3)))
    np.testing.assert_allclose(rgb(np.array([[[[255, 0, 255, 9]]]], np.uint8))[0, 0, 0], [1, -1, 1])
    green = Preprocessing(height=1, width=1, channels=1)(np.array([[[[0, 255, 0]]]], np.uint8))
    assert green[0, 0, 0, 0] == pytest.approx((150 - 127.5) / 127.5)


def test_a_crop_keeps_the_centre() -> None:
    image = np.zeros((16, 32, 1), np.uint8)
    image[4:12, 12:20] = 255
    out = Preprocessing(height=4, width=4, channels=1, crop=0.5)(image)
    assert np.all(out == 1)


@pytest.mark.parametrize("shape", [(), (3,), (0, 28, 28, 1), (2, 28, 28, 2), (1, 2, 28, 28, 1)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError):
        GRAY(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("values", [{"height": 0}, {"crop": 0.0}, {"crop": 1.5}, {"scale": 0.0}])
def test_impossible_settings_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(SpecError):
        Preprocessing(**({"height": 8, "width": 8} | values))  # type: ignore[arg-type]


def test_channels_may_have_values_of_their_own() -> None:
    own = Preprocessing(height=1, width=2, mean=(124.0, 116.0, 104.0), scale=(58.0, 57.0, 57.5))
    out = own(np.array([[[182, 116, 219], [124, 59, 104]]], np.uint8))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out[0, 0], [[1, 0, 2], [0, -1, 0]], atol=1e-6)
    assert codec.loads(Preprocessing, codec.dumps(own)) == own
    for wrong in ({"mean": (1.0, 2.0)}, {"scale": (1.0, 0.0, 1.0)}):
        with pytest.raises(SpecError):
            Preprocessing(height=8, width=8, **wrong)  # type: ignore[arg-type]

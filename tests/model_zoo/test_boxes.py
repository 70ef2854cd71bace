"""Anchors and box codes: the published counts and places, and codes that come back as the boxes they were."""

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model.errors import UsageError
from model_zoo.create import create_spec
from model_zoo.detection import anchors_of, centres_of, corners_of, decode, encode, map_sizes
from model_zoo.spec import AnchorGrid

S = "spaghettinet_edgetpu_s"
MOBILEDET = "ssdlite_mobiledet_edgetpu"


@pytest.mark.parametrize(
    ("name", "count", "maps"),
    [(S, 2058, (20, 10, 5, 3, 3)), (MOBILEDET, 2034, (20, 10, 5, 3, 2, 1))],
)
def test_published_networks_have_the_published_anchors(
    name: str, count: int, maps: tuple[int, ...]
) -> None:
    spec = create_spec(name)
    assert map_sizes(spec) == tuple((side, side) for side in maps)
    assert anchors_of(spec).shape == (count, 4)
    assert anchors_of(spec).dtype == np.float32


def test_anchors_come_map_by_map_row_by_row_cell_by_cell() -> None:
    centres = centres_of(anchors_of(create_spec(S)))
    # First cell: a small square, then 2 : 1 and 1 : 2 of the first scale, around the cell's middle.
    np.testing.assert_allclose(centres[:3, :2], 0.025, atol=1e-6)
    root = 2**0.5
    np.testing.assert_allclose(
        centres[:3, 2:], [(0.1, 0.1), (0.2 / root, 0.2 * root), (0.2 * root, 0.2 / root)], rtol=1e-5
    )
    np.testing.assert_allclose(centres[3, :2], (0.025, 0.075), rtol=1e-5)
    np.testing.assert_allclose(centres[60, :2], (0.075, 0.025), rtol=1e-5)
    # Second map: the scale grows by a quarter of 0.75; the last anchor is between it and the next.
    scale, following = 0.3875, 0.575
    second = centres[1200:1206]
    np.testing.assert_allclose(second[:, :2], 0.05, rtol=1e-5)
    np.testing.assert_allclose(second[:, 3] / second[:, 2], (1, 2, 0.5, 3, 1 / 3, 1), rtol=1e-5)
    areas = second[:, 2] * second[:, 3]
    np.testing.assert_allclose(areas, [scale**2] * 5 + [scale * following], rtol=1e-5)
    np.testing.assert_allclose(centres[-1, 2:], 0.95**0.5, rtol=1e-5)


def test_square_anchors_are_square_in_pixels() -> None:
    spec = create_spec(S, input_shape=(160, 320, 3))
    centres = centres_of(anchors_of(spec)) * np.array([160, 320, 160, 320])
    np.testing.assert_allclose(centres[0], (8, 8, 16, 16), rtol=1e-5)


def test_other_grids_have_other_anchors() -> None:
    grid = AnchorGrid(min_scale=0.5, max_scale=0.5, aspect_ratios=(1.0,), reduce_first=False)
    assert grid.sizes(1) == (((0.5, 1.0), (0.5**0.5, 1.0)),)
    assert [len(cell) for cell in AnchorGrid().sizes(3)] == [3, 6, 6]


def test_only_detectors_have_anchors() -> None:
    for spec in (create_spec("mobilenet_edgetpu_v2_s"), create_spec(S, backbone=True)):
        with pytest.raises(UsageError, match="Only a detector"):
            anchors_of(spec)


def test_codes_are_offsets_and_logarithms() -> None:
    anchor = np.array([0.2, 0.2, 0.4, 0.6])  # centre 0.3, 0.4; 0.2 high, 0.4 wide
    box = np.array([0.25, 0.4, 0.35, 0.8])  # centre 0.3, 0.6; 0.1 high, 0.4 wide
    np.testing.assert_allclose(encode(box, anchor), (0, 5, 5 * np.log(0.5), 0), atol=1e-9)
    np.testing.assert_allclose(decode(np.zeros(4), anchor), anchor)


def _boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    centres = rng.uniform(0, 1, (count, 4))
    centres[:, 2:] = np.exp(rng.uniform(-6, 0, (count, 2)))
    return corners_of(centres)


@given(st.integers(0, 1 << 30))
def test_codes_come_back_as_their_boxes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, anchors = _boxes(rng, 50), _boxes(rng, 50)
    np.testing.assert_allclose(decode(encode(boxes, anchors), anchors), boxes, atol=1e-9)
    single = [array.astype(np.float32) for array in (boxes, anchors)]
    again = decode(encode(*single), single[1])
    assert again.dtype == np.float32
    np.testing.assert_allclose(again, boxes, atol=2e-5)


def test_boxes_without_area_and_codes_beyond_bounds_stay_finite() -> None:
    anchors = anchors_of(create_spec(S))
    with np.errstate(all="raise"):
        assert np.isfinite(encode(np.full_like(anchors, 0.5), anchors)).all()
        assert np.isfinite(decode(np.full_like(anchors, 1e4), anchors)).all()


@pytest.mark.backends
def test_tensors_give_what_arrays_give() -> None:
    rng = np.random.default_rng(0)
    boxes, anchors = (_boxes(rng, 40).astype(np.float32).reshape(4, 10, 4) for _ in range(2))
    tensors: Any = [keras.ops.convert_to_tensor(array) for array in (boxes, anchors)]
    codes = encode(*tensors, ops=keras.ops)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(codes), encode(boxes, anchors), rtol=1e-4, atol=1e-4
    )
    again = keras.ops.convert_to_numpy(decode(codes, tensors[1], ops=keras.ops))
    np.testing.assert_allclose(again, boxes, atol=2e-5)

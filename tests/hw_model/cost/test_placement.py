"""Lanes, dot products and splits: counts a person can redo by hand, and rules that hold for any layer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model import load_target
from hw_model.cost.placement import Layer, place, splits

ARRAY = load_target("coral_usb").array
CHANNELS = st.integers(1, 300)
SIZES = st.integers(1, 40)


def test_splits_use_all_cores() -> None:
    assert len(splits(16)) == len(set(splits(16))) == 15
    assert all(rows * columns * channels == 16 for rows, columns, channels in splits(16))


def test_a_layer_that_fits_exactly() -> None:
    spot = place(ARRAY, Layer(rows=8, columns=8, kernel=(3, 3), fan_in=64, fan_out=128))
    assert (spot.rounds, spot.mac_cycles) == (2 * 2 * 2, 9 * 16)
    assert (spot.lane_fill, spot.dot_fill) == (1.0, 1.0)
    assert spot.parameter_bytes == 128 * (9 * 64 + 4)


def test_partly_filled_lanes_and_dot_products() -> None:
    spot = place(ARRAY, Layer(rows=4, columns=4, kernel=(5, 5), fan_in=3, fan_out=80))
    assert spot.rounds * spot.mac_cycles == 2 * 25
    assert spot.lane_fill == 80 / 128
    assert spot.dot_fill == 3 / 4
    assert spot.parameter_bytes == 128 * (25 * 4 + 4)


def test_one_position_is_split_over_channels() -> None:
    spot = place(ARRAY, Layer(rows=1, fan_in=1280, fan_out=1001))
    assert (spot.channel_splits, spot.rounds) == (16, 1)


def test_depthwise_reads_a_window_column_per_channel() -> None:
    layer = Layer(rows=4, columns=4, kernel=(3, 3), groups=64, fan_in=1, fan_out=1)
    spot = place(ARRAY, layer)
    assert (spot.rounds, spot.mac_cycles, spot.fetch_cycles) == (1, 9, 3 * 64 // 4)
    assert place(ARRAY, replace(layer, step=2)).fetch_cycles == 6 * 64 // 4


@given(SIZES, SIZES, CHANNELS, CHANNELS, st.sampled_from([1, 3, 5, 7]))
def test_no_layer_beats_the_array(
    rows: int, columns: int, fan_in: int, fan_out: int, k: int
) -> None:
    spot = place(
        ARRAY, Layer(rows=rows, columns=columns, kernel=(k, k), fan_in=fan_in, fan_out=fan_out)
    )
    macs = rows * columns * k * k * fan_in * fan_out
    assert spot.rounds * spot.mac_cycles * ARRAY.peak_macs_per_cycle >= macs
    assert 0 < spot.lane_fill <= 1
    assert 0 < spot.dot_fill <= 1
    assert spot.parameter_bytes >= fan_out * (k * k * fan_in + 4)


@given(SIZES, CHANNELS, CHANNELS)
def test_a_larger_layer_never_takes_fewer_rounds(size: int, fan_in: int, fan_out: int) -> None:
    layer = Layer(rows=size, columns=size, kernel=(3, 3), fan_in=fan_in, fan_out=fan_out)
    base = place(ARRAY, layer)
    for larger in (
        replace(layer, rows=size + 1),
        replace(layer, fan_in=fan_in + 1),
        replace(layer, fan_out=fan_out + 1),
    ):
        spot = place(ARRAY, larger)
        assert spot.rounds * spot.mac_cycles >= base.rounds * base.mac_cycles


@pytest.mark.parametrize("groups", [1, 2, 4, 8, 16, 32, 64, 128, 256])
def test_group_convolutions_lie_between_full_and_depthwise(groups: int) -> None:
    """Both ends are the ordinary operations, and more groups never cost more. Akin et al. 2022, section 4.2."""

    def cycles(count: int) -> int:
        fan = 256 // count
        layer = Layer(rows=16, columns=16, kernel=(3, 3), groups=count, fan_in=fan, fan_out=fan)
        spot = place(ARRAY, layer)
        return spot.rounds * max(spot.mac_cycles, spot.fetch_cycles, ARRAY.drain_cycles)

    assert cycles(groups) <= cycles(max(1, groups // 2))

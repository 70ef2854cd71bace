"""Lanes, dot products and splits: counts a person can redo by hand, and rules that hold for any layer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model import load_target
from hw_model.cost.placement import Layer, Placement, counts, place, splits
from hw_model.cost.work import ceilings_of

ARRAY = load_target("coral_usb").array
CHANNELS = st.integers(1, 300)
SIZES = st.integers(1, 40)


def rounds(layer: Layer, spot: Placement) -> int:
    """How often the core that has most to do fills its lanes."""
    return counts(layer, layer.rows, spot.lane_sets, spot.split)[0]


def cycles(layer: Layer, spot: Placement, input_bytes: int = 0) -> int:
    """Cycles of a layer whose parameters are there."""
    moved = input_bytes if spot.channel_splits > 1 else 0
    found = ceilings_of(ARRAY, layer, spot, layer.rows, 0, moved)
    return max(found.mac_array, found.activation_fetch, found.output_drain, found.on_chip_exchange)


def test_splits_use_all_cores() -> None:
    assert len(splits(16)) == len(set(splits(16))) == 15
    assert all(rows * columns * channels == 16 for rows, columns, channels in splits(16))


def test_a_layer_that_fits_exactly() -> None:
    layer = Layer(rows=8, columns=8, kernel=(3, 3), fan_in=64, fan_out=128)
    spot = place(ARRAY, layer)
    assert (rounds(layer, spot), spot.mac_cycles) == (2 * 2 * 2, 9 * 16)
    assert (spot.lane_fill, spot.dot_fill) == (1.0, 1.0)
    assert spot.parameter_bytes == 128 * (9 * 64 + 4)


def test_partly_filled_lanes_and_dot_products() -> None:
    layer = Layer(rows=4, columns=4, kernel=(5, 5), fan_in=3, fan_out=80)
    spot = place(ARRAY, layer)
    assert rounds(layer, spot) * spot.mac_cycles == 2 * 25
    assert spot.lane_fill == 80 / 128
    assert spot.dot_fill == 3 / 4
    assert spot.parameter_bytes == 128 * (25 * 4 + 4)


def test_one_position_is_split_over_channels() -> None:
    layer = Layer(rows=1, fan_in=1280, fan_out=1001)
    spot = place(ARRAY, layer)
    assert (spot.channel_splits, rounds(layer, spot)) == (16, 1)


def test_depthwise_reads_a_window_column_per_channel() -> None:
    layer = Layer(rows=4, columns=4, kernel=(3, 3), groups=64, fan_in=1, fan_out=1)
    spot = place(ARRAY, layer)
    assert (rounds(layer, spot), spot.mac_cycles, spot.fetch_cycles) == (1, 9, 3 * 64 // 4)
    assert place(ARRAY, replace(layer, step=2)).fetch_cycles == 6 * 64 // 4


def test_the_first_position_of_a_row_fills_the_row_buffer() -> None:
    """14 x 14 x 1920 by 5x5: 30 lane sets; uncut rows pay the four columns that are kept once in 14 positions."""
    layer = Layer(rows=14, columns=14, kernel=(5, 5), groups=1920, fan_in=1, fan_out=1)
    spot = place(ARRAY, layer, 14 * 14 * 1920)
    fetch, refill = 5 * 64 // 4, 4 * 5 * 64 // 4
    assert (spot.fetch_cycles, spot.refill_cycles) == (fetch, refill)
    assert spot.split == (2, 1, 8)
    assert cycles(layer, spot) == 4 * 7 * (14 * fetch + refill)
    assert spot.fetched_bytes == 30 * 14 * (14 * 5 * 64 + 4 * 5 * 64)
    quartered = place(ARRAY, layer, split=(2, 2, 4))
    assert cycles(layer, quartered) == 8 * 7 * (7 * fetch + refill)


@given(SIZES, SIZES, CHANNELS, CHANNELS, st.sampled_from([1, 3, 5, 7]), st.booleans())
def test_no_other_split_is_faster(
    rows: int, columns: int, fan_in: int, fan_out: int, k: int, depthwise: bool
) -> None:
    fans = {"groups": fan_in} if depthwise else {}
    layer = Layer(
        rows=rows, columns=columns, kernel=(k, k),
        fan_in=1 if depthwise else fan_in, fan_out=1 if depthwise else fan_out, **fans,
    )  # fmt: skip
    size = rows * columns * fan_in
    best = min(
        cycles(layer, place(ARRAY, layer, split=split), size) for split in splits(ARRAY.cores)
    )
    assert cycles(layer, place(ARRAY, layer, size), size) == best


@given(SIZES, SIZES, CHANNELS, CHANNELS, st.sampled_from([1, 3, 5, 7]))
def test_no_layer_beats_the_array(
    rows: int, columns: int, fan_in: int, fan_out: int, k: int
) -> None:
    layer = Layer(rows=rows, columns=columns, kernel=(k, k), fan_in=fan_in, fan_out=fan_out)
    spot = place(ARRAY, layer)
    macs = rows * columns * k * k * fan_in * fan_out
    assert rounds(layer, spot) * spot.mac_cycles * ARRAY.peak_macs_per_cycle >= macs
    assert 0 < spot.lane_fill <= 1
    assert 0 < spot.dot_fill <= 1
    assert spot.parameter_bytes >= fan_out * (k * k * fan_in + 4)


@given(SIZES, CHANNELS, CHANNELS)
def test_a_larger_layer_is_never_faster(size: int, fan_in: int, fan_out: int) -> None:
    layer = Layer(rows=size, columns=size, kernel=(3, 3), fan_in=fan_in, fan_out=fan_out)
    base = place(ARRAY, layer)
    for larger in (
        replace(layer, rows=size + 1),
        replace(layer, fan_in=fan_in + 1),
        replace(layer, fan_out=fan_out + 1),
    ):
        assert cycles(larger, place(ARRAY, larger)) >= cycles(layer, base)


@pytest.mark.parametrize("groups", [1, 2, 4, 8, 16, 32, 64, 128, 256])
def test_group_convolutions_lie_between_full_and_depthwise(groups: int) -> None:
    """Both ends are the ordinary operations, and more groups never cost more. Akin et al. 2022, section 4.2."""

    def took(count: int) -> int:
        fan = 256 // count
        layer = Layer(rows=16, columns=16, kernel=(3, 3), groups=count, fan_in=fan, fan_out=fan)
        return cycles(layer, place(ARRAY, layer))

    assert took(groups) <= took(max(1, groups // 2))

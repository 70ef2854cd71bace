"""Tiles: they cover the output once, read what their windows touch, fit the memory, and count what a loop counts."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_model import load_target
from hw_model.cost.analytical import ceiling_cycles
from hw_model.cost.work import work_of
from hw_model.graph import ops
from hw_model.mapping.tiling import Tiling, slab_limits, tilings

TARGET = load_target("coral_usb")
ARRAY = TARGET.array


def pieces(total: int, parts: int) -> list[range]:
    """A length cut into equal parts, the last ones shorter or empty."""
    each = -(-total // parts)
    return [range(min(total, n * each), min(total, (n + 1) * each)) for n in range(parts)]


def convolution(
    size: int, fan_in: int, fan_out: int, kernel: int, stride: int
) -> tuple[ops.Conv2D, tuple[tuple[int, ...], ...]]:
    """A convolution and the shape it reads."""
    kind = ops.Conv2D(filters=fan_out, kernel=(kernel, kernel), stride=(stride, stride), bias=True)
    return kind, ((1, size, size, fan_in),)


CONVOLUTIONS = st.builds(
    convolution,
    st.integers(1, 60),
    st.integers(1, 200),
    st.integers(1, 300),
    st.sampled_from([1, 3, 5, 7]),
    st.sampled_from([1, 2]),
)


@given(CONVOLUTIONS, st.integers(1, 12))
@settings(max_examples=150)
def test_slabs_and_splits_cover_the_output_once_and_take_as_long_as_counted(
    case: tuple[ops.Conv2D, tuple[tuple[int, ...], ...]], slabs: int
) -> None:
    """Every tile of every slab is walked; cycles are those of the core that has most to do."""
    kind, inputs = case
    _, rows, columns, _ = kind.infer(inputs)[0]
    for tiling in tilings(TARGET, kind, inputs, min(rows, slabs)):
        spot = tiling.work.placement
        assert spot is not None
        macs = fetched = 0
        height = -(-rows // min(slabs, rows))
        starts = range(0, rows, height)
        assert tiling.slabs == len(starts)
        seen = [[0] * columns for _ in range(rows)]
        for start in starts:
            slab = min(height, rows - start)
            for part in pieces(slab, spot.row_splits):
                for across in pieces(columns, spot.column_splits):
                    for row in part:
                        for column in across:
                            seen[start + row][column] += 1
            most_rows = len(pieces(slab, spot.row_splits)[0])
            most_columns = len(pieces(columns, spot.column_splits)[0])
            sets = len(pieces(spot.lane_sets, spot.channel_splits)[0])
            macs += most_rows * most_columns * sets * spot.mac_cycles
            fetched += most_rows * sets * (most_columns * spot.fetch_cycles + spot.refill_cycles)
        assert seen == [[1] * columns] * rows
        assert tiling.work.ceilings.mac_array == macs
        assert tiling.work.ceilings.activation_fetch == fetched
        assert tiling.blocks == len(pieces(spot.lane_sets, spot.channel_splits)[0])


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize(
    ("size", "channels"), [(56, 96), (28, 384), (14, 1280), (14, 1920), (7, 960)]
)
def test_a_whole_depthwise_layer_takes_as_long_as_the_analytical_evaluator_says(
    size: int, channels: int, kernel: int
) -> None:
    """Row buffers filled anew are in both, and both choose the split with that in sight."""
    kind = ops.DepthwiseConv2D(kernel=(kernel, kernel))
    shapes = ((1, size, size, channels),)
    cycles = tilings(TARGET, kind, shapes, 1)[0].cycles - TARGET.array.drain_cycles
    assert cycles == max(ceiling_cycles(work_of(TARGET, kind, shapes).ceilings))


@given(CONVOLUTIONS, st.integers(1, 12))
@settings(max_examples=150)
def test_a_tile_holds_what_its_windows_touch(
    case: tuple[ops.Conv2D, tuple[tuple[int, ...], ...]], slabs: int
) -> None:
    """No tile reads more rows than are provided for, found by sliding the window."""
    kind, inputs = case
    _, size, _, channels = inputs[0]
    _, rows, columns, filters = kind.infer(inputs)[0]
    kernel, stride = kind.kernel[0], kind.stride[0]
    before = max(0, (rows - 1) * stride + kernel - size) // 2

    def touched(part: range) -> int:
        if not part:
            return 0
        first = max(0, part[0] * stride - before)
        return min(size, part[-1] * stride - before + kernel) - first

    for tiling in tilings(TARGET, kind, inputs, min(rows, slabs)):
        spot = tiling.work.placement
        assert spot is not None
        slab = min(rows, -(-rows // min(slabs, rows)))
        high = max(
            touched(range(start + part.start, start + part.stop))
            for start in range(0, rows - slab + 1, slab)
            for part in pieces(slab, spot.row_splits)
        )
        wide = max(touched(part) for part in pieces(columns, spot.column_splits))
        tile = high * wide * -(-channels // spot.channel_splits)
        tile += (
            len(pieces(slab, spot.row_splits)[0])
            * len(pieces(columns, spot.column_splits)[0])
            * -(-filters // spot.channel_splits)
        )
        assert tiling.tile_bytes >= tile * ARRAY.cores * (2 if tiling.slabs > 1 else 1)


def best(kind: ops.OpType, *inputs: tuple[int, ...], slabs: int = 1, again: bool = True) -> Tiling:
    """The fastest way."""
    return tilings(TARGET, kind, inputs, slabs, again=again)[0]


def test_tilings_trade_time_for_memory() -> None:
    found = tilings(TARGET, *convolution(28, 96, 300, 3, 1), 1)
    assert [each.cycles for each in found] == sorted(each.cycles for each in found)
    assert [each.tile_bytes for each in found] == sorted(
        (each.tile_bytes for each in found), reverse=True
    )
    assert len(found) > 1


def test_an_even_layer_costs_what_work_of_says_and_its_halo() -> None:
    """A 1x1 convolution has no halo: only its last results come on top. A 3x3 one exchanges rows and columns."""
    for kernel in (1, 3):
        kind, inputs = convolution(32, 64, 64, kernel, 1)
        plain, tiling = work_of(TARGET, kind, inputs), best(kind, *inputs)
        assert tiling.work.ceilings.mac_array == plain.ceilings.mac_array
        assert tiling.cycles == max(64 * 16 * kernel**2, 64 * 16) + ARRAY.drain_cycles
        assert tiling.work.macs == plain.macs
        halo = tiling.work.events.ring_bus - plain.events.ring_bus
        spot = tiling.work.placement
        assert spot is not None
        assert halo == (2 * (3 + 3) * 32 * 64 if kernel == 3 else 0)
        assert spot.row_splits == spot.column_splits == 4


def test_parameters_are_read_again_for_each_slab_when_others_run_in_between() -> None:
    kind, inputs = convolution(64, 64, 256, 3, 1)
    whole, again, once = (
        best(kind, *inputs),
        best(kind, *inputs, slabs=4),
        best(kind, *inputs, slabs=4, again=False),
    )
    stored = whole.work.events.wide_byte_access
    assert again.work.events.wide_byte_access == 4 * stored
    assert (again.work.passes, once.work.passes) == (4, 1)
    assert once.work.events.wide_byte_access == stored
    assert again.tile_bytes < whole.tile_bytes


def test_both_evaluators_read_as_many_words() -> None:
    kind = ops.DepthwiseConv2D(kernel=(5, 5), bias=True)
    tiling, plain = best(kind, (1, 16, 16, 64)), work_of(TARGET, kind, ((1, 16, 16, 64),))
    assert tiling.work.placement == plain.placement
    assert tiling.work.events.narrow_mem_word_access == plain.events.narrow_mem_word_access
    assert 4 * plain.events.narrow_mem_word_access > 16 * 16 * 64 * (5 + 1)


def test_operations_without_multipliers_are_cut_anywhere() -> None:
    kind, shape = ops.Softmax(), (1, 1, 1, 1000)
    whole, cut = best(kind, shape), best(kind, shape, slabs=4)
    assert slab_limits(kind, (shape,)) == (1000, 1000)
    assert whole.tile_bytes == 2000
    assert cut.tile_bytes == 1000
    assert cut.cycles >= whole.cycles


@pytest.mark.parametrize("kind", [ops.Reshape(shape=(1, 512)), ops.Split(parts=2)])
def test_views_take_nothing(kind: ops.OpType) -> None:
    tiling = best(kind, (1, 8, 8, 8))
    assert (tiling.cycles, tiling.tile_bytes) == (0, 0)


def test_a_streamed_layer_is_cut_so_that_little_is_left_when_its_last_parameters_arrive() -> None:
    kind, inputs = convolution(7, 256, 1024, 1, 1)
    eager = tilings(TARGET, kind, inputs, 1)[0]
    streamed = tilings(TARGET, kind, inputs, 1, streamed=True)[0]
    assert streamed.blocks >= eager.blocks
    assert streamed.cycles / streamed.blocks <= eager.cycles / eager.blocks


def test_more_cores_are_never_slower() -> None:
    kind, inputs = convolution(30, 40, 100, 3, 1)
    wider = replace(TARGET, array=replace(ARRAY, pe_rows=8))
    assert tilings(wider, kind, inputs, 1)[0].cycles <= best(kind, *inputs).cycles

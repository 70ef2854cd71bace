"""Layouts: nothing overlaps in time and space, the search is never beaten, and finds what brute force finds."""

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw_model.mapping.layout import (
    EXACT_LIMIT,
    ORDERS,
    Block,
    Layout,
    best_fit,
    lay_out,
    live_bytes,
    profile,
)

blocks_of = st.builds(
    lambda size, start, length: Block(size, start, start + length),
    st.integers(1, 40),
    st.integers(0, 12),
    st.integers(0, 6),
)
#: Blocks, height of best fit, least height, bound: found among random small instances, the least by brute force.
HARD = {
    "best fit fails": (((2, 4, 5), (4, 2, 4), (4, 5, 6), (4, 6, 7), (4, 0, 3)), 10, 8, 8),
    "bound out of reach": (
        ((2, 4, 4), (2, 3, 4), (1, 2, 3), (1, 1, 3), (1, 1, 2), (2, 0, 1), (1, 2, 2), (2, 0, 0)), 5, 5, 4,
    ),
}  # fmt: skip


def legal(blocks: list[Block] | tuple[Block, ...], layout: Layout) -> None:
    """No two blocks share a byte at a step, and the figures are those of the offsets."""
    placed = list(zip(blocks, layout.offsets, strict=True))
    for (a, low), (b, other) in itertools.combinations(placed, 2):
        if a.meets(b):
            assert low + a.size_bytes <= other or other + b.size_bytes <= low
    assert all(offset >= 0 for offset in layout.offsets)
    assert layout.height_bytes == max((low + b.size_bytes for b, low in placed), default=0)
    assert layout.height_bytes >= layout.bound_bytes == live_bytes(blocks)


def brute_force(blocks: tuple[Block, ...]) -> int:
    """Least height over all orders, each block as low as it goes above those before it."""
    least = sum(block.size_bytes for block in blocks)
    for order in itertools.permutations(blocks):
        tops: list[tuple[Block, int]] = []
        for block in order:
            floor = max((top for other, top in tops if block.meets(other)), default=0)
            tops.append((block, floor + block.size_bytes))
        least = min(least, max(top for _, top in tops))
    return least


@given(st.lists(blocks_of, max_size=30))
@settings(max_examples=200, deadline=None)
def test_nothing_overlaps_and_search_is_never_beaten(blocks: list[Block]) -> None:
    found = lay_out(blocks, node_limit=300)
    legal(blocks, found)
    for order in ORDERS:
        offsets = best_fit(blocks, order)
        tops = [offset + b.size_bytes for offset, b in zip(offsets, blocks, strict=True)]
        assert found.height_bytes <= max(tops, default=0)


@given(st.lists(blocks_of, min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_search_finds_what_brute_force_finds(blocks: list[Block]) -> None:
    found = lay_out(blocks)
    assert found.proven
    assert found.height_bytes == brute_force(tuple(blocks))


@pytest.mark.parametrize("seed", range(40))
def test_search_where_best_fit_fails(seed: int) -> None:
    """Crowded random instances of seven blocks, kept when no order of best fit is lowest."""
    rng = random.Random(seed)
    while True:
        starts = [rng.randint(0, 5) for _ in range(7)]
        blocks = tuple(
            Block(rng.randint(1, 9), start, start + rng.randint(0, 4)) for start in starts
        )
        found = lay_out(blocks)
        if found.nodes:
            break
    legal(blocks, found)
    assert found.proven
    assert found.height_bytes == brute_force(blocks)


@pytest.mark.parametrize(("rows", "fitted", "least", "bound"), HARD.values(), ids=list(HARD))
def test_hard_instances(
    rows: tuple[tuple[int, int, int], ...], fitted: int, least: int, bound: int
) -> None:
    blocks = tuple(Block(*row) for row in rows)
    tops = [
        max(low + b.size_bytes for low, b in zip(best_fit(blocks, order), blocks, strict=True))
        for order in ORDERS
    ]
    found = lay_out(blocks)
    legal(blocks, found)
    assert (min(tops), found.height_bytes, found.bound_bytes) == (fitted, least, bound)
    assert found.proven
    assert least == brute_force(blocks)


def test_nothing_and_one_block() -> None:
    assert lay_out([]) == Layout(offsets=(), height_bytes=0, bound_bytes=0, proven=True)
    assert lay_out([Block(7, 3, 5)]) == Layout(
        offsets=(0,), height_bytes=7, bound_bytes=7, proven=True
    )
    assert profile([Block(7, 1, 2)]) == [0, 7, 7]


def test_a_search_that_is_cut_says_so_and_repeats_itself() -> None:
    rng = random.Random(5)
    starts = [rng.randint(0, 30) for _ in range(90)]
    blocks = [Block(rng.randint(1, 999), start, start + rng.randint(0, 15)) for start in starts]
    few, again = lay_out(blocks, node_limit=50), lay_out(blocks, node_limit=50)
    legal(blocks, few)
    assert few == again
    assert few.nodes == 50
    assert not few.proven
    unsearched = lay_out(blocks, exact_limit=EXACT_LIMIT // 2)
    assert unsearched.nodes == 0
    assert unsearched.height_bytes >= few.height_bytes

"""Room for Keras to walk deep networks, which it does by recursion: a call for each layer on the longest path."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Python's usual 1,000 calls are fewer than the layers of MobileBERT with its 24 blocks, in front of callers' own.
_CALLS = 20_000


@contextmanager
def deep_networks() -> Iterator[None]:
    """Inside the block a functional model may be this deep."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _CALLS))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)

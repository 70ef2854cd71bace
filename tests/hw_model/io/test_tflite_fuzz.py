"""Damaged files end in one `DataError` line or in a legal graph: never in another exception, never late."""

import random

import pytest

from hw_model.errors import DataError
from hw_model.graph import verify
from hw_model.io import float_operators, read_header, read_tflite, tensor_quantization


def _survives(content: bytes) -> bool:
    """Whether the content still reads; everything but `DataError` escapes."""
    try:
        verify(read_tflite(content))
        return True
    except DataError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 2_000
        return False
    finally:
        for question in (read_header, tensor_quantization, float_operators):
            try:
                question(content)
            except DataError:
                continue


def test_truncated_anywhere(tiny_bytes: bytes) -> None:
    survivors = [
        size for size in range(0, len(tiny_bytes) - 16, 29) if _survives(tiny_bytes[:size])
    ]
    assert survivors == []


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes(tiny_bytes: bytes, seed: int) -> None:
    generator = random.Random(seed)
    outcomes = []
    for _ in range(60):
        damaged = bytearray(tiny_bytes)
        for _ in range(generator.choice((1, 2, 8, 64))):
            position = generator.randrange(len(damaged))
            damaged[position] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
        outcomes.append(_survives(bytes(damaged)))
    assert set(outcomes) == {
        True,
        False,
    }  # damage in weights cannot be seen, damage in structure must be


@pytest.mark.parametrize("seed", range(4))
def test_random_bytes_behind_the_right_mark(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(60):
        content = bytearray(generator.randbytes(generator.randrange(8, 2_000)))
        content[4:8] = b"TFL3"
        if generator.random() < 0.7:
            content[0:4] = generator.randrange(8, 64).to_bytes(4, "little")
        assert not _survives(bytes(content))


def test_every_32_bit_word_made_huge(tiny_bytes: bytes) -> None:
    """Lengths, offsets, shapes and option values at their extremes."""
    for position in range(8, len(tiny_bytes) - 4, 92):
        for value in (0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            damaged = bytearray(tiny_bytes)
            damaged[position : position + 4] = value.to_bytes(4, "little")
            _survives(bytes(damaged))

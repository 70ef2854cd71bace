"""Calibration sets hold different images; a generator that repeats one is refused."""

from collections.abc import Iterator

import numpy as np
import pytest

from hw_model.errors import DataError, UsageError
from pipelines.data import ArraySplit, calibration_samples, check_distinct, load_dataset


def test_samples_are_distinct_balanced_and_reproducible() -> None:
    split = load_dataset().train
    samples = calibration_samples(split, 100, seed=4)
    assert samples.shape == (100, 28, 28, 1)
    assert len({sample.tobytes() for sample in samples}) == 100
    np.testing.assert_array_equal(samples, calibration_samples(split, 100, seed=4))
    assert (samples != calibration_samples(split, 100, seed=5)).any()


def test_copies_in_the_data_are_passed_over() -> None:
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (6, 4, 4)).astype(np.uint8)
    split = ArraySplit(np.concatenate([originals] * 5), list(range(6)) * 5)
    samples = calibration_samples(split, 6)
    assert len({sample.tobytes() for sample in samples}) == 6
    with pytest.raises(DataError, match="7 different images was asked for; the split has 6"):
        calibration_samples(split, 7)
    with pytest.raises(UsageError):
        calibration_samples(split, 0)


def test_a_generator_that_repeats_is_refused_with_both_places() -> None:
    def same_image_again() -> Iterator[list[np.ndarray]]:
        image = np.zeros((1, 8, 8, 1), np.float32)
        for step in range(4):
            yield [image + min(step, 2)]

    with pytest.raises(DataError, match="sample 3 repeats sample 2"):
        check_distinct(same_image_again())


def test_distinct_samples_pass_through_in_order() -> None:
    samples = [{"image": np.full((2, 2), value)} for value in range(3)]
    kept = check_distinct(iter(samples))
    assert [int(sample["image"][0, 0]) for sample in kept] == [0, 1, 2]


def test_shape_and_type_count_as_different_and_nothing_is_refused() -> None:
    flat, square = np.zeros(4, np.float32), np.zeros((2, 2), np.float32)
    assert len(check_distinct([flat, square])) == 2
    with pytest.raises(DataError, match="empty"):
        check_distinct([])

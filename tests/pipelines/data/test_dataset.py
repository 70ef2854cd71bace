"""Splits, subsets and the embedded data sets."""

import numpy as np
import pytest

from hw_model.errors import DataError, UnknownNameError
from pipelines.data import ArraySplit, ImageDataset, load_dataset, source_names, subset


def split_of(labels: list[int]) -> ArraySplit:
    return ArraySplit(np.zeros((len(labels), 4, 4), np.uint8), labels)


def test_the_embedded_default_is_balanced_fashion_mnist() -> None:
    data = load_dataset()
    assert data.name == "fashion_mnist_small"
    assert data.licence == "MIT"
    assert data.image_shape == (28, 28, 1)
    assert np.bincount(data.train.labels).tolist() == [300] * 10
    assert np.bincount(data.test.labels).tolist() == [150] * 10
    images = data.train.read(np.arange(len(data.train)))
    # Real pictures: the published mean of the training set is 72.9 of 255 (0.286).
    assert images.mean() == pytest.approx(72.9, abs=1.5)
    assert len({image.tobytes() for image in images}) > 2990


def test_the_embedded_digits_are_another_task() -> None:
    data = load_dataset("digits")
    assert (len(data.train), len(data.test), data.num_classes) == (1352, 445, 10)
    assert data.image_shape == (8, 8, 1)
    assert data.licence == "CC BY 4.0"
    assert np.bincount(data.test.labels).min() >= 43
    assert data.train.read(range(len(data.train))).max() == 255


def test_embedded_sets_carry_their_licences() -> None:
    from importlib import resources

    text = resources.files("pipelines.data.embedded").joinpath("LICENSE").read_text()
    for wanted in ("Zalando SE", "Permission is hereby granted", "CC BY 4.0", "10.24432/C50P49"):
        assert wanted in text


def test_subset_is_balanced_deterministic_and_differs_by_seed() -> None:
    data = load_dataset()
    part = subset(data.train, 200, seed=1)
    assert np.bincount(part.labels).tolist() == [20] * 10
    again = subset(data.train, 200, seed=1)
    np.testing.assert_array_equal(part.read(range(200)), again.read(range(200)))
    other = subset(data.train, 200, seed=2)
    assert (part.read(range(200)) != other.read(range(200))).any()
    assert subset(data.test, 10_000) is data.test


def test_a_subset_of_a_subset_reads_the_right_images() -> None:
    data = load_dataset()
    outer = subset(data.test, 100)
    inner = subset(outer, 10)
    everything = {image.tobytes() for image in data.test.read(range(len(data.test)))}
    assert all(image.tobytes() in everything for image in inner.read(range(10)))
    assert inner.image_shape == (28, 28, 1)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4)), [0, 1], "uint8"),
        (np.zeros((2, 16), np.uint8), [0, 1], "shape"),
        (np.zeros((2, 4, 4), np.uint8), [0], "one label"),
    ],
)
def test_arrays_that_are_no_images_are_refused(
    images: np.ndarray, labels: list[int], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ArraySplit(images, labels)


@pytest.mark.parametrize(
    ("classes", "splits", "message"),
    [
        (("a", "b"), {"train": split_of([0, 1])}, "no test split"),
        (("a",), {"train": split_of([0]), "test": split_of([0])}, "two classes"),
        (("a", "b"), {"train": split_of([0, 1]), "test": split_of([2])}, "outside 0..1"),
        (("a", "b"), {"train": split_of([0, -1]), "test": split_of([1])}, "from -1"),
        (("a", "b"), {"train": split_of([]), "test": split_of([1])}, "x/train is empty"),
    ],
)
def test_data_sets_that_cannot_be_trained_on_are_refused(
    classes: tuple[str, ...], splits: dict[str, ArraySplit], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ImageDataset(name="x", class_names=classes, splits=splits)


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean fashion_mnist"):
        load_dataset("fashion_mnits")
    assert "embedded" in source_names()


def test_a_missing_folder_is_said_to_be_missing() -> None:
    with pytest.raises(DataError, match="no folder ./nowhere"):
        load_dataset("./nowhere")


def test_the_full_set_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from pipelines.data import sources

    empty = tmp_path_factory.mktemp("empty")
    monkeypatch.setenv("TFDS_DATA_DIR", str(empty))
    monkeypatch.setattr(sources, "DEBIAN_FASHION_MNIST", empty / "absent")
    with pytest.raises(DataError, match="apt install dataset-fashion-mnist"):
        load_dataset("fashion_mnist")

"""A folder of class folders: what is read, how it is divided, and every kind of bad folder."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw_model.errors import DataError
from pipelines.data import load_dataset


def fill(
    folder: Path, count: int, *, size: tuple[int, int] = (10, 8), mode: str = "RGB", seed: int = 0
) -> None:
    """Writes `count` different pictures of `size` (width, height)."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        shape = (size[1], size[0]) if mode == "L" else (size[1], size[0], len(mode))
        pixels = rng.integers(0, 256, shape).astype(np.uint8)
        Image.fromarray(pixels, mode).save(folder / f"{index:02}.png")


def fill_classes(folder: Path, names: Iterable[str], count: int = 4) -> None:
    for seed, name in enumerate(names):
        fill(folder / name, count, seed=seed)


def test_train_and_test_folders(tmp_path: Path) -> None:
    fill_classes(tmp_path / "train", ["cat", "dog"])
    fill_classes(tmp_path / "val", ["cat", "dog"], count=2)
    data = load_dataset(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(data.test) == 4
    assert data.image_shape == (8, 10, 3)
    with Image.open(tmp_path / "train" / "dog" / "01.png") as image:
        np.testing.assert_array_equal(data.train.read([5])[0], np.asarray(image))


def test_class_folders_are_divided_by_content(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["cat", "dog"], count=30)
    # A copy under another name goes to the same side as its original.
    for index in range(30):
        original = tmp_path / "cat" / f"{index:02}.png"
        (tmp_path / "cat" / f"copy-{index}.png").write_bytes(original.read_bytes())
    data = load_dataset(tmp_path)
    train = {image.tobytes() for image in data.train.read(range(len(data.train)))}
    test = {image.tobytes() for image in data.test.read(range(len(data.test)))}
    assert len(data.train) + len(data.test) == 90
    assert not train & test
    assert 6 <= len(data.test) <= 36
    again = load_dataset(tmp_path)
    np.testing.assert_array_equal(again.test.labels, data.test.labels)


def test_a_small_class_still_has_a_test_image(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["cat", "dog"], count=2)
    data = load_dataset(tmp_path)
    assert np.bincount(data.train.labels).tolist() == [1, 1]
    assert np.bincount(data.test.labels).tolist() == [1, 1]


def test_gray_pictures_stay_gray_and_sizes_are_unified(tmp_path: Path) -> None:
    for seed, name in enumerate(["one", "two"]):
        fill(tmp_path / name, 3, size=(12, 12), mode="L", seed=seed)
    fill(tmp_path / "two", 3, size=(30, 20), mode="L", seed=9)
    with pytest.raises(DataError, match=r"differ in size.*image_size"):
        load_dataset(tmp_path)
    data = load_dataset(tmp_path, image_size=(16, 16))
    assert data.train.read([0, 1]).shape == (2, 16, 16, 1)


def test_cut_outs_are_shown_on_white(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["a", "b"])
    clear = np.zeros((8, 10, 4), np.uint8)
    for index in range(4):
        clear[0, 0, 0] = index
        Image.fromarray(clear, "RGBA").save(tmp_path / "a" / f"{index:02}.png")
    data = load_dataset(tmp_path)
    images = data.train.read(np.flatnonzero(data.train.labels == 0))
    assert (images == 255).all()


def test_turned_photographs_are_set_upright(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["a", "b"])
    pixels = np.zeros((10, 8, 3), np.uint8)
    pixels[0, :] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    for index in range(4):
        pixels[9, index] = 7
        Image.fromarray(pixels).save(tmp_path / "a" / f"{index:02}.png", exif=exif)
    data = load_dataset(tmp_path, image_size=(8, 10))
    image = data.train.read(np.flatnonzero(data.train.labels == 0))[0]
    assert (image[:, -1] == 255).all()


def test_other_files_and_hidden_ones_are_left_alone(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["a", "b"])
    (tmp_path / "a" / "notes.txt").write_text("not a picture")
    (tmp_path / "a" / ".hidden.png").write_bytes(b"junk")
    (tmp_path / ".cache").mkdir()
    assert load_dataset(tmp_path).num_classes == 2


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is empty: it needs one folder of images per class"):
        load_dataset(tmp_path)


def test_one_class_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "cat", 5)
    with pytest.raises(DataError, match=r"one class only \('cat'\)"):
        load_dataset(tmp_path)


def test_a_class_without_images_is_refused(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["a", "b"])
    (tmp_path / "c").mkdir()
    with pytest.raises(DataError, match=r"without images: \['c'\]"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(("present", "missing"), [("train", "test"), ("test", "train")])
def test_a_missing_split_is_refused(tmp_path: Path, present: str, missing: str) -> None:
    fill_classes(tmp_path / present, ["a", "b"])
    with pytest.raises(DataError, match=f"none for {missing}"):
        load_dataset(tmp_path)


def test_a_test_class_nobody_trains_is_refused(tmp_path: Path) -> None:
    fill_classes(tmp_path / "train", ["a", "b"])
    fill_classes(tmp_path / "test", ["a", "z"])
    with pytest.raises(DataError, match=r"without training images: \['z'\]"):
        load_dataset(tmp_path)


def test_copies_of_one_image_are_no_class(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["a", "b"])
    for index in range(4):
        (tmp_path / "a" / f"{index:02}.png").write_bytes((tmp_path / "b" / "00.png").read_bytes())
    with pytest.raises(DataError, match="1 different image"):
        load_dataset(tmp_path)


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["a", "b"])
    (tmp_path / "a" / "00.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"Cannot read image .*a/00\.png"):
        load_dataset(tmp_path)


def test_a_truncated_image_is_named_when_it_is_read(tmp_path: Path) -> None:
    fill_classes(tmp_path, ["a", "b"])
    for path in (tmp_path / "a").iterdir():
        path.write_bytes(path.read_bytes()[:-200])
    data = load_dataset(tmp_path)
    with pytest.raises(DataError, match=r"Cannot read image .*a/0\d\.png") as caught:
        data.train.read(np.flatnonzero(data.train.labels == 0))
    assert "\n" not in str(caught.value)

"""A folder of images and masks: what is read, how it is divided and resized, and what is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hw_model.errors import DataError
from pipelines.data import IGNORED, ImageDataset, MaskSplit, load_dataset

RNG = np.random.default_rng(0)
Make = Callable[..., Path]


def save_pair(place: Path, stem: str, ids: Any, *, size: tuple[int, int] | None = None) -> None:
    """A JPEG of random colours, (height, width) `size` or that of `ids`, and a gray PNG of `ids`."""
    mask = np.asarray(ids, dtype=np.uint8)
    for part in ("images", "masks"):
        (place / part).mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (*(size or mask.shape), 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / "images" / f"{stem}.jpg")
    Image.fromarray(mask).save(place / "masks" / f"{stem}.png")


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes pairs of 8x6 with ids 0..2 and an ignored pixel into folders below tmp_path/data."""

    def write(*places: str, count: int = 4) -> Path:
        folder = tmp_path / "data"
        for place in places or ("",):
            for index in range(count):
                ids = RNG.integers(0, 3, (8, 6))
                ids[0, :4] = 0, 1, 2, IGNORED
                save_pair(folder / place, f"{index:02d}", ids)
        return folder

    return write


def pairs_of(data: ImageDataset, name: str) -> tuple[Any, Any]:
    split = data.splits[name]
    assert isinstance(split, MaskSplit)
    return split.read_pairs(range(len(split)))


def test_splits_classes_and_pixels_are_those_of_the_files(make: Make) -> None:
    folder = make("train", "test", "test_night")
    data = load_dataset(folder)
    assert data.task == "segmentation"
    assert data.name == "data"
    assert data.class_names == ("class_0", "class_1", "class_2")
    assert data.image_shape == (8, 6, 3)
    assert sorted(data.splits) == ["test", "test_night", "train"]
    images, masks = pairs_of(data, "train")
    for index in range(4):
        stored = np.asarray(Image.open(folder / f"train/masks/{index:02d}.png"))
        np.testing.assert_array_equal(masks[index], stored)
        shown = np.asarray(Image.open(folder / f"train/images/{index:02d}.jpg"))
        np.testing.assert_array_equal(images[index], shown)


def test_validation_stands_in_for_test(make: Make) -> None:
    assert sorted(load_dataset(make("train", "val")).splits) == ["test", "train"]


def test_names_come_from_classes_txt(make: Make) -> None:
    folder = make()
    (folder / "classes.txt").write_text("background\n road \n\ncar\nnever seen\n")
    assert load_dataset(folder).class_names == ("background", "road", "car", "never seen")


def test_one_in_five_is_held_out_and_copies_stay_together(make: Make) -> None:
    folder = make(count=30)
    for index in range(30):
        for part, suffix in (("images", "jpg"), ("masks", "png")):
            source = folder / part / f"{index:02d}.{suffix}"
            (folder / part / f"copy{index:02d}.{suffix}").write_bytes(source.read_bytes())
    data = load_dataset(folder)
    assert len(data.train) + len(data.test) == 60
    assert 4 <= len(data.test) <= 24
    sides = [{image.tobytes() for image in pairs_of(data, name)[0]} for name in ("train", "test")]
    assert not sides[0] & sides[1]
    again = load_dataset(folder)
    np.testing.assert_array_equal(pairs_of(again, "test")[1], pairs_of(data, "test")[1])


def test_palette_masks_hold_indices_and_any_image_becomes_rgb(make: Make) -> None:
    folder = make()
    ids = np.array([[0, 1], [2, IGNORED]], dtype=np.uint8)
    for index in range(4):
        mask = Image.fromarray(ids)
        mask = mask.convert("P")
        mask.putdata(ids.ravel().tolist())
        mask.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200, *[9] * 759])
        mask.save(folder / f"masks/{index:02d}.png")
        (folder / f"images/{index:02d}.jpg").unlink()
        Image.new("LA", (2, 2), (index, 255)).save(folder / f"images/{index:02d}.png")
    data = load_dataset(folder)
    images, masks = pairs_of(data, "train")
    assert data.image_shape == (2, 2, 3)
    assert all(np.array_equal(mask, ids) for mask in masks)
    assert images.shape[-1] == 3


def test_resizing_keeps_the_whole_picture_and_only_ids_there_are(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    ids = np.zeros((20, 40), dtype=np.uint8)
    ids[:, :10], ids[:, 30:] = 7, IGNORED
    for index in range(3):
        save_pair(folder, f"{index}", ids)
    save_pair(folder, "9", np.full((30, 30), 1))
    with pytest.raises(DataError, match=r"\(20, 40\) and \(30, 30\)"):
        load_dataset(folder)
    data = load_dataset(folder, image_size=(16, 16))
    assert data.num_classes == 8
    masks = np.concatenate([pairs_of(data, name)[1] for name in ("train", "test")])
    expected = np.zeros((16, 16), dtype=np.uint8)
    expected[:, :4], expected[:, 12:] = 7, IGNORED
    assert sum(np.array_equal(mask, expected) for mask in masks) == 3


def test_an_image_turned_by_its_camera_fits_its_mask(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for index in range(2):
        save_pair(folder, f"{index}", [[0, 1, 0], [1, 1, index]])
        lying = Image.new("RGB", (2, 3), (200 * index, 0, 0))
        exif = Image.Exif()
        exif[0x0112] = 6
        lying.save(folder / f"images/{index}.jpg", exif=exif)
    assert load_dataset(folder).image_shape == (2, 3, 3)


def fill_mask(folder: Path, value: int) -> None:
    for path in (folder / "masks").glob("*.png"):
        Image.new("L", (6, 8), value).save(path)


def spoil_binary(folder: Path) -> None:
    mask = np.full((8, 6), IGNORED, dtype=np.uint8)
    mask[:, :3] = 0
    for path in (folder / "masks").glob("*.png"):
        Image.fromarray(mask).save(path)


def spoil_jpeg(folder: Path) -> None:
    (folder / "masks/01.png").unlink()
    Image.new("L", (6, 8)).save(folder / "masks/01.jpg")


def empty(folder: Path) -> None:
    for path in folder.rglob("*.*"):
        path.unlink()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "id without a name": (
        lambda folder: (folder / "classes.txt").write_text("a\nb\n"),
        r"0\d\.png has class ids 2; with 2 classes ids are 0\.\.1",
    ),
    "a name twice": (lambda folder: (folder / "classes.txt").write_text("a\nb\na"), "twice: a"),
    "one name": (lambda folder: (folder / "classes.txt").write_text("a\n"), "names 1 classes"),
    "bytes for names": (
        lambda folder: (folder / "classes.txt").write_bytes(b"\xff\xfe\xfa"),
        "Cannot read .*classes.txt",
    ),
    "another size": (
        lambda folder: Image.new("L", (5, 8)).save(folder / "masks/02.png"),
        r"02\.png is 5x8 pixels, its image .*02\.jpg is 6x8",
    ),
    "colours": (
        lambda folder: Image.new("RGB", (6, 8)).save(folder / "masks/02.png"),
        r"02\.png holds colours",
    ),
    "16 bits": (
        lambda folder: Image.new("I;16", (6, 8)).save(folder / "masks/02.png"),
        r"02\.png holds mode I",
    ),
    "no mask": (
        lambda folder: (folder / "masks/03.png").unlink(),
        r"1 of 4 images .* have no mask, the first 03\.jpg; add .*03\.png",
    ),
    "no image": (lambda folder: (folder / "images/03.jpg").unlink(), r"03\.png has no image"),
    "an image twice": (
        lambda folder: Image.new("RGB", (6, 8)).save(folder / "images/03.png"),
        r"03\.jpg and 03\.png|03\.png and 03\.jpg",
    ),
    "no PNG": (spoil_jpeg, r"01\.jpg is no PNG"),
    "damaged mask": (lambda folder: truncate(folder / "masks/00.png"), r"Cannot read .*00\.png"),
    "text for an image": (
        lambda folder: (folder / "images/00.jpg").write_text("text"),
        r"Cannot read .*00\.jpg",
    ),
    "nothing": (empty, "is empty: it needs images"),
    "all ignored": (lambda folder: fill_mask(folder, IGNORED), "All pixels of all 4 masks"),
    "one class": (lambda folder: fill_mask(folder, 0), "the one class id 0"),
    "0 and 255": (spoil_binary, "255 is ignored, so write the other class as 1"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_what_is_wrong_is_said_in_one_line(make: Make, name: str) -> None:
    folder = make()
    spoil, message = SPOILED[name]
    spoil(folder)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(folder)
    assert "\n" not in str(caught.value)


def test_copies_of_one_image_cannot_be_divided(make: Make) -> None:
    folder = make(count=1)
    with pytest.raises(DataError, match="1 different image"):
        load_dataset(folder)


@pytest.mark.parametrize(("here", "missing"), [("train", "test"), ("test", "train")])
def test_a_side_that_is_missing_is_named(make: Make, here: str, missing: str) -> None:
    with pytest.raises(DataError, match=f"nothing for {missing}"):
        load_dataset(make(here))


def test_a_side_without_masks_is_named(make: Make) -> None:
    folder = make("train")
    (folder / "test/images").mkdir(parents=True)
    with pytest.raises(DataError, match="test has no folder 'masks'"):
        load_dataset(folder)


def test_an_image_damaged_in_its_pixels_is_named_when_read(make: Make) -> None:
    folder = make("train", "test")
    path = folder / "train/images/00.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"Cannot read image .*00\.jpg"):
        pairs_of(load_dataset(folder), "train")


def test_more_than_fits_in_memory_is_read_again(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make("train", "test")
    kept = pairs_of(load_dataset(folder), "train")
    monkeypatch.setattr("pipelines.data.encoded_masks._CACHE_BYTES", 0)
    for one, other in zip(pairs_of(load_dataset(folder), "train"), kept, strict=True):
        np.testing.assert_array_equal(one, other)

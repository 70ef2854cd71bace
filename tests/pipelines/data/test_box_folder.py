"""COCO folders in their usual layouts."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from coco_files import CATEGORIES, HEIGHT, WIDTH, coco, one_file, paint, read, write
from PIL import Image

from hw_model.errors import DataError
from pipelines.data import load_dataset


def official(folder: Path) -> None:
    write(folder / "annotations" / "instances_train2017.json", coco(3))
    write(folder / "annotations" / "instances_val2017.json", coco(2, first=3))
    write(folder / "annotations" / "captions_train2017.json", {"annotations": [], "images": []})
    for index in range(5):
        paint(folder / ("train2017" if index < 3 else "val2017") / f"{index:03}.png", index)


def below_images(folder: Path) -> None:
    write(folder / "annotations" / "instances_train2017.json", coco(3))
    write(folder / "annotations" / "instances_val2017.json", coco(2, first=3))
    for index in range(5):
        paint(
            folder / "images" / ("train2017" if index < 3 else "val2017") / f"{index:03}.png", index
        )


def roboflow(folder: Path) -> None:
    write(folder / "train" / "_annotations.coco.json", coco(3))
    write(folder / "valid" / "_annotations.coco.json", coco(2, first=3))
    for index in range(5):
        paint(folder / ("train" if index < 3 else "valid") / f"{index:03}.png", index)


def beside(folder: Path) -> None:
    write(folder / "train.json", coco(3))
    write(folder / "test.json", coco(2, first=3))
    for index in range(5):
        paint(folder / "images" / f"{index:03}.png", index)


def paths_inside(folder: Path) -> None:
    for name, count, first in (("train", 3, 0), ("val", 2, 3)):
        data = coco(count, first)
        for image in data["images"]:
            image["file_name"] = f"pictures\\{image['file_name']}"
        write(folder / f"instances_{name}.json", data)
    for index in range(5):
        paint(folder / "pictures" / f"{index:03}.png", index)


@pytest.mark.parametrize("layout", [official, below_images, roboflow, beside, paths_inside])
def test_every_layout_reads_alike(layout: Callable[[Path], None], tmp_path: Path) -> None:
    layout(tmp_path)
    data = load_dataset(tmp_path)
    assert data.task == "detection"
    assert data.class_names == ("dog", "cat", "hat")  # in the order of ids 1, 3, 90
    assert data.image_shape == (HEIGHT, WIDTH, 3)
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 3, "test": 2}
    images, objects = read(data)
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert [one.classes.tolist() for one in objects] == [[1, 2], [1], [1, 2]]
    assert objects[0].crowd.tolist() == [False, True]
    np.testing.assert_allclose(objects[0].boxes, [[0.1, 0.1, 0.6, 0.6], [0.5, 0, 1, 1]], atol=1e-7)
    assert read(data, "test")[0][:, 0, 0, 0].tolist() == [3, 4]


def test_validation_stays_beside_a_test_file(tmp_path: Path) -> None:
    beside(tmp_path)
    write(tmp_path / "val.json", coco(1, first=2))
    data = load_dataset(tmp_path)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 3,
        "test": 2,
        "validation": 1,
    }


def test_one_file_is_divided_by_the_bytes_of_its_images(tmp_path: Path) -> None:
    data = load_dataset(one_file(tmp_path, coco(20), count=20))
    values = {name: set(read(data, name)[0][:, 0, 0, 0].tolist()) for name in ("train", "test")}
    assert values["train"] | values["test"] == set(range(20))
    assert not values["train"] & values["test"]
    assert 1 <= len(values["test"]) <= 9
    images, objects = read(data, "test")
    for image, one in zip(images, objects, strict=True):
        # Even images have a hat too, so objects stayed with their image.
        assert len(one) == (2 if image[0, 0, 0] % 2 == 0 else 1)


def test_images_without_objects_stay_and_one_class_is_enough(tmp_path: Path) -> None:
    data = coco(4)
    data["categories"] = CATEGORIES[:1]
    data["annotations"] = [one for one in data["annotations"] if one["category_id"] == 3][:3]
    del data["annotations"][0]["iscrowd"], data["annotations"][0]["id"]
    beside(tmp_path)
    write(tmp_path / "train.json", data)
    paint(tmp_path / "images" / "003.png", 3)
    test = coco(1, first=4)
    test["categories"] = CATEGORIES[:1]
    test["annotations"] = test["annotations"][:1]
    write(tmp_path / "test.json", test)
    loaded = load_dataset(tmp_path)
    assert loaded.class_names == ("cat",)
    assert [len(one) for one in read(loaded)[1]] == [1, 1, 1, 0]


def test_sizes_come_from_the_file_or_else_from_the_images(tmp_path: Path) -> None:
    data = coco(2)
    for image in data["images"]:
        del image["height"], image["width"]
    folder = one_file(tmp_path, data)
    loaded = load_dataset(folder)
    assert loaded.image_shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(read(loaded)[1][0].boxes[0], [0.1, 0.1, 0.6, 0.6], atol=1e-7)


def test_no_image_is_opened_before_it_is_read(tmp_path: Path) -> None:
    beside(tmp_path)
    (tmp_path / "images" / "001.png").write_bytes(b"no picture")
    data = load_dataset(tmp_path)
    assert data.train.read([0, 2]).shape == (2, HEIGHT, WIDTH, 3)
    with pytest.raises(DataError, match=r"Cannot read image .*001\.png"):
        data.train.read([1])


def test_images_of_other_sizes_are_stretched_to_the_given_one(tmp_path: Path) -> None:
    data = coco(2)
    data["images"][1] |= {"height": 40, "width": 20}
    data["annotations"][1]["bbox"] = [0, 20, 10, 20]
    folder = one_file(tmp_path, data)
    paint(folder / "images" / "001.png", 1, (20, 40))
    with pytest.raises(DataError, match=r"differ in size \(2 sizes.*image_size=\(height, width\)"):
        load_dataset(folder)
    loaded = load_dataset(folder, image_size=(16, 16))
    found = {}
    for name in ("train", "test"):
        images, objects = read(loaded, name)
        assert images.shape == (1, 16, 16, 3)
        found[int(images[0, 0, 0, 0])] = objects[0].boxes[0].tolist()
    assert found[1] == [0.5, 0, 1, 0.5]


def test_an_image_lying_on_its_side_is_read_as_its_boxes_were_drawn(tmp_path: Path) -> None:
    folder = one_file(tmp_path, coco(2))
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:, :5] = 255
    for name in ("000.png", "001.png"):
        Image.fromarray(pixels).save(folder / "images" / name, exif=exif)
    data = coco(2)
    # The second one was drawn on the turned image.
    data["images"][1] |= {"height": WIDTH, "width": HEIGHT}
    data["annotations"][1]["bbox"] = [0, 0, 20, 5]
    write(folder / "train.json", data)
    write(folder / "test.json", data)
    (folder / "annotations.json").unlink()
    images, _ = load_dataset(folder, image_size=(HEIGHT, WIDTH)).train.read_boxed([0, 1])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(images[0], pixels)
    assert (images[1, :3] == 255).all()
    assert (images[1, 4:] == 0).all()


def test_an_image_of_another_size_than_the_file_says_is_refused(tmp_path: Path) -> None:
    folder = one_file(tmp_path, coco(2))
    for index in range(2):
        paint(folder / "images" / f"{index:03}.png", index, (WIDTH, HEIGHT + 1))
    with pytest.raises(
        DataError, match=r"00\d\.png is 30x21 pixels, its boxes were drawn on 30x20"
    ):
        load_dataset(folder).train.read([0])


def test_categories_that_only_name_a_group_are_no_classes(tmp_path: Path) -> None:
    data = coco(2)
    data["categories"] = [
        {"id": 0, "name": "cat", "supercategory": "none"},
        {"id": 3, "name": "cat", "supercategory": "cat"},
        {"id": 90, "name": "hat", "supercategory": "cat"},
    ]
    assert load_dataset(one_file(tmp_path, data)).class_names == ("cat", "hat")
    data["annotations"][0]["category_id"] = 0
    write(tmp_path / "annotations.json", data)
    with pytest.raises(DataError, match="names a category twice: cat"):
        load_dataset(tmp_path)
    data["categories"][0]["name"] = "animal"
    data["categories"][1]["supercategory"] = data["categories"][2]["supercategory"] = "animal"
    write(tmp_path / "annotations.json", data)
    assert load_dataset(tmp_path).class_names == ("animal", "cat", "hat")


def test_boxes_beyond_the_image_are_clipped_and_empty_ones_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = coco(2)
    boxes = [[-0.5, -0.5, 10, 10], [25, 15, 8, 4], [5, 5, 4, 0]]
    data["annotations"] = [
        {"id": 50 + place, "image_id": 100 + index, "category_id": 1, "bbox": box}
        for index in range(2)
        for place, box in enumerate(boxes)
    ]
    for place, item in enumerate(data["annotations"]):
        item["id"] = 50 + place
    _, (one,) = read(load_dataset(one_file(tmp_path, data)))
    np.testing.assert_allclose(
        one.boxes, [[0, 0, 9.5 / 20, 9.5 / 30], [15 / 20, 25 / 30, 19 / 20, 1]], atol=1e-6
    )
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith(
        "2 of 6 boxes reach beyond their image and are clipped to it, the first annotation 51."
    )
    assert lines[1].endswith(
        "2 of 6 boxes have no width or no height and are left out, the first annotation 52."
    )


def test_splits_that_are_missing_or_there_twice_are_named(tmp_path: Path) -> None:
    beside(tmp_path)
    (tmp_path / "test.json").unlink()
    with pytest.raises(DataError, match=r"COCO files for \['train'\] but none for test"):
        load_dataset(tmp_path)
    write(tmp_path / "more.json", coco(2))
    with pytest.raises(
        DataError, match=r"files for \['train'\] and more\.json, which names no split"
    ):
        load_dataset(tmp_path)
    (tmp_path / "more.json").rename(tmp_path / "train_2.json")
    with pytest.raises(DataError, match=r"two files for train, train\.json and train_2\.json"):
        load_dataset(tmp_path)


def test_files_with_other_categories_are_refused(tmp_path: Path) -> None:
    beside(tmp_path)
    other = coco(2, first=3)
    other["categories"] = [*CATEGORIES[:2], {"id": 90, "name": "cap"}]
    write(tmp_path / "test.json", other)
    with pytest.raises(
        DataError, match=r"Category 90 is 'cap' in .*test\.json and is 'hat' in .*train\.json"
    ):
        load_dataset(tmp_path)
    other["categories"] = [*CATEGORIES, {"id": 4, "name": "cap"}]
    write(tmp_path / "test.json", other)
    with pytest.raises(DataError, match=r"Category 4 is 'cap' in .* and is not listed in .*train"):
        load_dataset(tmp_path)


def test_class_folders_with_another_json_stay_a_classification(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for index in range(2):
            paint(tmp_path / name / f"{index}.png", 10 * index + len(name) + ord(name[0]))
    write(tmp_path / "train.json", ["cat", "dog"])
    assert load_dataset(tmp_path).task == "classification"

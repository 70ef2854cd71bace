"""data: splits, classes and their shares of any source, and a contact sheet."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.data import BoxArraySplit, MaskArraySplit, Objects
from pipelines.report.boxes import class_colour
from pipelines.report.palette import colours
from pipelines.report.sheet import contact_sheet

Run = Callable[..., Any]


def test_scenes_show_their_splits_classes_and_shares(run: Run) -> None:
    told = run("data", "composed_shapes", "--json").json
    assert told["task"] == "segmentation"
    assert told["splits"]["test_held_out"] == {"images": 200, "shape": [64, 64, 3]}
    assert [row["name"] for row in told["classes"]][:2] == ["background", "disc"]
    for name in told["splits"]:
        assert sum(row[name] for row in told["classes"]) == pytest.approx(1)
    text = run("data", "composed_shapes").out
    assert "Apache-2.0" in text
    assert "triangle" in text


def test_labels_are_counted(run: Run) -> None:
    told = run("data", "digits", "--json").json
    assert told["task"] == "classification"
    assert sum(row["train"] for row in told["classes"]) == told["splits"]["train"]["images"]


def test_objects_are_counted_where_they_are_known_and_else_in_the_first_images(
    run: Run, tmp_path: Path
) -> None:
    told = run("data", "composed_shapes_boxes", "--json").json
    assert told["task"] == "detection"
    assert told["splits"]["train"] == {"images": 2000, "shape": [64, 64, 3], "counted": 200}
    assert all(row["train"] > 20 for row in told["classes"])
    assert "Objects of the first 200 images, crowds" in run("data", "composed_shapes_boxes").out

    def file(first: int) -> Any:
        boxes = [(1, 0), (1, 0), (2, 0), (2, 1)]
        return {
            "images": [
                {"id": i, "file_name": f"{i}.png", "height": 40, "width": 60}
                for i in (first, first + 1)
            ],
            "annotations": [
                {"id": n, "image_id": first, "category_id": c, "bbox": [5, 5, 20, 20], "iscrowd": k}
                for n, (c, k) in enumerate(boxes)
            ],
            "categories": [{"id": 1, "name": "one"}, {"id": 2, "name": "two"}],
        }

    (tmp_path / "set" / "images").mkdir(parents=True)
    for name, first in (("train", 0), ("test", 2)):
        (tmp_path / "set" / f"{name}.json").write_text(json.dumps(file(first)))
        for index in (first, first + 1):
            Image.new("RGB", (60, 40)).save(tmp_path / "set" / "images" / f"{index}.png")
    words = ["data", "set", "--out", "sheet.png", "--json"]
    told = run(*words).json
    assert told["splits"]["test"] == {"images": 2, "shape": [40, 60, 3], "counted": 2}
    assert [(row["train"], row["test"]) for row in told["classes"]] == [(2, 2), (1, 1)]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (2 * (6 * 60 + 4) + 4, 6 * 40 + 4 + 4)


def test_a_sheet_is_written_where_asked(run: Run, tmp_path: Path) -> None:
    words = ["--split", "test", "--count", "5", "--image-size", "32", "--out", "sheet.png"]
    assert "sheet.png" in run("data", "composed_shapes", *words).out
    with Image.open(tmp_path / "sheet.png") as sheet:
        # Five pairs of 32 pixels at three times their size, and a legend.
        assert sheet.width == 5 * (2 * 96 + 4) + 4
        assert sheet.height > 96 + 8


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--split", "tset"], "Did you mean test"),
        (["--count", "0"], "--count must be at least 1"),
        (["--out", "sheet.jpg"], "a .png file"),
        (["--image-size", "wide"], "224x320"),
    ],
)
def test_what_is_wrong_is_said(run: Run, words: list[str], message: str) -> None:
    assert message in run("data", "composed_shapes", *words).failed(2)


def test_a_sheet_has_the_boxes_of_objects() -> None:
    images = np.full((2, 224, 224, 3), 50, dtype=np.uint8)
    box = np.array([[0.25, 0.25, 0.75, 0.75]], np.float32)
    objects = Objects(boxes=box, classes=np.array([1]), crowd=np.array([False]))
    nothing = Objects(boxes=box[:0], classes=np.array([], np.int64), crowd=np.array([], bool))
    sheet = contact_sheet(BoxArraySplit(images, [objects, nothing]), ("one", "two"))
    assert sheet.shape == (224 + 8, 2 * (224 + 4) + 4, 3)
    first, second = sheet[4:228, 4:228], sheet[4:228, 232:456]
    assert (second == 50).all()
    assert (first[80:140, 80:140] == 50).all()
    assert first[56, 112].tolist() == list(class_colour(1))


def test_a_sheet_has_the_picture_its_mask_and_the_colours_of_classes() -> None:
    image = np.full((96, 96, 3), 50, dtype=np.uint8)
    mask = np.zeros((96, 96), dtype=np.uint8)
    mask[20:60, 20:60] = 2
    split = MaskArraySplit(image[np.newaxis], mask[np.newaxis])
    sheet = contact_sheet(split, ("background", "one", "two"))
    np.testing.assert_array_equal(sheet[4:100, 4:100], image)
    assert not np.array_equal(sheet[4:100, 100:196], image)
    assert sheet[40 + 4, 100 + 40].tolist() == pytest.approx(
        0.4 * 50 + 0.6 * colours(3)[2].astype(float), abs=1
    )
    legend = sheet[104:].reshape(-1, 3).tolist()
    assert colours(3)[1].tolist() in legend
    assert colours(3)[2].tolist() in legend

"""Makers of small COCO folders, shared by the tests of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipelines.data import BoxSplit, ImageDataset, Objects

HEIGHT, WIDTH = 20, 30
CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 1, "name": "dog"}, {"id": 90, "name": "hat"}]


def paint(path: Path, value: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)


def coco(count: int = 2, first: int = 0) -> dict[str, Any]:
    """Images `first`.. of 20 x 30 pixels; each has a cat, every other one a hat too."""
    images = [
        {"id": 100 + i, "file_name": f"{i:03}.png", "height": HEIGHT, "width": WIDTH}
        for i in range(first, first + count)
    ]
    annotations = [
        {
            "id": 7 * i + 1,
            "image_id": 100 + i,
            "category_id": 3,
            "bbox": [3, 2, 15, 10],
            "iscrowd": 0,
        }
        for i in range(first, first + count)
    ]
    annotations += [
        {
            "id": 7 * i + 2,
            "image_id": 100 + i,
            "category_id": 90,
            "bbox": [0, 10.0, 30, 10],
            "iscrowd": 1,
        }
        for i in range(first, first + count, 2)
    ]
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


def write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(data if isinstance(data, str) else json.dumps(data))


def one_file(folder: Path, data: Any, count: int = 2) -> Path:
    """`folder` with images 0..count and one file for all."""
    for index in range(count):
        paint(folder / "images" / f"{index:03}.png", index)
    write(folder / "annotations.json", data)
    return folder


def read(data: ImageDataset, name: str = "train") -> tuple[Any, list[Objects]]:
    split = data.splits[name]
    assert isinstance(split, BoxSplit)
    images, objects = split.read_boxed(range(len(split)))
    for left, right in zip(objects, split.known_objects() or [], strict=True):
        np.testing.assert_array_equal(left.boxes, right.boxes)
    return images, objects

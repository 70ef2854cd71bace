"""Every way in which a COCO file is wrong, refused by name."""

import contextlib
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coco_files import coco, one_file, read
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw_model.errors import DataError
from pipelines.data import load_dataset

Change = Callable[[dict[str, Any]], Any]


def _annotation(**changes: Any) -> Change:
    return lambda data: data["annotations"][1].update(changes)


def _image(**changes: Any) -> Change:
    return lambda data: data["images"][1].update(changes)


def _boxes(change: Callable[[list[float]], list[float]]) -> Change:
    def apply(data: dict[str, Any]) -> None:
        for item in data["annotations"]:
            item["bbox"] = change(item["bbox"])

    return apply


WRONG: list[tuple[Change, str]] = [
    (
        _annotation(bbox=[40, 2, 5, 5]),
        r"annotation 8 has a box wholly outside .*bbox \[40, 2, 5, 5\] in 001.png of 30x20 pixels",
    ),
    (_annotation(bbox=[4, 2, -5, 5]), "annotation 8 has a negative width or height"),
    (_annotation(bbox=[4, 2, 5]), r"annotation 8 needs a bbox .*Received: \[4, 2, 5\]"),
    (_annotation(bbox=[4, 2, 5, float("nan")]), "annotation 8 needs a bbox .*finite"),
    (_annotation(bbox=[4, 2, 5, 10**400]), "annotation 8 needs a bbox"),
    (_annotation(bbox=["4", 2, 5, 5]), "annotation 8 needs a bbox"),
    (_annotation(bbox=[True, 2, 5, 5]), "annotation 8 needs a bbox"),
    (lambda data: data["annotations"][1].pop("bbox"), "annotation 8 needs a bbox"),
    (
        _annotation(category_id=2),
        r"annotation 8 has a category_id .*Received: 2, known are \[1, 3, 90\]",
    ),
    (_annotation(category_id="3"), "annotation 8 has a category_id"),
    (_annotation(image_id=5), "annotation 8 belongs to an image that is not listed.*Received: 5"),
    (_annotation(image_id=[101]), "annotation 8 belongs to an image"),
    (_annotation(iscrowd=2), "annotation 8 needs iscrowd 0 or 1. Received: 2"),
    (_annotation(id=1), "has annotation 1 twice"),
    (_annotation(id=None), "annotation number 2 needs a number as its id"),
    (
        lambda data: data["annotations"].insert(0, 4),
        "annotation number 1 is no object. Received: 4",
    ),
    (lambda data: data["annotations"].clear(), "train images of .* have no objects|test images of"),
    (_image(id=100), "has image 100 twice"),
    (_image(file_name="000.png"), "has file_name '000.png' twice"),
    (
        _image(file_name="9.png"),
        r"lists 2 images of which 1 are not there, the first .*images/9\.png",
    ),
    (_image(file_name=None), "image 101 needs a file_name"),
    (
        _image(height="20"),
        r"image 101 needs height and width in pixels, or neither. Received: \['20', 30\]",
    ),
    (_image(height=None), "image 101 needs height and width"),
    (lambda data: data["images"][1].pop("id"), "image number 2 needs an id"),
    (lambda data: data["images"].clear(), "lists no images"),
    (
        lambda data: data["categories"].__setitem__(0, {"id": 1, "name": "dog"}),
        "has category 1 twice",
    ),
    (lambda data: data["categories"].__setitem__(0, {"id": 3}), "category 3 needs a name"),
    (
        lambda data: data["categories"].__setitem__(0, {"name": "cat"}),
        "category number 1 needs an integer id",
    ),
    (
        lambda data: data["categories"].__setitem__(0, {"id": 3, "name": "hat"}),
        "names a category twice: hat",
    ),
    (lambda data: data["categories"].clear(), "has no categories"),
    (
        lambda data: data.pop("categories"),
        r"no COCO instances file.*\['annotations', 'images'\], without a list under categories",
    ),
    (lambda data: data.update(images={}), "no COCO instances file.*without a list under images"),
    (
        _boxes(lambda box: [box[0] / 30, box[1] / 20, box[2] / 30, box[3] / 20]),
        "look like shares of .*none has a value above 1",
    ),
    (
        _boxes(lambda box: [box[0] + 10, box[1] + 5, 30, 20]),
        r"look like \[left, top, right, bottom\]: 100% of them.*subtract.*annotation 1 ",
    ),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_what_is_wrong_in_a_file_is_named(change: Change, message: str, tmp_path: Path) -> None:
    data = json.loads(json.dumps(coco(2)))
    change(data)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset(one_file(tmp_path, data))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(*path, key) for key, _ in inner]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        if isinstance(item, dict | list):
            found += _places(item, (*path, key))
    return found


STRANGE = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        2.5,
        10**30,
        1e400,
        "",
        "x",
        "../x",
        "a\0b",
        [],
        [[]],
        {},
        {"id": 1},
        [1, 2, 3, 4],
    ]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_whatever_stands_in_a_file_nothing_but_a_data_error_is_raised(
    tmp_path: Path, data: st.DataObject
) -> None:
    whole = json.loads(json.dumps(coco(2)))
    for _ in range(data.draw(st.integers(1, 2))):
        *above, last = data.draw(st.sampled_from(_places(whole)))
        inside = whole
        for key in above:
            inside = inside[key]
        inside[last] = copy.deepcopy(data.draw(STRANGE))
    one_file(tmp_path, whole)
    with contextlib.suppress(DataError):
        loaded = load_dataset(tmp_path)
        for name in loaded.splits:
            for one in read(loaded, name)[1]:
                assert (one.boxes[:, :2] < one.boxes[:, 2:]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', r"annotations\.json is no JSON: Expecting value: line 1 column"),
        ("", r"annotations\.json is no JSON: it is empty"),
        ('[{"image_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "Received: a list of results"),
        ("3", "no COCO instances file.*Received: a int"),
        ("[" * 100_000, "nested too deeply|no JSON"),
    ],
)
def test_a_file_that_is_no_coco_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(one_file(tmp_path, text))


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    one_file(tmp_path, "").joinpath("annotations.json").write_bytes(b"\xff\xfe{\x00")
    with pytest.raises(DataError, match="is no JSON: it is not text in UTF-8"):
        load_dataset(tmp_path)

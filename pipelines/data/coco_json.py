"""One COCO instances file read strictly: images, categories and boxes, each error naming what is wrong where."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError

_NEEDED = ("images", "annotations", "categories")
_IDS = (int, str)
#: Boxes are pixels; beyond this is no picture, and NaN compares with nothing.
_LARGEST = 1e7


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CocoFile:
    """What a file says; `boxes` (n, 4) are left, top, width and height in pixels, as they stand there.

    `sizes` (images, 2) are heights and widths, 0 where the file has none; `image` (n,) says which image a
    box belongs to, `category` (n,) the category's id and `ids` the annotation's, None where it has none.
    """

    path: Path
    categories: dict[int, str]
    groups: frozenset[int]
    """Categories that only name what others belong to, as some exports have them."""
    file_names: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    boxes: npt.NDArray[np.float64]
    image: npt.NDArray[np.int64]
    category: npt.NDArray[np.int64]
    crowd: npt.NDArray[np.bool_]
    ids: tuple[int | str | None, ...]

    def called(self, place: int) -> str:
        """How an error names the annotation of box `place`."""
        return _called({"id": self.ids[place]}, place)


def read_coco(path: Path) -> CocoFile:
    """Reads a COCO instances file; boxes are not compared with their images here.

    Raises:
        DataError: not readable, no JSON, no COCO, or with ids that are missing or there twice.
    """
    from tqdm import tqdm

    data = _parse(path)
    _check_form(path, data)
    categories, parents = _categories(path, data["categories"])
    names, sizes, index_of = _images(path, data["images"])
    annotations = data["annotations"]
    for place, item in enumerate(tqdm(annotations, "boxes", delay=2, leave=False, disable=None)):
        problem = _problem(item, index_of, categories)
        if problem:
            raise DataError(f"{path}: {_called(item, place)} {problem}")
    _check_twice(path, "annotation", (item["id"] for item in annotations if "id" in item))
    category = np.array([item["category_id"] for item in annotations], dtype=np.int64)
    used = set(category.tolist())
    return CocoFile(
        path=path,
        categories=categories,
        groups=frozenset(parents - used),
        file_names=names,
        sizes=sizes,
        boxes=np.array([item["bbox"] for item in annotations], np.float64).reshape(-1, 4),
        image=np.array([index_of[item["image_id"]] for item in annotations], dtype=np.int64),
        category=category,
        crowd=np.array([item.get("iscrowd", 0) for item in annotations], dtype=bool),
        ids=tuple(item.get("id") for item in annotations),
    )


def _called(item: Any, place: int) -> str:
    known = isinstance(item, dict) and isinstance(item.get("id"), _IDS)
    return f"annotation {item['id']!r}" if known else f"annotation number {place + 1}"


def _parse(path: Path) -> Any:
    from tqdm import tqdm

    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no JSON: it is not text in UTF-8.") from error
    with tqdm(
        total=text.count("{"), desc=path.name, unit="object", delay=2, leave=False, disable=None
    ) as bar:

        def without_outline(found: dict[str, Any]) -> dict[str, Any]:
            # Outlines are most of such a file, in memory many times their text.
            found.pop("segmentation", None)
            bar.update()
            return found

        try:
            return json.loads(text, object_hook=without_outline)
        except ValueError as error:
            reason = "it is empty" if not text.strip() else str(error)
            raise DataError(f"{path} is no JSON: {reason}. Export or download it again.") from error
        except RecursionError as error:
            raise DataError(f"{path} is no COCO file: it is nested too deeply.") from error


def _check_form(path: Path, data: Any) -> None:
    if isinstance(data, dict):
        missing = [key for key in _NEEDED if not isinstance(data.get(key), list)]
        if not missing:
            return
        received = f"the keys {sorted(data)[:8]}, without a list under {', '.join(missing)}"
    else:
        received = f"a {type(data).__name__}"
        if isinstance(data, list) and data and isinstance(data[0], dict) and "score" in data[0]:
            received = "a list of results"
    raise DataError(
        f"{path} is no COCO instances file: that is an object with images, annotations and categories. "
        f"Received: {received}"
    )


def _categories(path: Path, items: list[Any]) -> tuple[dict[int, str], set[int]]:
    """Names by id in the order of ids, and which of them others name as their group."""
    found: dict[int, Any] = {}
    for place, item in enumerate(items):
        if not isinstance(item, dict) or type(item.get("id")) is not int:
            raise DataError(
                f"{path}: category number {place + 1} needs an integer id. Received: {item!r:.100}"
            )
        if not isinstance(item.get("name"), str) or not item["name"].strip():
            raise DataError(
                f"{path}: category {item['id']} needs a name. Received: {item.get('name')!r:.100}"
            )
        if item["id"] in found:
            raise DataError(f"{path} has category {item['id']} twice; ids must differ.")
        found[item["id"]] = item
    if not found:
        raise DataError(f"{path} has no categories; list every class with its id and name.")
    parents = {
        label
        for label, item in found.items()
        if item.get("supercategory") in ("none", "", None)
        and any(
            other.get("supercategory") == item["name"]
            for other in found.values()
            if other is not item
        )
    }
    return {label: found[label]["name"].strip() for label in sorted(found)}, parents


def _images(
    path: Path, items: list[Any]
) -> tuple[tuple[str, ...], npt.NDArray[np.int64], dict[int | str, int]]:
    """File names, sizes (n, 2), and the index by id."""
    for place, item in enumerate(items):
        known = isinstance(item, dict) and isinstance(item.get("id"), _IDS)
        called = f"image {item['id']!r}" if known else f"image number {place + 1}"
        if not known:
            raise DataError(f"{path}: {called} needs an id. Received: {item!r:.100}")
        if not isinstance(item.get("file_name"), str) or not item["file_name"].strip():
            raise DataError(
                f"{path}: {called} needs a file_name. Received: {item.get('file_name')!r:.100}"
            )
        size = [item.get("height"), item.get("width")]
        if size != [None, None] and not all(_is_number(side) and side >= 1 for side in size):
            raise DataError(
                f"{path}: {called} needs height and width in pixels, or neither. Received: {size!r:.100}"
            )
    if not items:
        raise DataError(f"{path} lists no images.")
    _check_twice(path, "image", (item["id"] for item in items))
    names = tuple(item["file_name"].strip().replace("\\", "/") for item in items)
    _check_twice(path, "file_name", names)
    sizes = [(item.get("height") or 0, item.get("width") or 0) for item in items]
    index_of = {item["id"]: index for index, item in enumerate(items)}
    return names, np.array(sizes, dtype=np.int64), index_of


def _problem(item: Any, index_of: dict[int | str, int], categories: dict[int, str]) -> str:
    """What is wrong with an annotation by itself; empty where nothing is."""
    if not isinstance(item, dict):
        return f"is no object. Received: {item!r:.100}"
    if not isinstance(item.get("id", 0), _IDS):
        return f"needs a number as its id. Received: {item['id']!r:.100}"
    image, category = item.get("image_id"), item.get("category_id")
    if not isinstance(image, _IDS) or image not in index_of:
        return f"belongs to an image that is not listed; list it or delete the annotation. Received: {image!r:.100}"
    if type(category) is not int or category not in categories:
        return (
            f"has a category_id that categories do not list; add it there. Received: {category!r:.100}, "
            f"known are {list(categories)[:12]}{' ...' if len(categories) > 12 else ''}"
        )
    box = item.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f"needs a bbox [left, top, width, height] of finite numbers. Received: {box!r:.100}"
    if item.get("iscrowd", 0) not in (0, 1):
        return f"needs iscrowd 0 or 1. Received: {item['iscrowd']!r:.100}"
    return ""


def _is_number(value: Any) -> bool:
    """Whether this is a finite number that can count pixels."""
    return type(value) in (int, float) and -_LARGEST < value < _LARGEST


def _check_twice(path: Path, what: str, ids: Iterable[int | str]) -> None:
    seen: set[int | str] = set()
    for one in ids:
        if one in seen:
            raise DataError(
                f"{path} has {what} {one!r} twice; keep one of them, each with its own id."
            )
        seen.add(one)

"""A folder of images and COCO instances files as a detection data set."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError
from pipelines.data.coco_boxes import objects_of
from pipelines.data.coco_json import CocoFile, read_coco
from pipelines.data.dataset import BoxSplit, ImageDataset, Objects
from pipelines.data.encoded import open_image
from pipelines.data.encoded_boxes import EncodedBoxSplit
from pipelines.data.folder import divide_files, subfolders
from pipelines.data.sizes import only_size

_LAYOUT = (
    "annotations/instances_train2017.json with train2017/, train/_annotations.coco.json beside its images, or "
    "train.json with images/, each also for val or test; or one file for all"
)
_ANNOTATIONS = "annotations"
_IMAGE_FOLDERS = ("images", "data")
_SPLIT = re.compile(r"(?<![a-z])(train|test|val)(?:ing|id|idation)?(?![a-z])")
_SPLIT_NAMES = {"train": "train", "test": "test", "val": "validation"}
# Keys of a COCO file; one of them is near its beginning or its end, whatever their order.
_KEYS = (b'"annotations"', b'"categories"', b'"bbox"')
_PEEK_BYTES = 1 << 16
# So many images show in which folder they are, even if some are missing.
_LOOKED_FOR = 50


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """Images of one file with their sizes (height, width) and objects."""

    paths: list[Path]
    sizes: npt.NDArray[np.int64]
    objects: list[Objects]

    def some(self, chosen: list[int]) -> "_Part":
        return _Part(
            paths=[self.paths[index] for index in chosen],
            sizes=self.sizes[chosen],
            objects=[self.objects[index] for index in chosen],
        )


def is_box_folder(folder: Path) -> bool:
    """Whether `folder` has COCO files at one of the usual places, or any JSON beside a folder of images."""
    files = _json_files(folder)
    beside = any((folder / name).is_dir() for name in _IMAGE_FOLDERS)
    return bool(files) and (beside or any(map(_looks_like_coco, files)))


def load_box_folder(folder: Path, *, image_size: tuple[int, int] | None = None) -> ImageDataset:
    """Reads COCO instances files, one for each split, or one for all, which is divided by hash.

    Categories become classes 0.. in the order of their ids, without those that only name the group of
    others. All boxes are checked here, and that every image is there; images are opened where the file
    does not say their size, and decoded when read: at `image_size` (height, width) or at their own size
    if that is one. Images without objects stay. See `objects_of` and `EncodedBoxSplit`.

    Raises:
        DataError: what is missing, damaged or contradicts itself, with the file and the id.
    """
    files = {name: read_coco(path) for name, path in _files(folder).items()}
    labels = _labels(files)
    class_of = {label: place for place, label in enumerate(labels)}
    parts = {name: _part(folder, name, coco, class_of) for name, coco in files.items()}
    if "" in parts:
        parts = _divided(folder, parts[""])
    for name, part in parts.items():
        if not any(map(len, part.objects)):
            raise DataError(f"The {len(part.paths)} {name} images of {folder} have no objects.")
    size = image_size or _common_size(folder, list(parts.values()))
    return ImageDataset(
        name=folder.resolve().name,
        class_names=tuple(labels.values()),
        splits={name: _split(part, size) for name, part in parts.items()},
        source=str(folder),
    )


def _split_of(text: str) -> str | None:
    """The split that a file or folder name speaks of."""
    found = _SPLIT.search(text.lower())
    return _SPLIT_NAMES[found[1]] if found else None


def _json_files(folder: Path) -> list[Path]:
    places = [folder, folder / _ANNOTATIONS]
    places += [folder / name for name in subfolders(folder) if _split_of(name)]
    files = [
        path
        for place in places
        for path in sorted(place.glob("*.json"))
        if path.is_file() and not path.name.startswith(".")
    ]
    # COCO's own archive has captions and keypoints of the same images beside them.
    return [path for path in files if path.name.startswith("instances_")] or files


def _looks_like_coco(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            text = file.read(_PEEK_BYTES)
            file.seek(max(0, path.stat().st_size - _PEEK_BYTES))
            text += file.read()
    except OSError:
        return False
    return any(key in text for key in _KEYS)


def _files(folder: Path) -> dict[str, Path]:
    """The file of each split: `train`, `test` and perhaps `validation`, or one of all images under ""."""
    files = _json_files(folder)
    files = [path for path in files if _looks_like_coco(path)] or files
    found: dict[str, Path] = {}
    for path in files:
        inside = path.parent not in (folder, folder / _ANNOTATIONS)
        name = _split_of(path.parent.name if inside else path.stem) or ""
        if name in found:
            what = f"for {name}" if name else "that name no split"
            raise DataError(
                f"{folder} has two files {what}, {found[name].relative_to(folder)} and "
                f"{path.relative_to(folder)}; keep one of them."
            )
        found[name] = path
    if list(found) == [""]:
        return found
    if "" in found:
        raise DataError(
            f"{folder} has files for {sorted(set(found) - {''})} and {found[''].relative_to(folder)}, which "
            "names no split; name or remove it."
        )
    if "test" not in found and "validation" in found:
        found["test"] = found.pop("validation")
    if "train" not in found or "test" not in found:
        missing = "test" if "train" in found else "train"
        raise DataError(
            f"{folder} has COCO files for {sorted(found)} but none for {missing}. It needs {_LAYOUT}."
        )
    return found


def _labels(files: Mapping[str, CocoFile]) -> dict[int, str]:
    """Class names by category id, in the order of ids; the training file says which there are."""
    first = files.get("train") or next(iter(files.values()))
    for coco in files.values():
        for label, name in coco.categories.items():
            known = first.categories.get(label)
            if known != name:
                what = "is not listed" if known is None else f"is {known!r}"
                raise DataError(
                    f"Category {label} is {name!r} in {coco.path} and {what} in {first.path}; give all "
                    "files the same categories."
                )
    groups = set(first.categories)
    for coco in files.values():
        used = set(coco.category.tolist())
        groups = {label for label in groups & first.groups if label not in used}
    labels = {label: name for label, name in first.categories.items() if label not in groups}
    names = list(labels.values())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{first.path} names a category twice: {', '.join(twice)}.")
    return labels


def _part(folder: Path, name: str, coco: CocoFile, class_of: Mapping[int, int]) -> _Part:
    paths = _located(folder, coco)
    sizes = coco.sizes.copy()
    for index in _progress(np.flatnonzero(sizes[:, 0] == 0).tolist(), f"sizes {name}".strip()):
        with open_image(paths[index], str(paths[index])) as image:
            sizes[index] = image.height, image.width
    return _Part(paths=paths, sizes=sizes, objects=objects_of(coco, sizes, class_of))


def _located(folder: Path, coco: CocoFile) -> list[Path]:
    """Where the images are: the first of the usual places that holds most of the first ones."""
    stem = coco.path.stem.removeprefix("instances_")
    split = _SPLIT.search(stem.lower())
    names = dict.fromkeys([stem, split[0] if split else stem])
    places = [folder / name for name in names]
    places += [folder / above / name for above in _IMAGE_FOLDERS for name in names]
    places += [folder / above for above in _IMAGE_FOLDERS]
    places += [coco.path.parent / above for above in _IMAGE_FOLDERS]
    places = [place for place in (*places, coco.path.parent, folder) if place.is_dir()]
    first = coco.file_names[:_LOOKED_FOR]
    # max() takes the first of equals.
    place = max(places, key=lambda each: sum((each / name).is_file() for name in first))
    paths = [place / name for name in coco.file_names]
    present = {parent: _names_in(parent) for parent in {path.parent for path in paths}}
    missing = [path for path in paths if path.name not in present[path.parent]]
    if missing:
        raise DataError(
            f"{coco.path} lists {len(paths)} images of which {len(missing)} are not there, the first "
            f"{missing[0]}; add them or take them out of the file."
        )
    return paths


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def _divided(folder: Path, whole: _Part) -> dict[str, _Part]:
    """One image in five for testing, by a hash of its bytes."""
    index_of = {path: index for index, path in enumerate(whole.paths)}
    sides = divide_files(whole.paths)
    if sides is None:
        raise DataError(
            f"{folder} has 1 different image; it needs at least two, one of them for testing."
        )
    return {
        side: whole.some(sorted(index_of[path] for path in paths)) for side, paths in sides.items()
    }


def _common_size(folder: Path, parts: list[_Part]) -> tuple[int, int]:
    sizes = {(int(height), int(width)) for part in parts for height, width in part.sizes}
    return only_size(sizes, f" of {folder}", usual=320)


def _progress(indices: list[int], what: str) -> "list[int]":
    from tqdm import tqdm

    bar: list[int] = tqdm(indices, desc=what, unit="image", delay=2, disable=None)
    return bar


def _split(part: _Part, size: tuple[int, int]) -> BoxSplit:
    def pixels_of(index: int) -> tuple[int, int]:
        height, width = part.sizes[index].tolist()
        return height, width

    return EncodedBoxSplit(
        lambda index: (part.paths[index], part.objects[index]),
        len(part.paths),
        size=size,
        name_of=lambda index: str(part.paths[index]),
        pixels_of=pixels_of,
        known=part.objects,
    )

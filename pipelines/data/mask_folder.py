"""A folder of images and of masks with the same names as a segmentation data set."""

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError
from pipelines.data.dataset import IGNORED, ImageDataset, Split
from pipelines.data.encoded import open_image
from pipelines.data.encoded_masks import (
    EncodedMaskSplit,
    check_ids,
    check_mode,
    check_sizes,
    mask_ids,
)
from pipelines.data.folder import TEST_NAMES, divide_files, images_in, subfolders
from pipelines.data.sizes import only_size

_IMAGES, _MASKS, _CLASSES = "images", "masks", "classes.txt"
_LAYOUT = "images/*.jpg and masks/*.png with the same names"
_EXIF_ORIENTATION = 0x0112
_MOST_CLASSES = IGNORED

Pair = tuple[Path, Path]


def is_mask_folder(folder: Path) -> bool:
    """Whether `folder`, or a folder in it such as `train`, has both `images` and `masks`."""
    places = [folder, *(folder / name for name in subfolders(folder))]
    return any((place / _IMAGES).is_dir() and (place / _MASKS).is_dir() for place in places)


def load_mask_folder(folder: Path, *, image_size: tuple[int, int] | None = None) -> ImageDataset:
    """Reads `folder/train/{images,masks}` and `folder/test/...`, or `folder/{images,masks}` divided.

    Masks are PNG of 8-bit class ids, gray or palette; 255 is ignored. Names of classes are the lines
    of `classes.txt`, the first for id 0; without it `class_0` up to the largest id there is. All masks
    are checked here, with a progress bar, so that no training ends at a wrong one. Images are read at
    `image_size` (height, width) or at their own size if that is one; see `EncodedMaskSplit`.

    Raises:
        DataError: files without partner, of other sizes, damaged, or with ids that are no class.
    """
    listings = _listings(folder)
    pairs = [pair for listing in listings.values() for pair in listing]
    names = _class_names(folder)
    sizes = {_common_header(image, mask) for image, mask in pairs}
    size = image_size or only_size(sizes, f" of {folder}", usual=512)
    seen = _check_masks(folder, [mask for _, mask in pairs], names)
    class_names = names or tuple(f"class_{index}" for index in range(max(seen) + 1))
    splits = {name: _split(listing, size, class_names) for name, listing in listings.items()}
    return ImageDataset(
        name=folder.resolve().name, class_names=class_names, splits=splits, source=str(folder)
    )


def _listings(folder: Path) -> dict[str, list[Pair]]:
    """Pairs by split; `train` and `test` are always there."""
    if (folder / _IMAGES).is_dir():
        return _divided(folder)
    found = {
        name: _pairs(folder / name)
        for name in subfolders(folder)
        if (folder / name / _IMAGES).is_dir() or (folder / name / _MASKS).is_dir()
    }
    test = next((name for name in TEST_NAMES if name in found), None)
    if "train" not in found or test is None:
        missing = "test" if "train" in found else "train"
        raise DataError(
            f"{folder} has {sorted(found)} but nothing for {missing}; add {folder / missing} with "
            f"{_LAYOUT}, or put images and masks directly into {folder}."
        )
    if test != "test":
        found["test"] = found.pop(test)
    return found


def _divided(folder: Path) -> dict[str, list[Pair]]:
    mask_of = dict(_pairs(folder))
    sides = divide_files(list(mask_of))
    if sides is None:
        raise DataError(
            f"{folder} has 1 different image; it needs at least two, one of them for testing."
        )
    return {
        side: [(path, mask_of[path]) for path in sorted(paths)] for side, paths in sides.items()
    }


def _pairs(place: Path) -> list[Pair]:
    """Images with their masks, by the path below `images` and `masks` without the suffix."""
    for part in (_IMAGES, _MASKS):
        if not (place / part).is_dir():
            raise DataError(f"{place} has no folder {part!r}; it needs {_LAYOUT}.")
    images = _by_stem(place / _IMAGES, images_in(place / _IMAGES))
    masks = _by_stem(place / _MASKS, images_in(place / _MASKS))
    if not images and not masks:
        raise DataError(f"{place} is empty: it needs {_LAYOUT}.")
    for stem, mask in masks.items():
        if mask.suffix.lower() != ".png":
            raise DataError(f"Mask {mask} is no PNG; other formats may change class ids.")
        if stem not in images:
            raise DataError(
                f"Mask {mask} has no image {place / _IMAGES / stem}.*; add or delete it."
            )
    lonely = [stem for stem in images if stem not in masks]
    if lonely:
        raise DataError(
            f"{len(lonely)} of {len(images)} images in {place / _IMAGES} have no mask, the first "
            f"{images[lonely[0]].name}; add {place / _MASKS / lonely[0]}.png."
        )
    return [(images[stem], masks[stem]) for stem in sorted(images)]


def _by_stem(folder: Path, paths: Iterable[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        stem = path.relative_to(folder).with_suffix("").as_posix()
        if stem in found:
            raise DataError(f"{folder} has {found[stem].name} and {path.name}; keep one of them.")
        found[stem] = path
    return found


def _class_names(folder: Path) -> tuple[str, ...]:
    """The lines of `classes.txt`, none where there is no such file."""
    path = folder / _CLASSES
    if not path.is_file():
        return ()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read {path}: {error}. It holds one class name a line.") from error
    names = tuple(line.strip() for line in lines if line.strip())
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} names a class twice: {', '.join(twice)}.")
    if not 2 <= len(names) <= _MOST_CLASSES:
        raise DataError(
            f"{path} names {len(names)} classes; there can be 2 to {_MOST_CLASSES}, one a line, the "
            "first for id 0."
        )
    return names


def _common_header(image: Path, mask: Path) -> tuple[int, int]:
    """(height, width) of an image and its mask, from their headers."""
    with open_image(image, str(image)) as picture:
        size = picture.size
        # Orientations 5 to 8 lie on their side.
        if picture.getexif().get(_EXIF_ORIENTATION, 1) >= 5:
            size = size[::-1]
    with open_image(mask, str(mask)) as picture:
        check_mode(str(mask), picture.mode)
        check_sizes(str(image), size, str(mask), picture.size)
    return size[1], size[0]


def _check_masks(folder: Path, masks: Sequence[Path], names: tuple[str, ...]) -> set[int]:
    """The class ids in all masks, every one of them with a name where there are names."""
    from tqdm import tqdm

    def count(path: Path) -> npt.NDArray[np.int64]:
        ids = mask_ids(path, str(path))
        if names:
            check_ids(str(path), ids, names)
        return np.bincount(ids.ravel(), minlength=256)

    # Decoding leaves Python's lock, so threads help.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bar = tqdm(pool.map(count, masks), "masks", len(masks), unit="mask", delay=2, disable=None)
        counts = np.sum(list(bar), axis=0)
    seen = set(np.flatnonzero(counts[:IGNORED]).tolist())
    if not seen:
        raise DataError(
            f"All pixels of all {len(masks)} masks in {folder} are {IGNORED}, which is ignored; write "
            "class ids from 0 up."
        )
    if seen == {0}:
        hint = f"; {IGNORED} is ignored, so write the other class as 1" if counts[IGNORED] else ""
        raise DataError(
            f"All masks in {folder} hold the one class id 0{hint}. A segmentation needs two."
        )
    return seen


def _split(pairs: list[Pair], size: tuple[int, int], class_names: tuple[str, ...]) -> Split:
    return EncodedMaskSplit(
        pairs.__getitem__,
        len(pairs),
        size=size,
        class_names=class_names,
        name_of=lambda index: (str(pairs[index][0]), str(pairs[index][1])),
    )

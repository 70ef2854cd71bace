"""A folder of class folders as a data set."""

import hashlib
from collections import defaultdict
from pathlib import Path

from hw_model.errors import DataError
from pipelines.data.dataset import ImageDataset, Split
from pipelines.data.encoded import EncodedSplit, common_shape

_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
)
TEST_NAMES = ("test", "validation", "val")
_TEST_SHARE = 0.2

Listing = dict[str, list[Path]]


def load_folder(folder: Path, *, image_size: tuple[int, int] | None = None) -> ImageDataset:
    """Reads `folder/train/CLASS/*` and `folder/test/CLASS/*`, or `folder/CLASS/*` divided by hash."""
    names = subfolders(folder)
    tests = [name for name in TEST_NAMES if name in names]
    if "train" in names or tests:
        if "train" not in names or not tests:
            missing = "test" if "train" in names else "train"
            raise DataError(
                f"{folder} has a folder {'train' if 'train' in names else tests[0]!r} but none for "
                f"{missing}; add {folder / missing}, or put the class folders directly in {folder}."
            )
        listings = {"train": _classes(folder / "train"), "test": _classes(folder / tests[0])}
    else:
        listings = _divide(_classes(folder))
    class_names = tuple(sorted(listings["train"]))
    strange = sorted(set(listings["test"]) - set(class_names))
    if strange:
        raise DataError(f"{folder} has test images of classes without training images: {strange}.")
    shape = _shape(listings, image_size)
    splits = {name: _split(listing, class_names, shape) for name, listing in listings.items()}
    return ImageDataset(
        name=folder.resolve().name, class_names=class_names, splits=splits, source=str(folder)
    )


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in `folder`, hidden ones left out."""
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.")
    return sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.is_dir() and not entry.name.startswith(".")
    )


def _classes(folder: Path) -> Listing:
    """Image files by class; at least two classes with at least one image each."""
    listing = {name: images_in(folder / name) for name in subfolders(folder)}
    if not listing:
        raise DataError(f"{folder} is empty: it needs one folder of images per class.")
    if len(listing) == 1:
        raise DataError(
            f"{folder} has one class only ({next(iter(listing))!r}); a classifier needs two or more."
        )
    empty = [name for name, images in listing.items() if not images]
    if empty:
        raise DataError(f"{folder} has class folders without images: {empty}; fill or delete them.")
    return listing


def images_in(folder: Path) -> list[Path]:
    """Image files below `folder`."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
    )


def _divide(listing: Listing) -> dict[str, Listing]:
    """One image in five for testing, chosen by a hash of its bytes: copies stay on one side."""
    divided: dict[str, Listing] = {"train": {}, "test": {}}
    for name, paths in listing.items():
        sides = divide_files(paths)
        if sides is None:
            raise DataError(
                f"Class {name!r} has 1 different image; it needs at least two, one "
                "of them for testing."
            )
        for side, chosen in sides.items():
            divided[side][name] = chosen
    return divided


def divide_files(paths: list[Path]) -> dict[str, list[Path]] | None:
    """`train` and `test`: one in five for testing, by a hash of bytes; None where all are the same."""
    by_digest: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        by_digest[_digest(path)].append(path)
    if len(by_digest) < 2:
        return None
    digests = sorted(by_digest)
    # The first eight hex digits are uniform on [0, 16^8); at least one image goes to each side.
    below = sum(int(digest[:8], 16) < _TEST_SHARE * 16**8 for digest in digests)
    held_out = min(max(below, 1), len(digests) - 1)
    return {
        "train": [path for digest in digests[held_out:] for path in by_digest[digest]],
        "test": [path for digest in digests[:held_out] for path in by_digest[digest]],
    }


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error


def _shape(
    listings: dict[str, Listing], image_size: tuple[int, int] | None
) -> tuple[int, int, int]:
    paths = [path for side in listings.values() for group in side.values() for path in group]
    return common_shape(paths, [str(path) for path in paths], image_size)


def _split(listing: Listing, class_names: tuple[str, ...], shape: tuple[int, int, int]) -> Split:
    pairs = [
        (path, class_names.index(name)) for name, paths in listing.items() for path in sorted(paths)
    ]
    paths = [path for path, _ in pairs]
    return EncodedSplit(
        paths.__getitem__,
        [label for _, label in pairs],
        shape=shape,
        name_of=lambda index: str(paths[index]),
    )

"""One function that turns a name or a path into an `ImageDataset`."""

import os
from pathlib import Path

from hw_model.errors import DataError, UnknownNameError
from pipelines.data.box_folder import is_box_folder, load_box_folder
from pipelines.data.dataset import ArraySplit, ImageDataset
from pipelines.data.embedded import FASHION_CLASSES, load_embedded
from pipelines.data.embedded import NAMES as EMBEDDED_NAMES
from pipelines.data.folder import load_folder
from pipelines.data.idx import read_idx
from pipelines.data.mask_folder import is_mask_folder, load_mask_folder
from pipelines.data.scenes import NAMES as SCENE_NAMES
from pipelines.data.scenes import load_scenes
from pipelines.data.tfds_source import (
    default_data_dir,
    is_tfds_folder,
    load_tfds,
    load_tfds_folder,
)

# Where the Debian package `dataset-fashion-mnist` puts its files.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

_FULL_FASHION = "fashion_mnist"
_TFDS_PREFIX = "tfds:"


def source_names() -> list[str]:
    """The names `load_dataset` knows without a path or a prefix."""
    return sorted([*EMBEDDED_NAMES, "embedded", _FULL_FASHION, *SCENE_NAMES])


def load_dataset(
    source: str | Path = "embedded",
    *,
    download: bool = False,
    image_size: tuple[int, int] | None = None,
) -> ImageDataset:
    """The data set at `source`: a name of `source_names()`, `tfds:NAME`, or a folder.

    A folder is a prepared tfds builder or holds, below `train` and `test` or directly (then one image
    in five is held out by a hash of its bytes), one folder of images per class, or a folder `images`
    and a folder `masks` with a PNG of class ids for each; or it holds images and COCO instances files.
    `image_size` (height, width) is what images of a folder or of tfds are resized to when they differ in
    size, and what scenes are composed at.
    Nothing is downloaded unless `download` says so.

    Raises:
        UnknownNameError: neither a known name nor an existing folder.
        DataError: the data is missing, damaged, empty or has one class only.
    """
    name = os.fspath(source)
    if name == "embedded":
        return load_embedded("fashion_mnist_small")
    if name in EMBEDDED_NAMES:
        return load_embedded(name)
    if name in SCENE_NAMES:
        return load_scenes(name, image_size=image_size, download=download)
    if name == _FULL_FASHION:
        return _full_fashion_mnist(download=download)
    if name.startswith(_TFDS_PREFIX):
        return load_tfds(name.removeprefix(_TFDS_PREFIX), download=download, image_size=image_size)
    folder = Path(name).expanduser()
    if folder.is_dir():
        if is_tfds_folder(folder):
            return load_tfds_folder(folder, image_size=image_size)
        if is_mask_folder(folder):
            return load_mask_folder(folder, image_size=image_size)
        if is_box_folder(folder):
            return load_box_folder(folder, image_size=image_size)
        return load_folder(folder, image_size=image_size)
    if folder.name != name:
        raise DataError(f"There is no folder {name}; give an existing folder or a name.")
    raise UnknownNameError("data set", name, source_names())


def _full_fashion_mnist(*, download: bool) -> ImageDataset:
    """From tfds if it is prepared there, else from the Debian package, else by download."""
    if (default_data_dir() / _FULL_FASHION).is_dir():
        return load_tfds(_FULL_FASHION)
    if DEBIAN_FASHION_MNIST.is_dir():
        return idx_fashion_mnist(DEBIAN_FASHION_MNIST)
    if download:
        return load_tfds(_FULL_FASHION, download=True)
    raise DataError(
        "The full Fashion-MNIST is not on this machine. Load it with download=True (--download) "
        "through tfds, or run: apt install dataset-fashion-mnist"
    )


def idx_fashion_mnist(folder: Path) -> ImageDataset:
    """Fashion-MNIST from the four IDX files it is published as."""
    splits = {}
    for name, prefix in (("train", "train"), ("test", "t10k")):
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
        splits[name] = ArraySplit(images, labels)
    return ImageDataset(
        name=_FULL_FASHION,
        class_names=FASHION_CLASSES,
        splits=splits,
        source=str(folder),
        licence="MIT",
    )

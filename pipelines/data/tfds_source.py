"""Data sets prepared by TensorFlow Datasets; nothing is downloaded unless asked for."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import DataError, EnvironmentFault, UnknownNameError
from pipelines.data.dataset import ImageDataset, LabelSplit
from pipelines.data.encoded import EncodedSplit, common_shape
from pipelines.data.tfds_boxes import box_sources, load_boxes, name_of
from pipelines.data.tfds_examples import read_examples
from pipelines.data.tfds_masks import load_masks, mask_sources

_HOLD_OUT_EVERY = 5


def default_data_dir() -> Path:
    """Where tfds keeps prepared data sets, found without importing it."""
    return Path(os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")).expanduser()


def is_tfds_folder(folder: Path) -> bool:
    """Whether `folder` is a version folder of a prepared tfds data set."""
    return (folder / "dataset_info.json").is_file()


def load_tfds(
    name: str, *, download: bool = False, image_size: tuple[int, int] | None = None
) -> ImageDataset:
    """The tfds data set `name`, which must be prepared on this machine unless `download` is given.

    Names of `mask_sources()` are segmentation data sets, those of `box_sources()` detection, all others
    classification.
    """
    tfds = import_tfds()
    masks = mask_sources()
    own = masks[name].builder if name in masks else name
    builder = prepared_builder(
        tfds, own, download=download, wanted=name, further=[*masks, *box_sources()]
    )
    return _dataset(tfds, builder, name, image_size)


def prepared_builder(
    tfds: Any, own: str, *, download: bool, wanted: str | None = None, further: Iterable[str] = ()
) -> Any:
    """The tfds builder `own`, whose data is there or is downloaded; `wanted` is what the user called it.

    Raises:
        UnknownNameError: tfds has no such data set; `further` are names suggested besides its own.
        DataError: it is not prepared and not to be downloaded, or its download failed.
    """
    name = wanted or own
    try:
        builder = tfds.builder(own, data_dir=default_data_dir(), try_gcs=False)
    except tfds.core.DatasetNotFoundError as error:
        raise UnknownNameError("tfds data set", name, [*further, *tfds.list_builders()]) from error
    except ValueError as error:
        raise DataError(f"tfds cannot load {name!r}: {_one_line(error)}") from error
    if not builder.is_prepared():
        if not download:
            raise DataError(
                f"tfds data set {name!r} is not prepared in {default_data_dir()}. Load it with "
                f"download=True (--download, needs a network), or run: tfds build {own}"
            )
        _prepare(tfds, builder)
    return builder


def load_tfds_folder(folder: Path, *, image_size: tuple[int, int] | None = None) -> ImageDataset:
    """A prepared data set from its version folder, without its generation code."""
    tfds = import_tfds()
    builder = folder_builder(tfds, folder)
    name = name_of(builder)
    return _dataset(tfds, builder, name if name in box_sources() else builder.name, image_size)


def folder_builder(tfds: Any, folder: Path) -> Any:
    """The tfds builder of a version folder, without its generation code."""
    try:
        return tfds.builder_from_directory(folder)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder} is not a tfds data set: {_one_line(error)}") from error


def import_tfds() -> Any:
    """The tfds package.

    Raises:
        EnvironmentFault: it is not installed.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise EnvironmentFault(
            f"tensorflow-datasets is not usable ({error}); install the 'train' extra."
        ) from error
    return tfds


def _prepare(tfds: Any, builder: Any) -> None:
    try:
        # array_record is the format with random access that needs no TensorFlow to read.
        builder.download_and_prepare(file_format="array_record")
    except Exception as error:  # tfds raises whatever its download and its data set's code raise
        raise DataError(
            f"tfds could not prepare {builder.name!r}: {_one_line(error)}. Check the network, or "
            "follow the data set's manual download note."
        ) from error


def _dataset(
    tfds: Any, builder: Any, name: str, image_size: tuple[int, int] | None
) -> ImageDataset:
    masks = mask_sources()
    if name in masks:
        return load_masks(tfds, builder, name, masks[name], image_size)
    boxes = box_sources()
    if name in boxes:
        return load_boxes(tfds, builder, name, boxes[name], image_size)
    image_key, label_key = _keys(tfds, builder, name)
    names = list(builder.info.splits)
    if "train" not in names:
        raise DataError(f"tfds data set {name!r} has no train split. Received: {names}")
    splits: dict[str, LabelSplit] = {
        "train": _split(tfds, builder, "train", image_key, label_key, image_size)
    }
    for candidate in ("test", "validation"):
        if candidate in names and "test" not in splits:
            split = _split(tfds, builder, candidate, image_key, label_key, image_size)
            # Some test splits are published without labels (-1).
            if split.labels.min() >= 0:
                splits["test"] = split
    if "test" not in splits:
        splits = _hold_out(splits["train"])
    return ImageDataset(
        name=name,
        class_names=tuple(builder.info.features[label_key].names),
        splits=splits,
        source=str(builder.data_dir),
        licence=getattr(builder.info.redistribution_info, "license", "") or "",
    )


def _keys(tfds: Any, builder: Any, name: str) -> tuple[str, str]:
    """The features that hold the image and its class."""
    features = builder.info.features
    images = [key for key, kind in features.items() if isinstance(kind, tfds.features.Image)]
    labels = [key for key, kind in features.items() if isinstance(kind, tfds.features.ClassLabel)]
    if builder.info.supervised_keys:
        image_key, label_key = builder.info.supervised_keys[:2]
        if image_key in images and label_key in labels:
            return image_key, label_key
    if len(images) == 1 and len(labels) == 1:
        return images[0], labels[0]
    raise DataError(
        f"tfds data set {name!r} is no image classification: it needs one image and one class. "
        f"Received: images {images}, classes {labels}"
    )


def _split(
    tfds: Any,
    builder: Any,
    name: str,
    image_key: str,
    label_key: str,
    image_size: tuple[int, int] | None,
) -> LabelSplit:
    examples = read_examples(tfds, builder, name, (image_key,), label_key)
    pictures = [example[image_key] for example in examples.first]
    declared = builder.info.features[image_key].shape
    if image_size is not None or None in declared:
        shape = common_shape(pictures, [examples.where] * len(pictures), image_size)
    else:
        shape = (declared[0], declared[1], 1 if declared[2] == 1 else 3)
    return EncodedSplit(
        lambda index: examples.at(index)[image_key],
        examples.labels,
        shape=shape,
        name_of=examples.name,
    )


def _hold_out(train: LabelSplit) -> dict[str, LabelSplit]:
    """One image in five for testing where a data set comes with a train split only."""
    order = np.random.default_rng(0).permutation(len(train))
    return {
        "train": train.part(np.sort(order[len(order) // _HOLD_OUT_EVERY :])),
        "test": train.part(np.sort(order[: len(order) // _HOLD_OUT_EVERY])),
    }


def _one_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0] or type(error).__name__

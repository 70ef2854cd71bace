"""Boxes from tfds, prepared in a temporary folder by the real builders with a few drawn examples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, UnknownNameError
from pipelines.data import BoxSplit, ImageDataset, Objects, load_dataset

SIZE = (8, 16)
COUNT = 3
BASES = {"train": 10, "validation": 20, "test": 30}


@pytest.fixture(scope="module")
def tfds() -> Any:
    return pytest.importorskip("tensorflow_datasets")


def prepare(tfds: Any, name: str, folder: Path, splits: list[str], example: Any) -> None:
    """Prepares `name` (with its configuration) with `example(value)`, without a download."""
    builder, config = name.split("/")
    real = tfds.builder_cls(builder)
    with tfds.core.registered.skip_registration():

        class Drawn(real):  # type: ignore[misc, valid-type]
            def _split_generators(self, *_: Any, **__: Any) -> dict[str, Any]:
                return {split: self._generate_examples(BASES[split]) for split in splits}

            def _generate_examples(self, first: int) -> Iterator[tuple[str, Any]]:
                if builder == "coco":
                    self.info.features["objects"]["label"].names = [f"class {i}" for i in range(80)]
                for value in range(first, first + COUNT):
                    yield f"{value}", example(tfds, value)

    Drawn.name = builder
    Drawn(data_dir=folder, file_format="array_record", config=config).download_and_prepare()


def coco(tfds: Any, value: int) -> Any:
    """An object, a crowd and one without height; none in the first training image."""
    boxes = [(0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 1.0, 0.25), (0.5, 0.5, 0.5, 0.75)]
    return {
        "image": np.full((*SIZE, 3), value, np.uint8),
        "image/filename": f"{value}.jpg",
        "image/id": value,
        "objects": [
            {
                "id": place,
                "area": 3,
                "bbox": tfds.features.BBox(*box),
                "label": value + place,
                "is_crowd": place == 1,
            }
            for place, box in enumerate(boxes)
            if value != BASES["train"]
        ],
    }


def voc(tfds: Any, value: int) -> Any:
    return {
        "image": np.full((SIZE[0], SIZE[1] + value % 2, 3), value, np.uint8),
        "image/filename": f"{value}.jpg",
        "objects": [
            {
                "bbox": tfds.features.BBox(0.125, 0.25, 0.5, 0.75),
                "label": place,
                "pose": 0,
                "is_truncated": False,
                "is_difficult": place == 1,
            }
            for place in (0, 1, 19)
        ],
        "labels": [0, 1, 19],
        "labels_no_difficult": [0, 19],
    }


@pytest.fixture(scope="module")
def prepared(tfds: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both builders' data."""
    folder = tmp_path_factory.mktemp("tfds")
    prepare(tfds, "coco/2017", folder, ["train", "validation", "test"], coco)
    prepare(tfds, "voc/2007", folder, ["train", "validation", "test"], voc)
    return folder


@pytest.fixture
def here(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    return prepared


def boxes_of(data: ImageDataset, name: str) -> dict[int, Objects]:
    """The objects by the value that their image is painted with."""
    split = data.splits[name]
    assert isinstance(split, BoxSplit)
    images, objects = split.read_boxed(range(len(split)))
    for left, right in zip(objects, split.known_objects() or objects, strict=True):
        np.testing.assert_array_equal(left.boxes, right.boxes)
    return {int(image.mean().round()): one for image, one in zip(images, objects, strict=True)}


def test_coco_is_tested_on_its_validation_images(here: Path) -> None:
    data = load_dataset("tfds:coco/2017")
    assert data.task == "detection"
    assert (data.num_classes, data.class_names[3]) == (80, "class 3")
    assert data.image_shape == (*SIZE, 3)
    train, test = boxes_of(data, "train"), boxes_of(data, "test")
    assert len(data.train.known_objects()) == COUNT  # type: ignore[attr-defined]
    assert sorted(train) == [10, 11, 12]
    assert sorted(test) == [20, 21, 22]
    assert len(train[10]) == 0
    assert train[11].boxes.tolist() == [[0.25, 0.5, 0.75, 1], [0, 0, 1, 0.25]]
    assert train[11].classes.tolist() == [11, 12]
    assert train[11].crowd.tolist() == [False, True]


def test_voc_trains_on_both_its_halves_and_difficult_objects_do_not_count(here: Path) -> None:
    data = load_dataset("tfds:voc/2007", image_size=(8, 8))
    assert (data.num_classes, data.class_names[0]) == (20, "aeroplane")
    assert sorted(boxes_of(data, "train")) == [10, 11, 12, 20, 21, 22]
    test = boxes_of(data, "test")
    assert sorted(test) == [30, 31, 32]
    assert test[30].classes.tolist() == [0, 1, 19]
    assert test[30].crowd.tolist() == [False, True, False]
    assert test[30].boxes.tolist() == [[0.125, 0.25, 0.5, 0.75]] * 3
    with pytest.raises(DataError, match=r"differ in size.*image_size"):
        load_dataset("tfds:voc/2007")


def test_a_version_folder_is_recognised(here: Path) -> None:
    (folder,) = (here / "coco" / "2017").iterdir()
    data = load_dataset(folder)
    assert (data.name, data.task, data.num_classes) == ("coco/2017", "detection", 80)


def test_a_set_too_large_for_memory_is_read_at_random(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.data.tfds_examples._MEMORY_BYTES", 0)
    with pytest.raises(DataError, match=r"too many to compare.*image_size=\(height, width\)"):
        load_dataset("tfds:coco/2017")
    data = load_dataset("tfds:coco/2017", image_size=SIZE)
    train = boxes_of(data, "train")
    assert data.train.known_objects() is None  # type: ignore[attr-defined]
    assert sorted(train) == [10, 11, 12]
    assert train[12].classes.tolist() == [12, 13]


def test_an_unprepared_set_names_the_builder_to_prepare(
    tfds: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"tfds build coco/2017$"):
        load_dataset("tfds:coco/2017")
    with pytest.raises(UnknownNameError, match="coco/2017 or"):
        load_dataset("tfds:cocos/2017")


def test_a_set_without_its_splits_is_refused(
    tfds: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tfds, "voc/2007", tmp_path, ["train", "test"], voc)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"needs the splits \['test', 'train', 'validation'\]"):
        load_dataset("tfds:voc/2007")

"""Masks from tfds, prepared in a temporary folder by the real builders with a few drawn examples."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, UnknownNameError
from pipelines.data import IGNORED, ImageDataset, MaskSplit, load_dataset
from pipelines.data.tfds_masks import mask_sources

RNG = np.random.default_rng(0)
SIZE = (6, 8)
COUNT = 3


@pytest.fixture(scope="module")
def tfds() -> Any:
    return pytest.importorskip("tensorflow_datasets")


def prepare(tfds: Any, name: str, folder: Path, example: Any) -> None:
    """Prepares the builder `name` with `example(index)` for train and test, without a download."""
    real = tfds.builder_cls(name)
    with tfds.core.registered.skip_registration():

        class Drawn(real):  # type: ignore[misc, valid-type]
            def _split_generators(self, *_: Any, **__: Any) -> dict[str, Any]:
                return {"train": self._generate_examples(0), "test": self._generate_examples(50)}

            def _generate_examples(self, first: int) -> Iterator[tuple[int, Any]]:
                for index in range(first, first + COUNT):
                    yield index, example(index)

    Drawn.name = name
    Drawn(data_dir=folder, file_format="array_record").download_and_prepare()


def colours() -> Any:
    return RNG.integers(0, 256, (*SIZE, 3), dtype=np.uint8)


def objects(index: int) -> Any:
    """Instance annotations: the category in the red channel, the number of the instance in the green one."""
    mask = np.zeros((*SIZE, 3), dtype=np.uint8)
    mask[0, :5, 0] = 0, 1, 31, 32, 100
    mask[1:, :, 0] = 1 + index
    mask[..., 1] = 77
    return {"image": colours(), "annotation": mask}


def pet(index: int) -> Any:
    trimap = np.full((*SIZE, 1), 2, dtype=np.uint8)
    trimap[0, :3, 0] = 1, 2, 3
    return {
        "image": colours(),
        "label": index % 37,
        "species": 0,
        "file_name": f"{index}.jpg",
        "segmentation_mask": trimap,
    }


@pytest.fixture(scope="module")
def prepared(tfds: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with both builders' data."""
    folder = tmp_path_factory.mktemp("tfds")
    features = tfds.builder_cls("oxford_iiit_pet")(data_dir=folder).info.features

    def described(index: int) -> Any:
        example = pet(index) | {"head_bbox": tfds.features.BBox(0.0, 0.0, 1.0, 1.0)}
        return {key: example[key] for key in features}

    prepare(tfds, "scene_parse150", folder, objects)
    prepare(tfds, "oxford_iiit_pet", folder, described)
    return folder


@pytest.fixture
def here(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    return prepared


def masks_of(data: ImageDataset, name: str = "train") -> Any:
    split = data.splits[name]
    assert isinstance(split, MaskSplit)
    images, masks = split.read_pairs(range(len(split)))
    assert images.shape == (COUNT, *split.image_shape)
    return masks


def test_scene_parse_keeps_every_category_and_ignores_the_rest(here: Path) -> None:
    data = load_dataset("tfds:scene_parse150", image_size=SIZE)
    assert data.task == "segmentation"
    assert data.num_classes == 101
    assert (data.class_names[1], data.class_names[31], data.class_names[100]) == (
        "bed",
        "stairs",
        "flag",
    )
    masks = masks_of(data)
    for mask in masks:
        assert mask[0, :5].tolist() == [IGNORED, 1, 31, 32, 100]
    assert {int(mask[3, 3]) for mask in masks} == {1, 2, 3}
    assert {int(mask[3, 3]) for mask in masks_of(data, "test")} == {51, 52, 53}


def test_the_32_classes_are_the_first_31_ids_and_an_unused_0(here: Path) -> None:
    data = load_dataset("tfds:scene_parse150_32", image_size=SIZE)
    assert data.num_classes == 32
    for mask in masks_of(data):
        assert mask[0, :5].tolist() == [IGNORED, 1, 31, IGNORED, IGNORED]
    # Every id of the test examples is above 31 but those in their first line.
    assert set(np.unique(masks_of(data, "test")[:, 1:])) == {IGNORED}


def test_gray_masks_are_those_of_scene_parsing() -> None:
    for name, last in (("scene_parse150", 150), ("scene_parse150_32", 31)):
        labels = mask_sources()[name].labels["L"]
        assert len(labels.names) == last + 1
        assert len(set(labels.names)) == last + 1
        expected = [IGNORED, *range(1, last + 1), *[IGNORED] * (255 - last)]
        assert labels.relabel.tolist() == expected
        assert labels.names[1:4] == ("wall", "building", "sky")


def test_pets_are_pet_background_and_an_ignored_border(here: Path) -> None:
    data = load_dataset("tfds:oxford_iiit_pet_masks", image_size=SIZE)
    assert data.class_names == ("background", "pet")
    for mask in masks_of(data):
        assert mask[0, :3].tolist() == [1, 0, IGNORED]
        assert not mask[1:].any()


def test_pets_without_masks_stay_a_classification(here: Path) -> None:
    data = load_dataset("tfds:oxford_iiit_pet", image_size=SIZE)
    assert data.task == "classification"
    assert data.num_classes == 37


def test_a_version_folder_is_recognised(here: Path) -> None:
    data = load_dataset(here / "scene_parse150" / "1.0.0")
    assert data.num_classes == 101
    assert data.image_shape == (*SIZE, 3)


def test_an_unprepared_set_names_the_builder_to_prepare(
    tfds: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match=r"tfds build scene_parse150$"):
        load_dataset("tfds:scene_parse150_32")
    with pytest.raises(UnknownNameError, match="scene_parse150_32"):
        load_dataset("tfds:scene_parse150_33")

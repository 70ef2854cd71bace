"""tfds: a prepared data set reads in both formats; one that is not prepared is refused at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import DataError, UnknownNameError
from pipelines.data import ImageDataset, load_dataset, tfds_examples

COUNT = 12
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 6, 5, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def tfds() -> Any:
    return pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module")
def builder_class(tfds: Any) -> type:
    class TinyShapes(tfds.core.GeneratorBasedBuilder):
        """A data set with a train split only and one further feature."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            features = {
                "image": tfds.features.Image(shape=(6, 5, 1)),
                "label": tfds.features.ClassLabel(names=["round", "square"]),
                "id": np.int64,
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
            )

        def _split_generators(self, _: Any) -> dict[str, Any]:
            return {"train": self._generate_examples()}

        def _generate_examples(self) -> Iterator[tuple[int, dict[str, Any]]]:
            for index in range(COUNT):
                yield index, {"image": PIXELS[index], "label": index % 2, "id": index}

    return TinyShapes


@pytest.fixture(scope="module", params=["array_record", "tfrecord"])
def prepared(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    builder_class: Any,
) -> Path:
    """The data folder of a prepared data set."""
    folder = tmp_path_factory.mktemp(request.param)
    builder_class(data_dir=folder, file_format=request.param).download_and_prepare()
    return folder


def check(data: ImageDataset) -> None:
    """Every image came through, with its label, on one of the two sides."""
    assert data.class_names == ("round", "square")
    assert data.image_shape == (6, 5, 1)
    assert (len(data.train), len(data.test)) == (10, 2)
    label_of = {PIXELS[index].tobytes(): index % 2 for index in range(COUNT)}
    seen = set()
    for split in data.splits.values():
        images = split.read(range(len(split)))
        for image, label in zip(images, split.labels, strict=True):
            assert label_of[image.tobytes()] == label
            seen.add(image.tobytes())
    assert len(seen) == COUNT


def test_a_prepared_data_set_by_name(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    check(load_dataset("tfds:tiny_shapes"))


def test_a_version_folder_without_its_code(prepared: Path) -> None:
    check(load_dataset(prepared / "tiny_shapes" / "1.0.0"))


def test_a_set_too_large_for_memory_is_read_at_random(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfds_examples, "_MEMORY_BYTES", 1)
    folder = prepared / "tiny_shapes" / "1.0.0"
    if prepared.name.startswith("tfrecord"):
        with pytest.raises(DataError, match="file_format=array_record"):
            load_dataset(folder)
    else:
        check(load_dataset(folder))


def test_what_is_not_prepared_is_refused_without_a_download(
    tfds: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(DataError, match="tfds build cifar10") as caught:
        load_dataset("tfds:cifar10")
    assert str(tmp_path) in str(caught.value)


def test_an_unknown_tfds_name_gets_a_suggestion(
    tfds: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(UnknownNameError, match="fashion_mnist"):
        load_dataset("tfds:fashion_mnits")


def test_a_damaged_version_folder_is_refused(tfds: Any, tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(DataError, match="is not a tfds data set") as caught:
        load_dataset(tmp_path)
    assert "\n" not in str(caught.value)

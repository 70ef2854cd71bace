"""Weights folders: what is saved loads back checked, and nothing corrupt, swapped or unknown gets in."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import model_zoo
from hw_model.errors import DataError, EnvironmentFault, UnknownNameError, UsageError
from model_zoo import presets


@pytest.fixture(scope="module")
def folder(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder holding the small model under the name `mine`."""
    root = tmp_path_factory.mktemp("weights")
    presets.save_preset(small, root, "mine", data_licence="MIT")
    return root


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.mark.backends
def test_a_saved_preset_loads_with_everything(folder: Path, small: Any) -> None:
    model = model_zoo.load_model(folder)
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    np.testing.assert_allclose(
        model.predict(images, verbose=0), small.predict(images, verbose=0), atol=1e-6
    )
    assert model.spec == small.spec
    assert model.preprocessing == small.preprocessing
    assert model.weights_origin == "preset:mine"
    preset = presets.get(folder)
    assert preset.param_count == small.spec.graph().param_count
    assert model_zoo.load_model(folder, num_classes=4).output_shape == (None, 4)


def test_a_changed_byte_is_refused(copy: Path) -> None:
    path = copy / "mine" / "model.weights.h5"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"model\.weights\.h5 is corrupt or another file"):
        model_zoo.load_model(copy)


def test_a_swapped_weight_file_is_refused(copy: Path, tmp_path: Path) -> None:
    other = model_zoo.create_model(
        "mobilenet_edgetpu_v2_tiny",
        num_classes=10,
        input_shape=(28, 28, 1),
        strides="fit",
        width=0.25,
    )
    other.layers[-3].set_weights([weight + 1 for weight in other.layers[-3].get_weights()])
    presets.save_preset(other, tmp_path / "other", "mine")
    shutil.copy(tmp_path / "other/mine/model.weights.h5", copy / "mine/model.weights.h5")
    with pytest.raises(DataError, match="corrupt or another file"):
        model_zoo.load_model(copy)


def test_a_missing_file_and_a_missing_manifest_are_named(copy: Path) -> None:
    (copy / "mine/model.weights.h5").unlink()
    with pytest.raises(DataError, match=r"model\.weights\.h5 is missing"):
        model_zoo.load_model(copy)
    (copy / "MANIFEST.json").unlink()
    with pytest.raises(DataError, match="no weights folder"):
        model_zoo.load_model(copy)


@pytest.mark.parametrize(
    "text", ["", "{}", '{"version": 2, "presets": []}', '{"version":1,"presets":[{}]}']
)
def test_a_corrupt_manifest_is_named(copy: Path, text: str) -> None:
    (copy / "MANIFEST.json").write_text(text)
    with pytest.raises(DataError, match="MANIFEST"):
        presets.get(copy)


def test_an_edited_spec_is_refused(copy: Path) -> None:
    path = copy / "mine/spec.json"
    path.write_text(path.read_text().replace('"drop_connect": 0.05', '"drop_connect": 0.06'))
    with pytest.raises(DataError, match="corrupt or another file"):
        presets.spec_of(copy)


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="does not hold this network's weights"):
        model_zoo.create_model(
            "mobilenet_edgetpu_v2_tiny", weights=str(folder / "mine/model.weights.h5")
        )
    with pytest.raises(UnknownNameError, match="preset or weight file"):
        model_zoo.create_model("mobilenet_edgetpu_v2_tiny", weights="imagenet")
    with pytest.raises(UnknownNameError, match="preset"):
        model_zoo.load_model("mobilenet_tiny_imagenet")


def test_a_second_preset_joins_and_the_first_stays(copy: Path, small: Any) -> None:
    presets.save_preset(small, copy, "second")
    assert [preset.name for preset in presets.read_manifest(copy).presets] == ["mine", "second"]
    with pytest.raises(DataError, match="exactly one preset"):
        presets.get(copy)
    with pytest.raises(UsageError, match="plain file name"):
        presets.save_preset(small, copy, "../escape")


def test_a_write_that_fails_leaves_the_folder_as_it_was(
    copy: Path, small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}

    def full_disk(path: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(small, "save_weights", full_disk)
    with pytest.raises(EnvironmentFault, match="No space left"):
        presets.save_preset(small, copy, "mine")
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_shipped_presets_are_listed_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(presets.FOLDER_VARIABLE, str(folder))
    assert model_zoo.list_models(pretrained=True) == ["mine"]
    assert model_zoo.create_model("mine").weights_origin == "preset:mine"
    assert model_zoo.create_model("mine", num_classes=3).output_shape == (None, 3)
    model = model_zoo.create_model(
        "mobilenet_edgetpu_v2_tiny",
        weights="mine",
        num_classes=5,
        input_shape=(28, 28, 1),
        strides="fit",
        width=0.25,
    )
    assert model.weights_origin == "preset:mine"
    with pytest.raises(DataError, match="another network"):
        model_zoo.create_model("mobilenet_edgetpu_v2_s", weights="mine")


def test_a_manifest_is_readable_json(folder: Path) -> None:
    data = json.loads((folder / "MANIFEST.json").read_text())
    assert data["presets"][0]["spec_id"] == presets.get(folder).spec_id

"""Presets of text networks: the vocabulary travels with weights and `.keras` files, and another one is refused."""

import shutil
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

from hw_model.errors import DataError, UsageError
from model_zoo import presets
from model_zoo.preprocessing import Preprocessing
from model_zoo.text import save_preprocessor

sys.path.insert(0, str(Path(__file__).parents[1] / "pipelines"))

from questions_kit import reading, small_model, small_spec, words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with the preset `qa`."""
    root = tmp_path_factory.mktemp("text") / "weights"
    presets.save_preset(small_model(), root, "qa")
    return root


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """A copy a test may damage."""
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.mark.backends
def test_the_preprocessing_is_saved_with_the_weights(folder: Path, tmp_path: Path) -> None:
    preset = presets.get(folder)
    assert preset.reading is not None
    assert (preset.reading.tokens, preset.reading.settings) == (len(words()), reading().settings)
    model = presets.load_model(folder)
    assert model.preprocessing == reading()
    model.save(tmp_path / "qa.keras")
    assert keras.saving.load_model(tmp_path / "qa.keras").preprocessing == reading()
    assert model.with_length(40).preprocessing == reading(40)
    assert model.with_length(None).preprocessing == reading()


def test_words_without_a_task_are_kept_too(tmp_path: Path) -> None:
    model = small_model(preprocessing=None)
    presets.save_preset(model, tmp_path, "words", vocabulary=words())
    assert presets.read_text(*presets.find(tmp_path)) == words()
    assert presets.load_model(tmp_path).preprocessing is None


def test_a_run_whose_manifest_names_no_vocabulary_is_read(tmp_path: Path) -> None:
    presets.save_preset(small_model(preprocessing=None), tmp_path, "old")
    assert presets.read_text(*presets.find(tmp_path)) is None
    save_preprocessor(reading(), tmp_path / "old")
    assert presets.load_model(tmp_path).preprocessing == reading()


def test_another_vocabulary_is_refused(copy: Path) -> None:
    path = copy / "qa" / "vocab.txt"
    path.write_text(path.read_text().replace("keeper", "sleeper"))
    with pytest.raises(DataError, match=r"vocab\.txt is corrupt or another file"):
        presets.load_model(copy)
    path.unlink()
    with pytest.raises(DataError, match=r"vocab\.txt is missing"):
        presets.load_model(copy)


def test_a_model_takes_no_preprocessing_of_another_network() -> None:
    spec: Any = small_spec()
    spec = type(spec)(
        input=type(spec.input)(vocabulary_size=9), encoder=spec.encoder, head=spec.head
    )
    with pytest.raises(DataError, match="embed 9"):
        small_model(spec)
    with pytest.raises(UsageError, match="reads text"):
        small_model(preprocessing=Preprocessing(height=8, width=8))

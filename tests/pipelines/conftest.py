"""One small network that answers questions, saved in every form once for all tests below this folder."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from questions_kit import Files, small_data, small_model, words


@pytest.fixture(scope="session")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The network as a weights folder with the preset `qa`, a `.keras` file, an int8 file and a vocabulary."""
    pytest.importorskip("tokenizers")
    from model_zoo import presets
    from model_zoo.text import write_vocabulary
    from pipelines.export import export_int8

    root = tmp_path_factory.mktemp("answerer")
    model, data = small_model(), small_data()
    files = Files(root / "qa", root / "qa.keras", root / "qa.tflite", root / "words.txt")
    presets.save_preset(model, files.folder, "qa", data_licence="CC0")
    model.save(files.keras)
    write_vocabulary(words(), files.vocabulary)
    export_int8(model, data, files.tflite, evaluate_on=data.test, progress=False)
    return files

"""`edgezoo import` of trained `.tflite` files: the preset answers as the file does, or nothing is written."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")

from hw_model.files import sha256_of
from model_zoo import presets
from model_zoo.spec import text_spec

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run

pytestmark = pytest.mark.skipif(
    os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow",
    reason="shipped networks answer beside their files on one backend",
)
CLASSIFIER = "mobilenet_edgetpu_v2_tiny_fashion_mnist"
#: One rounding of the file leaves 0.29 of its steps; in a product or a sum of two scales it is rounded again.
STEPS = 0.4


def _file(root: Path, name: str) -> Path:
    return root / "weights" / name / "model_int8.tflite"


@pytest.mark.parametrize(
    "name",
    [
        CLASSIFIER,
        pytest.param("autoseg_edgetpu_xs_composed_scenes", marks=pytest.mark.slow),
        pytest.param("spaghettinet_edgetpu_s_composed_scenes", marks=pytest.mark.slow),
    ],
)
def test_a_shipped_file_comes_back_as_its_preset(run: "Run", root: Path, name: str) -> None:
    ran = run("import", _file(root, name), "--out", "w", "--name", "back", "--json")
    assert ran.code == 0, ran
    answer, shipped = ran.json, presets.get(name)
    assert answer["spec_id"] == shipped.spec_id
    assert 0.25 < max(answer["layer_steps"].values()) < STEPS
    preset = presets.get("w")
    assert preset.class_names == shipped.class_names
    assert preset.preprocessing == shipped.preprocessing
    assert preset.licence == "unknown"
    assert preset.source is not None
    assert preset.source.files[0].sha256 == sha256_of(_file(root, name))
    for ours, theirs in zip(_scores(presets.load_model("w")), _scores_of(name), strict=True):
        # Weights of 8 bits against those they were rounded from.
        noise = np.mean((ours - theirs) ** 2)
        assert 10 * np.log10(np.var(theirs) / noise) > 10


def _scores_of(name: str) -> list[Any]:
    return _scores(presets.load_model(name))


def _scores(model: Any) -> list[Any]:
    import keras

    from pipelines.export.agreement import patterns

    size = model.spec.input
    inputs = model.preprocessing(patterns((size.height, size.width, size.channels), 8))
    return [np.asarray(each) for each in keras.tree.flatten(model.predict_on_batch(inputs))]


def test_another_answer_than_the_files_is_not_written(
    run: "Run", root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_zoo.importers import tflite

    right = tflite.weights_of

    def turned(match: Any) -> Any:
        weights = right(match)
        (kernel,) = weights["stack_14_block_0_depthwise_conv2d"]
        return weights | {"stack_14_block_0_depthwise_conv2d": [kernel.transpose(1, 0, 2, 3)]}

    monkeypatch.setattr(tflite, "weights_of", turned)
    line = run("import", _file(root, CLASSIFIER), "--out", "w").failed(3)
    assert "stack_14_block_0_depthwise_activation does not do what the file does" in line
    assert "nothing was written" in line
    assert not Path("w").exists()


def test_images_of_ones_own(run: "Run", root: Path) -> None:
    from PIL import Image

    from pipelines.cli import import_model

    shapes = np.random.default_rng(0).integers(0, 255, (3, 40, 30, 3), dtype=np.uint8)
    Path("photos").mkdir()
    for number, image in enumerate(shapes):
        Image.fromarray(image).save(Path("photos") / f"{number}.png")
    found = import_model._images(["photos", "photos/2.png"])
    assert [image.shape for image in found] == [(40, 30, 3)] * 4
    np.testing.assert_array_equal(found[1], shapes[1])
    np.testing.assert_array_equal(found[3], shapes[2])
    Path("empty").mkdir()
    assert "no images in empty" in run(
        "import", _file(root, CLASSIFIER), "--out", "w", "--images", "empty"
    ).failed(3)


def test_mistakes_get_one_line_before_keras_is_loaded(run: "Run", root: Path) -> None:
    whole = _file(root, CLASSIFIER).read_bytes()
    Path("half.tflite").write_bytes(whole[: len(whole) // 2])
    assert "truncated or corrupt" in run("import", "half.tflite", "--out", "w").failed(3)
    assert "No file at none.tflite" in run("import", "none.tflite", "--out", "w").failed(3)
    named = run(
        "import", _file(root, CLASSIFIER), "--out", "w", "--model", "efficientnet_edgetpu_s"
    )
    assert "looks like mobilenet_edgetpu_v2_tiny" in named.failed(3)
    unknown = run(
        "import", _file(root, CLASSIFIER), "--out", "w", "--model", "eficientnet_edgetpu_s"
    )
    assert "efficientnet_edgetpu_s" in unknown.failed(2)
    words = ("import", _file(root, CLASSIFIER), "--out", "w", "--averages")
    assert "for checkpoints" in run(*words).failed(2)


@pytest.mark.slow
def test_a_network_that_answers_questions(run: "Run", answerer: Any) -> None:
    Path("spec.json").write_text(presets.spec_of(answerer.folder).to_json(), encoding="utf-8")
    words = ("import", answerer.tflite, "--out", "w", "--model", "spec.json")
    ran = run(*words, "--json")
    assert ran.code == 0, ran
    assert max(ran.json["layer_steps"].values()) < 1
    model = presets.load_model("w")
    assert model.preprocessing == presets.load_model(answerer.folder).preprocessing
    size = text_spec(model.spec).input
    assert size.max_length == size.sequence_length


@pytest.mark.slow
def test_the_published_classifier(run: "Run", shared_dir: Path) -> None:
    path = shared_dir / "data" / "teachers" / "mobilenet_edgetpu_224_1.0_uint8.tflite"
    if not path.is_file():
        pytest.skip("no published file on this machine")
    answer = run("import", path, "--out", "w", "--json").json
    assert answer["architecture"] == "mobilenet_edgetpu_v1_dm1p0"
    assert max(answer["layer_steps"].values()) < STEPS
    (scores,) = answer["agreement"]
    assert scores["agreement_db"] > 10
    assert presets.get("w").name == path.stem
    own = presets.get("w").preprocessing
    assert own is not None
    assert own.mean == 128

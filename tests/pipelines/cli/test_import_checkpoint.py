"""`edgezoo import` of checkpoints: a preset with its source, of weights or their averages, or one line of why not."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_zoo import presets
from model_zoo.spec.image import Backbone, ClassifierHead, ImageInput, ModelSpec, Stack, Stem

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="checkpoints are read by TensorFlow"
)

Run = Callable[..., Any]
STATISTICS = ("gamma", "beta", "moving_mean", "moving_variance")
#: A slim MobileNetEdgeTPU of one block, by its published names.
SHAPES: dict[str, tuple[int, ...]] = {
    "MobilenetEdgeTPU/Conv/weights": (3, 3, 3, 4),
    **{f"MobilenetEdgeTPU/Conv/BatchNorm/{part}": (4,) for part in STATISTICS},
    "MobilenetEdgeTPU/expanded_conv/project/weights": (1, 1, 4, 5),
    **{f"MobilenetEdgeTPU/expanded_conv/project/BatchNorm/{part}": (5,) for part in STATISTICS},
    "MobilenetEdgeTPU/Conv_1/weights": (1, 1, 5, 6),
    **{f"MobilenetEdgeTPU/Conv_1/BatchNorm/{part}": (6,) for part in STATISTICS},
    "MobilenetEdgeTPU/Logits/Conv2d_1c_1x1/weights": (1, 1, 6, 2),
    "MobilenetEdgeTPU/Logits/Conv2d_1c_1x1/biases": (2,),
}


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    spec = ModelSpec(
        family="mobilenet_edgetpu_v1",
        input=ImageInput(height=8, width=8),
        backbone=Backbone(
            stem=Stem(kernel=3, filters=4), stacks=(Stack(kind="project", kernel=1, filters=5),)
        ),
        head=ClassifierHead(num_classes=2, top_filters=6),
    )
    path = tmp_path / "spec.json"
    path.write_text(spec.to_json())
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Ones, and averages of two."""
    import tensorflow as tf

    names = [*SHAPES, *(f"{name}/ExponentialMovingAverage" for name in SHAPES)]
    values = [tf.ones(shape) for shape in SHAPES.values()]
    path = tmp_path / "model.ckpt-9"
    tf.raw_ops.SaveV2(
        prefix=str(path),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[*values, *(2 * value for value in values)],
    )
    return path


def test_a_checkpoint_becomes_a_preset(
    run: Run, checkpoint: Path, spec_file: Path, tmp_path: Path
) -> None:
    for averages, value in (((), 1), (("--averages",), 2)):
        out = tmp_path / f"out-{value}"
        ran = run(
            "import", checkpoint, "--model", spec_file, "--out", out, "--licence", "MIT", *averages,
            "--json",
        )  # fmt: skip
        assert ran.code == 0, ran.err
        assert (ran.json["preset"], ran.json["averages"]) == ("model.ckpt-9", bool(averages))
        preset = presets.get(out)
        assert preset.source is not None
        assert [each.path for each in preset.source.files] == [
            "model.ckpt-9.data-00000-of-00001",
            "model.ckpt-9.index",
        ]
        assert preset.licence == "MIT"
        weights = presets.load_model(out).get_weights()
        assert all(np.all(array == value) for array in weights)


def test_what_cannot_be_imported_is_one_line(
    run: Run, checkpoint: Path, spec_file: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "out")
    for words, code, says in (
        ((checkpoint, "--model", "mobilenet_edgetpu_v1_dm1p0"), 3, "Conv/weights must have shape"),
        ((checkpoint, "--model", "mobilenet_edgetpu_v1_dm1"), 2, "Did you mean"),
        ((checkpoint,), 3, "no network of this zoo (slim MobileNetEdgeTPU); name its architecture"),
        ((checkpoint, "--model", spec_file, "--images", "x.png"), 2, "--images is for .tflite"),
        ((tmp_path / "model.pth", "--model", spec_file), 3, "is a pickle"),
        (("x.tflite", "--averages"), 2, "is for checkpoints"),
        (("https://example.org/x.tflite",), 2, "only with the SHA-256"),
        (("https://example.org/model.tar.gz",), 2, "only with the SHA-256"),
    ):
        ran = run("import", *words, *out)
        assert (ran.code, ran.err.count("\n")) == (code, 1), ran.err
        assert says in ran.err
    assert not (tmp_path / "out").exists()

"""Group convolutions with a learned range, in an int8 file: that range, on all sides of the concatenation."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.io.tflite_file import load
from model_zoo.nn.layers import GroupConv2D
from model_zoo.nn.model import ZooModel
from model_zoo.spec import Backbone, ClassifierHead, ImageInput, ModelSpec, Stack, Stem
from pipelines.export import Int8Runner, export_int8

HIGH = 2.55


@pytest.fixture(scope="module")
def model() -> Any:
    spec = ModelSpec(
        family="mobilenet_edgetpu_v2",
        input=ImageInput(height=12, width=12, channels=3),
        backbone=Backbone(
            stem=Stem(kernel=3, filters=8),
            stacks=(Stack(kind="group_fused", filters=8, expansion=4, group_size=16),),
        ),
        head=ClassifierHead(num_classes=2, top_filters=8),
    )
    model = ZooModel(spec, group_fake_quant=True)
    (groups,) = (layer for layer in model.layers if isinstance(layer, GroupConv2D))
    assert groups.fake_quant is not None
    groups.fake_quant.high.assign(HIGH)
    return model


def test_concatenated_groups_share_the_learned_range(
    model: Any, make_images: Callable[..., Any], tmp_path: Path
) -> None:
    images = make_images(model.spec, 8)
    path = tmp_path / "m.tflite"
    certificate = export_int8(model, images, path, allow_untrained=True, progress=False)
    assert certificate.all_int8
    assert certificate.differences == ()
    assert certificate.sqnr.min_db > 10
    file = load(path)
    (concat,) = (op for op in file.operators if op.code == "CONCATENATION")
    for index in (*concat.inputs, *concat.outputs):
        found = file.tensors[index].quantization
        assert found is not None
        assert found.scale == pytest.approx(HIGH / 255, rel=1e-5)
        assert found.zero_point == -128
    inputs = model.preprocessing(images)
    with Int8Runner(path) as runner:
        assert np.abs(runner(inputs) - model.predict(inputs, verbose=0)).max() < 0.05

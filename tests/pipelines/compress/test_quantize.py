"""Quantization-aware training by model optimization: zeros and clusters kept, and files without floats."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.io import float_operators, tensor_quantization
from pipelines.compress.measure import kernels_of, zero_share
from pipelines.compress.quantize import train_rounded, write_file
from pipelines.data import ImageDataset
from pipelines.export import Int8Runner
from pipelines.train.recipe import parse_recipe
from tests.pipelines.compress.conftest import answers_of
from tests.pipelines.compress.test_bridge import FAMILIES

EPOCH = parse_recipe(
    {
        "batch_size": 16,
        "optimizer": {"name": "adamw", "learning_rate": 1e-4},
        "stages": [{"epochs": 1, "train_batch_norm": False}],
    }
)


def reduced(model: Any, change: Any) -> Any:
    """A copy whose kernels that can be changed are."""
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    for layer in copy.layers:
        for kernel in getattr(layer, "kernels", []) or [getattr(layer, "kernel", None)]:
            if kernel is not None and "depthwise" not in layer.name:
                kernel.assign(change(np.asarray(kernel)))
    return copy


@pytest.mark.slow
def test_zeros_stay_zeros_and_the_file_answers_as_the_network(
    model: Any, data: ImageDataset, tmp_path: Path
) -> None:
    sparse = reduced(model, lambda w: np.where(np.abs(w) < np.median(np.abs(w)), 0, w))
    statistics = sparse.get_layer("stem_bn").get_weights()
    rounded = train_rounded(sparse, data, EPOCH, keep="zeros", progress=False)
    before, after = kernels_of(sparse), kernels_of(rounded.model)
    assert zero_share(before) > 0.4
    for name, kernel in before.items():
        np.testing.assert_array_equal(after[name] == 0, kernel == 0, err_msg=name)
        assert not np.array_equal(after[name], kernel), name
    for now, old in zip(rounded.model.get_layer("stem_bn").get_weights(), statistics, strict=True):
        np.testing.assert_array_equal(now, old)  # norms were frozen
    path = tmp_path / "rounded.tflite"
    write_file(rounded, data, path)
    assert not float_operators(path.read_bytes())
    inputs = model.preprocessing(data.test.read(np.arange(16)))
    (wanted,) = answers_of(rounded.model, inputs)
    runner = Int8Runner(path)
    found = np.concatenate([runner(inputs[i : i + 1]) for i in range(len(inputs))])
    assert np.abs(found - wanted).max() < 0.1
    assert np.mean(found.argmax(-1) == wanted.argmax(-1)) > 0.8
    # The file holds a range the twin learned: no sample decides it.
    for variable in rounded.twin.get_layer("quant_stem_activation").weights:
        if variable.name.endswith("output_max:0"):
            variable.assign(51.0)
    write_file(rounded, data, path)
    scales = [entry.scale[0] for entry in tensor_quantization(path) if not entry.per_channel]
    assert min(abs(scale - 51 / 255) for scale in scales) < 2e-3


@pytest.mark.slow
def test_clusters_stay_clusters(model: Any, data: ImageDataset) -> None:
    steps = reduced(model, lambda w: np.round(w / np.abs(w).max() * 3) * np.abs(w).max() / 3)
    rounded = train_rounded(steps, data, EPOCH, keep="clusters", progress=False)
    before, after = kernels_of(steps), kernels_of(rounded.model)
    for name, kernel in before.items():
        assert not np.array_equal(after[name], kernel), name
        for channel in range(kernel.shape[-1]):
            count = len(np.unique(kernel[..., channel]))
            assert count <= 7
            assert len(np.unique(after[name][..., channel])) <= count, name


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_image_family_becomes_a_file_without_floats(name: str, tmp_path: Path) -> None:
    import keras

    from model_zoo import create_spec
    from pipelines.compress.bridge import to_legacy
    from pipelines.compress.quantize import Rounded, rounded_twin
    from tests.pipelines.export.conftest import images_of, trained_model

    keras.utils.set_random_seed(0)
    model = trained_model(create_spec(name, **FAMILIES[name]))
    images = images_of(model.spec, 8)
    twin = rounded_twin(to_legacy(model), [model.preprocessing(images)])
    path = tmp_path / "rounded.tflite"
    write_file(Rounded(model=model, losses=(), seconds=0.0, twin=twin), images, path)
    assert not float_operators(path.read_bytes())

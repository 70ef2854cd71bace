"""Pruning and clustering of a small network: what is asked for is reached and kept, on every way from there."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import EdgeZooError, UsageError
from model_zoo import create_spec, presets
from pipelines.compress.measure import distinct, kernels_of, zero_share
from pipelines.compress.methods import cluster, prune
from pipelines.data import ImageDataset, load_dataset
from pipelines.export import export_int8
from pipelines.train.recipe import parse_recipe
from tests.pipelines.export.conftest import trained_model

EPOCHS = {"batch_size": 16, "epochs": 2, "optimizer": {"name": "adamw", "learning_rate": 1e-3}}


def int8_zeros(path: Path) -> float:
    """Share of zeros in the file's convolutions that are not depthwise, read by the runtime."""
    from pipelines.export.runner import make_interpreter

    interpreter = make_interpreter(path.read_bytes())
    weights = [
        interpreter.get_tensor(entry["index"])
        for entry in interpreter.get_tensor_details()
        if entry["dtype"] == np.int8 and len(entry["shape"]) == 4 and entry["shape"][0] > 1
    ]
    assert weights
    return sum(int((w == 0).sum()) for w in weights) / sum(w.size for w in weights)


def test_pruning_reaches_its_sparsity_and_everything_keeps_it(
    model: Any, data: ImageDataset, tmp_path: Path
) -> None:
    before = model.get_weights()
    recipe = parse_recipe(
        {**EPOCHS, "pruning": {"sparsity": 0.75, "end": 0.5, "skip": ["stem_", "logits"]}}
    )
    found = prune(model, data, recipe, progress=False)
    assert len(found.losses) == 2
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, old)
    kernels = kernels_of(found.model)
    assert len(kernels) == 8
    for name, kernel in kernels.items():
        wanted = 0 if name.startswith(("stem_", "logits")) else 0.75
        assert np.mean(kernel == 0) == pytest.approx(wanted, abs=1 / kernel.size), name
    # What was left has learned, norms and depthwise kernels too.
    changed = {
        variable.path.rpartition("/")[2].rstrip("_0123456789")
        for variable, old in zip(found.model.weights, before, strict=True)
        if not np.array_equal(variable, old)
    }
    assert {"gamma", "beta", "moving_mean", "bias", "kernel"} <= changed
    depthwise = "stack_1_block_0_depthwise_conv2d"
    assert not np.array_equal(
        found.model.get_layer(depthwise).kernel, model.get_layer(depthwise).kernel
    )
    presets.save_preset(found.model, tmp_path / "preset", "sparse")
    loaded = presets.load_model(tmp_path / "preset")
    assert zero_share(kernels_of(loaded)) == zero_share(kernels)
    certificate = export_int8(found.model, data, tmp_path / "s.tflite", progress=False)
    assert certificate.all_int8
    assert int8_zeros(tmp_path / "s.tflite") > zero_share(kernels) - 0.02


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "source", "size"),
    [
        ("autoseg_edgetpu_xs", "composed_shapes", 64),
        ("spaghettinet_edgetpu_s", "composed_shapes_boxes", 128),
    ],
)
def test_networks_of_other_tasks_learn_too(name: str, source: str, size: int) -> None:
    scenes = load_dataset(source, image_size=(size, size))
    spec = create_spec(
        name, input_shape=(size, size, 3), width=0.25, num_classes=scenes.num_classes
    )
    recipe = parse_recipe(
        {"batch_size": 4, "steps_per_epoch": 3, "pruning": {"sparsity": 0.5, "end": 1.0}}
    )
    found = prune(trained_model(spec), scenes, recipe, progress=False)
    assert zero_share(kernels_of(found.model)) == pytest.approx(0.5, abs=0.01)
    assert found.losses[0] > 0


@pytest.mark.slow
def test_clustering_leaves_few_weights_and_an_int8_file(
    model: Any, data: ImageDataset, tmp_path: Path
) -> None:
    recipe = parse_recipe({**EPOCHS, "epochs": 1, "clustering": {"clusters": 5}})
    found = cluster(model, data, recipe, progress=False)
    counts = distinct(kernels_of(found.model))
    assert max(counts.values()) == 5
    assert min(distinct(kernels_of(model)).values()) > 5
    again = cluster(model, data, recipe, progress=False)
    for one, other in zip(again.model.get_weights(), found.model.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    certificate = export_int8(found.model, data, tmp_path / "c.tflite", progress=False)
    assert certificate.all_int8


@pytest.mark.slow
def test_clustering_keeps_the_zeros_of_a_pruned_network(model: Any, data: ImageDataset) -> None:
    sparse = prune(
        model, data, parse_recipe({**EPOCHS, "pruning": {"sparsity": 0.5}}), progress=False
    )
    recipe = parse_recipe(
        {**EPOCHS, "epochs": 1, "clustering": {"clusters": 4, "keep_zeros": True}}
    )
    found = cluster(sparse.model, data, recipe, progress=False)
    kernels = kernels_of(found.model)
    assert max(distinct(kernels).values()) <= 4
    assert zero_share(kernels) >= zero_share(kernels_of(sparse.model))


@pytest.mark.parametrize(
    ("table", "word"),
    [
        ({"stages": [{"epochs": 1}, {"epochs": 1}]}, "several stages"),
        ({"stages": [{"trainable": "head"}]}, "layers to train"),
        ({"average": {"decay": 0.9}}, "averages"),
        ({"optimizer": {"name": "lamb"}}, "lamb"),
        ({"optimizer": {"l2": 1e-4}}, "l2"),
        ({"distillation": {}}, "teacher"),
        ({"stages": [{"learn": "layers"}]}, "teacher"),
        ({"stages": [{"learn": "all_layers"}]}, "teacher"),
    ],
)
def test_recipes_of_more_than_a_plain_training_are_refused(
    model: Any, data: ImageDataset, table: dict[str, Any], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        prune(model, data, parse_recipe(table))


def test_data_of_other_classes_are_refused(model: Any, data: ImageDataset) -> None:
    other = ImageDataset(name="other", splits=dict(data.splits), class_names=tuple("abcde"))
    with pytest.raises(UsageError, match="has 5 classes for classification but the model has 4"):
        cluster(model, other)


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_it(model: Any, data: ImageDataset) -> None:
    recipe = parse_recipe({**EPOCHS, "optimizer": {"name": "sgd", "learning_rate": 3e38}})
    with pytest.raises(EdgeZooError, match=r"The loss became \S+ in epoch [12]; lower"):
        prune(model, data, recipe, progress=False)

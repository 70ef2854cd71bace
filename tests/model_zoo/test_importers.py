"""Published checkpoints: key layout, and a checkpoint of that layout read back into a model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import model_zoo
from hw_model.errors import DataError
from model_zoo.create import create_spec
from model_zoo.importers.published import load_published, published_layer_name, published_variables


@pytest.mark.parametrize(
    ("size", "layers", "variables", "groups"),
    [("tiny", 101, 342, [8, 11, 14, 17, 20]), ("xs", 104, 292, [8, 15, 22])],
)
def test_layers_are_numbered_as_published(
    size: str, layers: int, variables: int, groups: list[int]
) -> None:
    found = published_variables(create_spec(f"mobilenet_edgetpu_v2_{size}"))
    assert len(found) == variables
    assert len({variable.layer for variable in found}) == layers
    firsts = [v.key.split("/")[1] for v in found if "groupconv" in v.layer and v.index == 0]
    assert firsts[: len(groups)] == [f"layer_with_weights-{number}" for number in groups]
    assert found[-1].key.startswith(f"model/layer_with_weights-{layers - 1}/bias")


def test_names_are_the_published_ones() -> None:
    names = {v.name: v.shape for v in published_variables(create_spec("mobilenet_edgetpu_v2_tiny"))}
    assert names["stem_conv2d/kernel:0"] == (5, 5, 3, 32)
    assert names["stack_8/block_0/depthwise_conv2d/depthwise_kernel:0"] == (3, 3, 320, 1)
    assert names["stack_2/block_0/fused_groupconv2d/kernel_1:0"] == (3, 3, 16, 64)
    assert names["logits/bias:0"] == (1001,)
    v1 = {v.name for v in published_variables(create_spec("mobilenet_edgetpu_v1_dm1p0"))}
    assert {"stack_2/block_2/expand_conv2d/kernel:0", "stack_1/block_0/fused_conv2d/kernel:0"} <= v1
    assert published_layer_name("top_bn") == "top_bn"


def _write(path: Path, values: dict[str, np.ndarray]) -> str:
    """A TensorFlow object-based checkpoint holding these keys."""
    tf = pytest.importorskip("tensorflow")
    root = tf.Module()
    for key, value in values.items():
        node = root
        *parts, last = key.split("/.ATTRIBUTES")[0].split("/")
        for part in parts:
            if not hasattr(node, part):
                setattr(node, part, tf.Module())
            node = getattr(node, part)
        setattr(node, last, tf.Variable(value))
    return str(tf.train.Checkpoint(model=root.model).write(str(path)))


@pytest.fixture(scope="module")
def checkpoint(
    small: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, dict[str, np.ndarray]]:
    """A checkpoint in the published layout for the small model, and what it holds."""
    rng = np.random.default_rng(3)
    values = {
        v.key: rng.uniform(0.5, 1.5, v.shape).astype(np.float32)
        for v in published_variables(small.spec)
    }
    return _write(tmp_path_factory.mktemp("ckpt") / "ckpt-1", values), values


def test_every_variable_lands_where_it_belongs(checkpoint: Any, small: Any) -> None:
    path, values = checkpoint
    model = small.with_head(10)
    load_published(model, path)
    assert model.weights_origin == "checkpoint:ckpt-1"
    by_layer = {v.layer: [] for v in published_variables(model.spec)}
    for variable in published_variables(model.spec):
        by_layer[variable.layer].append(values[variable.key])
    for name, arrays in by_layer.items():
        if "groupconv" in name:
            layer = model.get_layer(name)
            ours = [*layer.kernels]
            for norm in layer.batch_norms:
                ours += [norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance]
            got = [np.asarray(variable) for variable in ours]
        else:
            got = model.get_layer(name).get_weights()
        for a, b in zip(got, arrays, strict=True):
            np.testing.assert_array_equal(a, b)


def test_another_architecture_is_refused_before_anything_changes(checkpoint: Any) -> None:
    path, _ = checkpoint
    model = model_zoo.create_model(
        "mobilenet_edgetpu_v2_tiny",
        num_classes=10,
        input_shape=(28, 28, 1),
        strides="fit",
        width=0.5,
    )
    before = model.get_weights()
    with pytest.raises(DataError, match="another architecture"):
        load_published(model, path)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path, small: Any) -> None:
    (tmp_path / "ckpt-2.index").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a readable TensorFlow checkpoint"):
        load_published(small, tmp_path / "ckpt-2")


def test_a_backbone_has_the_same_keys_without_the_top(small: Any) -> None:
    whole = published_variables(small.spec)
    body = published_variables(replace(small.spec, head=None))
    assert [v.key for v in body] == [v.key for v in whole[: len(body)]]

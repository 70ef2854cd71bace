"""create_spec and create_model: what a user may change, and what is refused."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import model_zoo
from hw_model.errors import SpecError, UnknownNameError, UsageError
from model_zoo.create import create_spec
from model_zoo.registry import match


@pytest.mark.parametrize("name", ["mobilenet_edgetpu_v2_tny", "MobileNetEdgeTPUv2", 7])
def test_an_unknown_name_is_refused(name: Any) -> None:
    with pytest.raises(UnknownNameError, match="Unknown model"):
        create_spec(name)


def test_near_names_are_suggested() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean mobilenet_edgetpu_v2_tiny"):
        create_spec("mobilenet_edgetpu_v2_tny")


@pytest.mark.parametrize(
    ("side", "total", "last"),
    [(28, 8, 4), (32, 8, 4), (48, 16, 3), (64, 16, 4), (96, 32, 3), (224, 32, 7)],
)
def test_fitted_strides_leave_a_map_and_the_parameters(side: int, total: int, last: int) -> None:
    spec = create_spec("mobilenet_edgetpu_v2_tiny", input_shape=(side, side, 3), strides="fit")
    assert spec.backbone.total_stride == total
    assert -(-side // total) == last
    published = create_spec("mobilenet_edgetpu_v2_tiny")
    assert spec.graph().param_count == published.graph().param_count


def test_an_image_smaller_than_the_stride_is_refused() -> None:
    with pytest.raises(SpecError, match="input: must be at least the total stride of 32"):
        create_spec("mobilenet_edgetpu_v2_tiny", input_shape=(28, 28, 1))


@pytest.mark.parametrize("shape", [(0, 28, 1), (28, 28), (28.0, 28, 1), (32, 32, -3)])
def test_impossible_input_shapes_are_refused(shape: Any) -> None:
    with pytest.raises(SpecError):
        create_spec("mobilenet_edgetpu_v2_tiny", input_shape=shape)


def test_width_multiplier_rounds_as_published_and_drops_groups_that_do_not_fit() -> None:
    half = create_spec("mobilenet_edgetpu_v2_tiny", width=0.5)
    rows = half.backbone.stacks
    assert [row.filters for row in rows[:4]] == [8, 16, 16, 24]
    assert (rows[2].kind, rows[2].group_size) == ("group_fused", 32)
    assert create_spec("mobilenet_edgetpu_v1_dm1p0", width=1.5) == create_spec(
        "mobilenet_edgetpu_v1_dm1p5"
    )
    with pytest.raises(UsageError, match="width multiplier"):
        create_spec("mobilenet_edgetpu_v2_tiny", width=0.0)


@pytest.mark.parametrize("size", ["tiny", "xs", "s", "m", "l"])
@pytest.mark.parametrize("width", [0.25, 0.35, 0.5, 0.75, 1.25, 1.4, 2.0])
def test_every_width_of_every_size_is_a_legal_network(size: str, width: float) -> None:
    spec = create_spec(f"mobilenet_edgetpu_v2_{size}", width=width)
    assert spec.graph().macs > 0


def test_listing_filters_by_name_task_and_family() -> None:
    assert model_zoo.list_models("mobilenet_edgetpu_v2_*") == [
        f"mobilenet_edgetpu_v2_{size}" for size in ("tiny", "xs", "s", "m", "l")
    ]
    assert len(model_zoo.list_models(family="efficientnet_edgetpu")) == 3
    assert model_zoo.list_models("nothing*") == []
    with pytest.raises(UsageError, match="needs a target"):
        model_zoo.list_models(max_latency_ms=1.0)


def test_listing_filters_by_cost() -> None:
    fast = model_zoo.list_models("mobilenet*", max_latency_ms=1.2, target="pixel6")
    assert "mobilenet_edgetpu_v2_tiny" in fast
    assert "mobilenet_edgetpu_v2_l" not in fast
    with pytest.raises(UnknownNameError, match="target"):
        model_zoo.list_models(max_latency_ms=1.0, target="pixel66")


@pytest.mark.backends
def test_logits_softmax_and_backbone_modes(small: Any) -> None:
    images = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    probabilities = small.predict(images, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
    options: dict[str, Any] = {"input_shape": (28, 28, 1), "strides": "fit", "width": 0.25}
    logits = model_zoo.create_model(
        "mobilenet_edgetpu_v2_tiny", num_classes=10, classifier_activation=None, **options
    )
    assert logits.spec.head.activation is None
    assert logits.layers[-1].name == "squeeze"
    levels = model_zoo.create_model("mobilenet_edgetpu_v2_tiny", backbone=True, **options)
    assert {name: tensor.shape for name, tensor in levels.output.items()} == {
        "P0": (None, 28, 28, 8),
        "P1": (None, 14, 14, 8),
        "P2": (None, 7, 7, 16),
        "P3": (None, 4, 4, 48),
    }


@pytest.mark.backends
def test_a_new_head_keeps_the_body(small: Any) -> None:
    model = small.with_head(3, class_names=("a", "b", "c"))
    assert model.output_shape == (None, 3)
    assert model.class_names == ("a", "b", "c")
    for layer in small.layers:
        if layer.name != "logits":
            for ours, theirs in zip(
                model.get_layer(layer.name).get_weights(), layer.get_weights(), strict=True
            ):
                np.testing.assert_array_equal(ours, theirs)
    assert small.output_shape == (None, 10)


def test_the_order_of_names_does_not_depend_on_what_was_imported_first() -> None:
    """Whoever draws a name by a seed draws the same one in every process."""
    code = (
        "import importlib; importlib.import_module('model_zoo.variants.mobilenet_edgetpu_v2'); "
        "from model_zoo.registry import match; print(*match('*'))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert found == match("*")
    assert found[0] == "autoseg_edgetpu_xs"

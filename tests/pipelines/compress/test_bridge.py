"""The bridge: equal answers in legacy Keras, weights back, nothing left behind, and what it refuses."""

import os
from typing import Any

import numpy as np
import pytest

from hw_model.errors import UsageError
from model_zoo import create_spec
from pipelines.compress.bridge import from_legacy, legacy, plainly, require_images, to_legacy
from tests.pipelines.compress.conftest import answers_of, random_images
from tests.pipelines.export.conftest import random_spec, small_spec, trained_model

_SMALL = {"input_shape": (32, 32, 3), "width": 0.25}
_MAPS = {"input_shape": (64, 64, 3), "width": 0.25, "num_classes": 4}
FAMILIES = {
    "mobilenet_edgetpu_v1_dm1p0": _SMALL,
    "mobilenet_edgetpu_v2_tiny": _SMALL,
    "efficientnet_edgetpu_s": _SMALL,
    "autoseg_edgetpu_xs": _MAPS,
    "deeplabv3plus_mobilenet_edgetpu_v2_xs": _MAPS,
    "deeplabv3plus_mobilenet_v2": _MAPS,
    "spaghettinet_edgetpu_s": {**_MAPS, "input_shape": (128, 128, 3)},
    "ssdlite_mobiledet_edgetpu": {**_MAPS, "input_shape": (160, 160, 3)},
}


def check_bridge(model: Any) -> None:
    """There and back: the same answers there, and after a change there the changed answers here."""
    twin, inputs = to_legacy(model), random_images(model)
    wanted = answers_of(model, inputs)
    size = max(float(np.abs(each).max()) for each in wanted)
    for found, want in zip(answers_of(twin, inputs), wanted, strict=True):
        assert want.std() > 0
        np.testing.assert_allclose(found, want, atol=1e-4 * size)
    same = from_legacy(twin, model)
    for found, want in zip(same.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(found, want)
    generator = np.random.default_rng(1)
    for layer in twin.layers:  # every weight, each differently
        layer.set_weights([w * generator.uniform(0.9, 1.1, w.shape) for w in layer.get_weights()])
    changed = from_legacy(twin, model)
    changes = answers_of(changed, inputs)
    for found, want in zip(answers_of(twin, inputs), changes, strict=True):
        np.testing.assert_allclose(found, want, atol=1e-4 * size)
    assert any(
        not np.allclose(a, b, atol=1e-3 * size) for a, b in zip(changes, wanted, strict=True)
    )
    for found, want in zip(answers_of(model, inputs), wanted, strict=True):
        np.testing.assert_array_equal(found, want)  # the network itself stays as it was


def test_every_kind_of_block_crosses() -> None:
    check_bridge(trained_model(small_spec()))


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_every_image_family_crosses(name: str) -> None:
    check_bridge(trained_model(create_spec(name, **FAMILIES[name])))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_random_networks_cross(seed: int) -> None:
    check_bridge(trained_model(random_spec(seed), seed))


@pytest.mark.slow
def test_learned_ranges_of_group_convolutions_cross() -> None:
    from model_zoo.nn.model import ZooModel

    plain = create_spec("spaghettinet_edgetpu_s", **FAMILIES["spaghettinet_edgetpu_s"])
    model = ZooModel(plain, group_fake_quant=True)
    coarse = [layer for layer in model.layers if getattr(layer, "fake_quant", None) is not None]
    for layer in coarse:
        layer.fake_quant.high.assign(0.7)
    assert coarse
    inputs = random_images(model)
    wanted, found = (answers_of(each, inputs) for each in (model, to_legacy(model)))
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3 * np.abs(other).max())


def test_the_environment_and_tensorflow_stay_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    legacy.cache_clear()
    monkeypatch.delenv("TF_USE_LEGACY_KERAS", raising=False)
    tf_keras, tfmot = legacy()
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert (tf_keras.__name__, tfmot.__name__) == ("tf_keras", "tensorflow_model_optimization")
    assert tf.keras.layers.Dense is not tf_keras.layers.Dense
    legacy.cache_clear()
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    legacy()
    assert os.environ["TF_USE_LEGACY_KERAS"] == "0"


def test_language_networks_are_refused_by_family() -> None:
    class Reader:
        name = "reader"
        spec = create_spec("mobilebert_edgetpu_xxs")

    with pytest.raises(UsageError, match=r"image networks.*reader \(mobilebert_edgetpu\)"):
        require_images(Reader())


@pytest.mark.slow
def test_an_unknown_operation_is_named_with_its_layer() -> None:
    spec = create_spec("autoseg_edgetpu_xs", **_MAPS)
    model = trained_model(spec).with_output("argmax")
    with pytest.raises(UsageError, match=r"output_argmax: .* no ArgMax"):
        to_legacy(model)


def test_calls_are_passed_through_plainly() -> None:
    assert plainly(lambda a, b: a - b, 5, b=2) == 3

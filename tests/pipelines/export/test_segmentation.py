"""Segmentation networks as int8 files: the predicted operators, and class maps that int8 does not change."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.graph import GraphBuilder
from model_zoo.create import create_spec
from model_zoo.spec import ModelSpec
from pipelines.export import export_int8
from pipelines.export.compare import canonical
from pipelines.export.convert import convert
from pipelines.export.runner import Port, make_interpreter

NAMES = ("autoseg_edgetpu_xs", "deeplabv3plus_mobilenet_edgetpu_v2_xs")


def _stored(content: bytes, stored: Any, *, delegates: bool) -> Any:
    """What a file answers to stored values."""
    interpreter = make_interpreter(content, preserve=not delegates)
    port = Port(interpreter.get_input_details()[0])
    interpreter.set_tensor(port.index, stored)
    interpreter.invoke()
    answer = Port(interpreter.get_output_details()[0])
    return answer.real(interpreter.get_tensor(answer.index))


@pytest.mark.parametrize("classes", [2, 32, 151, 256])
@pytest.mark.parametrize("spread", [1.0, 300.0])
def test_a_quantized_argmax_is_the_argmax_of_int8_scores(classes: int, spread: float) -> None:
    """The file reads scores, so their int8 values are known whatever kernels run; many of them are equal."""
    import keras

    from model_zoo.nn.layers import QuantizedArgMax

    scores = keras.Input((12, 12, classes), name="scores")
    model = keras.Model(scores, QuantizedArgMax()(scores), name="argmax")
    rng = np.random.default_rng(classes)
    samples = [
        [rng.uniform(-spread, spread, (1, 12, 12, classes)).astype(np.float32)] for _ in range(2)
    ]
    content = convert(model, samples, lambda stage, count: None).int8
    for limit in (128, 3):
        stored = rng.integers(-limit, limit, (1, 12, 12, classes)).astype(np.int8)
        for delegates in (True, False):
            found = _stored(content, stored, delegates=delegates)[..., 0]
            np.testing.assert_array_equal(found, stored.argmax(-1))


@pytest.fixture(scope="module", params=NAMES)
def small(request: pytest.FixtureRequest, make_trained: Callable[[ModelSpec], Any]) -> Any:
    return make_trained(create_spec(request.param, input_shape=(128, 128, 3), width=0.25))


@pytest.mark.parametrize("output", ["logits", "argmax", "fused_argmax_64"])
def test_the_file_is_the_predicted_network(
    small: Any, output: str, tmp_path: Path, make_images: Callable[..., Any]
) -> None:
    model = small.with_output(output)
    path = tmp_path / "net.tflite"
    certificate = export_int8(model, make_images(model.spec, 2), path, progress=False)
    assert certificate.differences == ()
    assert certificate.predicted_equals_converted
    assert certificate.all_int8
    port = certificate.outputs[0]
    assert port.shape[1:] == tuple(model.output.shape[1:])
    if output != "logits":
        assert (port.dtype, port.scale) == (("int32", 0.0) if output == "argmax" else ("int8", 1.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*NAMES, f"{NAMES[1]}_151"])
@pytest.mark.parametrize("output", ["logits", "argmax", "fused_argmax_256"])
def test_the_file_of_a_published_network_is_the_predicted_one(
    name: str,
    output: str,
    tmp_path: Path,
    make_images: Callable[..., Any],
    make_trained: Callable[[ModelSpec], Any],
) -> None:
    model = make_trained(create_spec(name, output=output))
    certificate = export_int8(
        model, make_images(model.spec, 1), tmp_path / "n.tflite", progress=False
    )
    assert certificate.differences == ()
    assert certificate.all_int8


def _net(middle: tuple[int, ...], end: tuple[int, ...]) -> Any:
    b = GraphBuilder()
    x = b.activation(b.input((1, 1, 1, 8)), "relu", name="relu")
    x = b.reshape(b.reshape(x, middle, name="there"), end, name="back")
    return canonical(b.finish(b.activation(x, "sigmoid", name="end"), name="net"))


def test_a_detour_through_another_shape_is_forgiven_and_another_shape_is_not() -> None:
    assert [op.kind for op in _net((8,), (1, 1, 1, 8)).ops] == ["Activation", "Activation"]
    assert [op.kind for op in _net((8,), (1, 8)).ops] == ["Activation", "Reshape", "Activation"]

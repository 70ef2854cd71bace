"""Trained `.tflite` files become networks of the zoo: found by what they compute, their weights laid out as ours."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
sys.path.insert(0, str(Path(__file__).parent))

from tflite_writer import Style, Writer, random_weights

from hw_model.errors import DataError
from hw_model.graph import Graph, ops, to_inference
from model_zoo import presets
from model_zoo.create import create_spec
from model_zoo.importers.tflite import weights_of
from model_zoo.importers.tflite_match import match_file
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec import ModelSpec

#: A small network of every family of images, and what names it.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "v1": ("mobilenet_edgetpu_v1_dm1p0", {"input_shape": (64, 48, 3), "num_classes": 7}),
    "v2": ("mobilenet_edgetpu_v2_tiny", {"input_shape": (64, 64, 1), "num_classes": 5}),
    "efficientnet": ("efficientnet_edgetpu_s", {"input_shape": (64, 64, 3), "num_classes": 5}),
    "deeplab": (
        "deeplabv3plus_mobilenet_edgetpu_v2_xs",
        {"input_shape": (64, 64, 3), "num_classes": 4},
    ),
    "autoseg": ("autoseg_edgetpu_xs", {"input_shape": (64, 64, 3), "num_classes": 4}),
    "spaghettinet": (
        "spaghettinet_edgetpu_s",
        {"input_shape": (128, 128, 3), "num_classes": 6},
    ),
    "mobiledet": ("ssdlite_mobiledet_edgetpu", {"input_shape": (128, 128, 3), "num_classes": 6}),
}
Written = tuple[bytes, dict[str, tuple[Any, Any]]]


def small(family: str) -> ModelSpec:
    name, settings = FAMILIES[family]
    spec = create_spec(name, width=0.5, **settings)
    assert isinstance(spec, ModelSpec)
    return spec


def write(spec: ModelSpec, *, native: bool = False, **style: Any) -> Written:
    """A file of the network with random weights, and the weights."""
    graph = to_inference(spec.graph(), group_form="native" if native else "split")
    weights = random_weights(graph)
    return Writer(graph, weights, Style(**style)).content(), weights


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("form", ["float32", "int8", "uint8"])
def test_every_family_gets_its_weights(family: str, form: str) -> None:
    spec = small(family)
    content, written = write(spec, form=form)
    match = match_file(content, spec)
    assert match.spec == spec
    found = weights_of(match)
    graph = spec.graph()
    assert set(found) == {op.name for op in graph.ops if graph.params(op)}
    for name, (kernel, bias) in _folded(graph, found).items():
        wanted, added = written[name]
        # Half a step of the coarsest scale a kernel or a bias of the writer has.
        step = 0.0 if form == "float32" else np.ptp(wanted) / 127
        np.testing.assert_allclose(kernel.reshape(wanted.shape), wanted, atol=step / 2 + 1e-6)
        np.testing.assert_allclose(bias, added, atol=0.05 * step / 2 + 1e-6)


def _folded(graph: Graph, found: dict[str, list[Any]]) -> dict[str, tuple[Any, Any]]:
    """Kernel and bias of each layer with the norm behind it merged, computed anew by the definition of a norm."""
    merged = {}
    for op in graph.ops:
        if isinstance(op.type, ops.GroupConv2D):
            count = op.type.groups
            for group in range(count):
                norm = found[op.name][count + 4 * group : count + 4 * group + 4]
                kernel = found[op.name][group]
                zeros = np.zeros(kernel.shape[-1])
                merged[f"{op.name}/conv_{group}"] = _merge(kernel, zeros, norm, op.type.epsilon)
        if not isinstance(op.type, ops.Conv2D | ops.DepthwiseConv2D | ops.Dense):
            continue
        kernel, *rest = found[op.name]
        bias = rest[0] if rest else np.zeros(graph.output_shapes(op)[0][-1])
        (reader, *others) = [graph.ops[i] for i in graph.consumers[op.outputs[0]]] or [op]
        if isinstance(reader.type, ops.BatchNorm) and not others:
            merged[op.name] = _merge(kernel, bias, found[reader.name], reader.type.epsilon)
        else:
            merged[op.name] = (kernel, bias)
    return merged


def _merge(kernel: Any, bias: Any, norm: list[Any], epsilon: float) -> tuple[Any, Any]:
    gamma, beta, mean, variance = norm
    factor = gamma / np.sqrt(variance + epsilon)
    by_filter = factor.reshape(-1, 1) if kernel.shape[-1] == 1 != len(factor) else factor
    return kernel * by_filter, (bias - mean) * factor + beta


def test_norms_do_nothing_but_add_the_bias() -> None:
    spec = small("v1")
    content, written = write(spec, form="float32")
    gamma, beta, mean, variance = weights_of(match_file(content, spec))["stem_bn"]
    np.testing.assert_allclose(gamma, np.sqrt(1.001), rtol=1e-6)
    np.testing.assert_allclose(beta, written["stem_conv2d"][1], rtol=1e-6)
    assert not mean.any()
    assert (variance == 1).all()


@pytest.mark.parametrize(
    ("family", "label"),
    [
        ("v1", "mobilenet_edgetpu_v1_dm1p0 at width 0.5"),
        ("autoseg", "autoseg_edgetpu_xs at width 0.5"),
        ("mobiledet", "ssdlite_mobiledet_edgetpu at width 0.5"),
    ],
)
def test_a_file_is_found_by_what_it_computes(family: str, label: str) -> None:
    spec = small(family)
    content, _ = write(spec)
    match = match_file(content)
    assert (match.name, match.spec) == (label, spec)


@pytest.mark.parametrize(
    "style",
    [
        {"form": "float16"},
        {"bare_relu": True, "form": "float32"},
        {"pads": True},
        {"mean": True},
        {"float_ends": True},
        {"bias_scales": False},
        {"native": True},
    ],
    ids=lambda style: " ".join(map(str, style)),
)
def test_other_makers_write_it_otherwise(style: dict[str, Any]) -> None:
    spec = small("v2")
    content, written = write(spec, **style)
    match = match_file(content, spec)
    found = weights_of(match)
    kernel, bias = written["stack_1_block_0_fused_conv2d"]
    step = np.ptp(kernel) / 127
    np.testing.assert_allclose(found["stack_1_block_0_fused_conv2d"][0], kernel, atol=step / 2)
    np.testing.assert_allclose(found["stack_1_block_0_fused_bn"][1], bias, atol=1e-2)
    assert match.group_form == ("native" if style.get("native") else "split")


def test_zeros_elsewhere_are_another_network() -> None:
    spec = small("v1")
    content, _ = write(spec, pads=True, pads_in_front=True)
    with pytest.raises(DataError, match=r"\+ stem_conv2d/padded: Pad"):
        match_file(content, spec)


def test_bytes_are_read_as_they_are() -> None:
    from model_zoo.importers.tflite import _as_stored

    spec = small("v1")
    content, _ = write(spec, form="uint8")
    usual = Preprocessing(height=64, width=48)
    read = _as_stored(usual, match_file(content, spec))
    assert read.mean == 128
    assert read.scale == pytest.approx(1 / 0.05)
    content, _ = write(spec, form="int8")
    assert _as_stored(usual, match_file(content, spec)) == usual


def test_shipped_presets_are_found_and_have_their_weights(root: Path) -> None:
    for preset in presets.read_manifest(root / "weights").presets:
        if preset.tflite is None or preset.preprocessing is None:
            continue
        match = match_file(root / "weights" / preset.tflite.path)
        assert match.spec.spec_id == preset.spec_id
        assert weights_of(match)


def _without(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize(
    ("style", "change", "says"),
    [
        ({}, _without, "truncated or corrupt"),
        ({}, lambda content: b"PK\3\4" + content, "is not a .tflite file"),
        ({"extra": "LOG"}, None, "operators that no network of this zoo has: LOG"),
        ({"weight_scales": False}, None, "is int8 without scale and zero point"),
        ({"sparse": True}, None, "in a form that is not read .* Received: sparse"),
        ({"extra": "RELU"}, None, "does not hold mine, from which it differs in .*Activation"),
    ],
    ids=["truncated", "no tflite", "unknown operator", "no scales", "sparse", "one operator more"],
)
def test_bad_files_get_one_line(
    style: dict[str, Any], change: Callable[[bytes], bytes] | None, says: str
) -> None:
    spec = small("v1")
    content, _ = write(spec, **style)
    with pytest.raises(DataError, match=says) as caught:
        weights_of(match_file(content if change is None else change(content), spec, name="mine"))
    assert "\n" not in str(caught.value)


def test_the_wrong_family_is_named() -> None:
    content, _ = write(small("v1"))
    with pytest.raises(DataError, match="looks like mobilenet_edgetpu_v1_dm1p0 at width 0.5"):
        match_file(content, small("efficientnet"), name="efficientnet_edgetpu_s")


def test_a_bias_without_a_place_is_refused() -> None:
    spec = small("autoseg")
    graph = to_inference(spec.graph())
    weights = random_weights(graph)
    kernel, bias = weights["segment_logits_depthwise"]
    weights["segment_logits_depthwise"] = (kernel, bias + 1)
    content = Writer(graph, weights, Style()).content()
    with pytest.raises(DataError, match="segment_logits_depthwise adds a bias"):
        weights_of(match_file(content, spec))

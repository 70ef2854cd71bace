"""Segmentation families: sizes, levels, widths, outputs, heads that change, and what is refused."""

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from keras import ops as kops
from strategies import segmentation_specs

import model_zoo
from hw_model.errors import SpecError, UsageError
from hw_model.graph import ops, to_inference, verify
from model_zoo.create import create_spec
from model_zoo.nn.layers import QuantizedArgMax
from model_zoo.spec import (
    BifpnHead,
    ClassifierHead,
    DeepLabHead,
    ImageInput,
    ModelSpec,
    Space,
    from_json,
    one_of,
    output_named,
)

XS = "autoseg_edgetpu_xs"
DEEPLAB = "deeplabv3plus_mobilenet_edgetpu_v2_xs"


@pytest.fixture(scope="module")
def tiny() -> Any:
    """AutoSeg-XS at a quarter of its width, 64 px, 5 classes."""
    return model_zoo.create_model(XS, num_classes=5, input_shape=(64, 64, 3), width=0.25)


@settings(max_examples=60)
@given(segmentation_specs())
def test_random_specs_come_back_from_json_and_give_a_legal_graph(spec: ModelSpec) -> None:
    assert from_json(spec.to_json()) == spec
    graph = verify(spec.graph())
    verify(to_inference(graph))
    assert spec.head is not None
    assert not isinstance(spec.head, ClassifierHead)
    shape, size = graph.tensors[graph.outputs[0]].shape, spec.input
    if spec.head.output.kind == "logits":
        level = getattr(spec.head, "min_level", None) or getattr(spec.head, "low_level", 0)
        assert shape == (1, -(-size.height // 2**level), -(-size.width // 2**level), shape[3])
    else:
        assert shape[:3] == (1, size.height, size.width)


def test_backbones_and_classifiers_count_as_published() -> None:
    counted = {}
    for size in ("xs", "s", "m"):
        spec = create_spec(f"autoseg_edgetpu_{size}")
        features = replace(spec, head=None).graph()
        head = ClassifierHead(num_classes=1001, dropout=0.2)
        classifier = replace(spec, head=head, input=ImageInput(height=224, width=224)).graph()
        counted[size] = (
            features.param_count, features.macs, classifier.param_count, classifier.macs
        )  # fmt: skip
    assert counted == {
        "xs": (1848632, 1534276608, 3750433, 325057012),
        "s": (2107344, 1990651904, 3599545, 392339696),
        "m": (4681348, 4135389184, 6378349, 812891016),
    }


@pytest.mark.parametrize(
    ("size", "levels"), [(512, (64, 2)), (128, (16, 1)), (96, (12, 1)), (100, (13, 1))]
)
def test_images_of_any_size_round_up(size: int, levels: tuple[int, int]) -> None:
    graph = create_spec(XS, input_shape=(size, size, 3)).graph()
    by_name = {tensor.name: tensor.shape for tensor in graph.tensors}
    assert by_name["bifpn_lateral_3_bn"][1:3] == (levels[0],) * 2
    assert by_name["bifpn_pool_8"][1:3] == (levels[1],) * 2
    assert graph.tensors[graph.outputs[0]].shape == (1, levels[0], levels[0], 32)


def test_a_width_scales_backbone_and_head() -> None:
    spec = create_spec(XS, width=0.5)
    assert isinstance(spec.head, BifpnHead)
    assert spec.head.filters == 48
    assert [stack.filters for stack in spec.backbone.stacks[:4]] == [8, 12, 12, 32]
    deeplab = create_spec(DEEPLAB, width=0.5).head
    assert isinstance(deeplab, DeepLabHead)
    assert (deeplab.pyramid_filters, deeplab.low_filters, deeplab.filters) == (64, 24, 128)


def test_tasks() -> None:
    assert create_spec(XS).task == "segmentation"
    assert create_spec(XS, backbone=True).task == "features"
    assert create_spec("mobilenet_edgetpu_v2_s").task == "classification"
    assert XS in model_zoo.list_models(task="segmentation")
    assert XS not in model_zoo.list_models(task="classification")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dropout": 0.1}, "no dropout"),
        ({"classifier_activation": None}, "belongs to classifiers"),
        ({"output": "fused_argmax"}, "'fused_argmax_256'"),
        ({"output": "fused_argmax_x"}, "'fused_argmax_256'"),
    ],
)
def test_what_a_bifpn_head_lacks_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        create_spec(XS, **arguments)


def test_a_classifier_has_no_output_to_choose() -> None:
    with pytest.raises(UsageError, match="segmentation networks"):
        create_spec("mobilenet_edgetpu_v2_s", output="argmax")


@pytest.mark.parametrize(
    ("name", "head", "path"),
    [
        (XS, BifpnHead(num_classes=2, min_level=6, max_level=8), "head.min_level"),
        (XS, BifpnHead(num_classes=2, min_level=3, max_level=4), "head.max_level"),
        (DEEPLAB, DeepLabHead(num_classes=2, level=6), "head.level"),
        (DEEPLAB, DeepLabHead(num_classes=2, low_level=0), "head.low_level"),
    ],
)
def test_levels_the_backbone_does_not_have_are_refused(name: str, head: Any, path: str) -> None:
    with pytest.raises(SpecError) as caught:
        replace(create_spec(name), head=head)
    assert caught.value.path == path


@pytest.mark.parametrize(
    "make",
    [
        lambda: BifpnHead(num_classes=2, min_level=5, max_level=5),
        lambda: BifpnHead(num_classes=2, min_level=5, max_level=4),
        lambda: BifpnHead(num_classes=0),
        lambda: DeepLabHead(num_classes=2, level=3, low_level=3),
        lambda: DeepLabHead(num_classes=2, rates=(0,)),
        lambda: DeepLabHead(num_classes=2, dropout=1.0),
        lambda: output_named("fused_argmax_0"),
        lambda: create_spec(XS, input_shape=(31, 64, 3)),
    ],
)
def test_impossible_heads_are_refused(make: Any) -> None:
    with pytest.raises(SpecError):
        make()


def test_more_classes_than_eight_bits_have_no_fused_argmax() -> None:
    spec = create_spec(XS, num_classes=257, output="fused_argmax_128")
    with pytest.raises(SpecError, match="256 classes"):
        spec.graph()


def test_a_head_may_be_searched_over() -> None:
    head = BifpnHead(num_classes=2, min_level=one_of(3, 4), repeats=one_of(1, 2, 3))
    space = Space(replace(create_spec(XS), head=head))
    assert space.size() == 6
    found = space.bind({"head.min_level": 4, "head.repeats": 2}).head
    assert isinstance(found, BifpnHead)
    assert (found.min_level, found.repeats) == (4, 2)


@pytest.mark.backends
def test_another_head_keeps_all_but_the_last_layer(tiny: Any) -> None:
    other = tiny.with_head(3)
    assert tuple(other.output.shape) == (None, 8, 8, 3)
    left = {layer.name: layer.get_weights() for layer in tiny.layers}
    fresh = [
        layer.name
        for layer in other.layers
        if layer.weights
        and any(
            a.shape != b.shape or not np.array_equal(a, b)
            for a, b in zip(layer.get_weights(), left[layer.name], strict=True)
        )
    ]
    assert fresh == ["segment_logits_conv2d"]


@pytest.mark.backends
def test_outputs_are_the_classes_of_the_resized_scores(tiny: Any) -> None:
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    scores = tiny.predict(images, verbose=0)
    resized = kops.convert_to_numpy(kops.image.resize(scores, (64, 64), interpolation="bilinear"))
    classes = tiny.with_output("argmax").predict(images, verbose=0)
    assert classes.shape == (2, 64, 64)
    assert classes.dtype == np.int32
    np.testing.assert_array_equal(classes, resized.argmax(-1))
    small = kops.convert_to_numpy(kops.image.resize(scores, (32, 32), interpolation="bilinear"))
    fused = tiny.with_output("fused_argmax_32").predict(images, verbose=0)
    chosen = fused[:, ::2, ::2, :].astype(int)
    assert fused.shape == (2, 64, 64, 1)
    np.testing.assert_array_equal(chosen[..., 0], small.argmax(-1))
    np.testing.assert_array_equal(fused[:, 1::2, 1::2], fused[:, ::2, ::2])


@pytest.mark.parametrize("in_steps", [False, True])
@pytest.mark.parametrize("classes", [1, 2, 32, 151, 256])
def test_quantized_argmax_is_the_first_of_the_largest(classes: int, in_steps: bool) -> None:
    layer = QuantizedArgMax()
    layer.in_steps = in_steps
    rng = np.random.default_rng(classes)
    scores = (rng.integers(-40, 40, (1, 24, 24, classes)) / 8).astype(np.float32)
    found = kops.convert_to_numpy(layer(scores))
    np.testing.assert_array_equal(found[..., 0], scores.argmax(-1))


def test_a_quantized_argmax_runs_as_five_operations() -> None:
    graph = to_inference(create_spec(XS, output="fused_argmax_256").graph())
    kinds = [op.kind for op in graph.ops[-7:]]
    assert kinds == ["Resize", "Reduce", "Add", "Scale", "Reduce", "Scale", "Resize"]
    assert {tensor.dtype for tensor in graph.tensors} == {"int8"}


def test_an_argmax_returns_int32() -> None:
    graph = to_inference(create_spec(XS, output="argmax").graph())
    assert graph.tensors[graph.outputs[0]].dtype == "int32"


@pytest.mark.backends
def test_heads_start_as_published(tiny: Any) -> None:
    bias = tiny.get_layer("segment_logits_conv2d").get_weights()[1]
    np.testing.assert_allclose(bias, -np.log(99.0), rtol=1e-6)
    assert not tiny.get_layer("bifpn_lateral_3_conv2d").get_weights()[1].any()
    model = model_zoo.create_model(DEEPLAB, input_shape=(64, 64, 3), width=0.25)
    kernel, bias = model.get_layer("segment_logits_conv2d").get_weights()
    assert 0.008 < kernel.std() < 0.012
    assert not bias.any()
    norms = [layer for layer in model.layers if layer.name.startswith(("pyramid", "decoder"))]
    epsilons = {layer.epsilon for layer in norms if hasattr(layer, "epsilon")}
    assert epsilons == {2e-3}


@pytest.mark.parametrize("width", [1.0])
def test_the_baseline_is_keras_mobilenet_v2(width: float) -> None:
    ours = model_zoo.create_model(
        "deeplabv3plus_mobilenet_v2", input_shape=(64, 64, 3), width=width, backbone=True
    )
    theirs = keras.applications.MobileNetV2(
        input_shape=(64, 64, 3), include_top=False, weights=None, alpha=width
    )
    theirs = keras.Model(theirs.input, theirs.get_layer("block_16_project_BN").output)
    assert ours.count_params() == theirs.count_params()
    rng = np.random.default_rng(0)
    pairs = zip(_weighted(ours), _weighted(theirs), strict=True)
    for left, right in pairs:
        values = [_drawn(rng, array) for array in right.get_weights()]
        left.set_weights(values)
        right.set_weights(values)
    images = rng.uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    expected = theirs.predict(images, verbose=0)
    assert expected.std() > 0.1
    np.testing.assert_allclose(ours.predict(images, verbose=0)["P5"], expected, atol=1e-5)


def _weighted(model: Any) -> list[Any]:
    return [layer for layer in model.layers if layer.weights]


def _drawn(rng: np.random.Generator, array: np.ndarray) -> np.ndarray:
    if array.ndim == 1:
        return rng.uniform(0.5, 1.5, array.shape)
    depthwise = array.shape[3] == 1
    fan_in = np.prod(array.shape[:2] if depthwise else array.shape[:3])
    return rng.normal(0, (2 / fan_in) ** 0.5, array.shape)


def test_a_segmentation_operation_is_one_in_training() -> None:
    kinds = {op.kind for op in create_spec(XS, output="fused_argmax_128").graph().ops}
    assert ops.QuantizedArgMax.__name__ in kinds

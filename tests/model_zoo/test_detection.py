"""Detection families: what their nodes and layers mean, sizes, widths, heads that change, and what is refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from keras import ops as kops
from strategies import detection_specs

import model_zoo
from hw_model.errors import SpecError, UsageError
from hw_model.graph import ops, to_inference, verify
from model_zoo.create import create_spec
from model_zoo.detection import anchors_of
from model_zoo.registry import match
from model_zoo.spec import (
    BifpnHead,
    Edge,
    ImageInput,
    Layer,
    MapNode,
    ModelSpec,
    NodeBackbone,
    Space,
    SsdHead,
    Stem,
    from_json,
    one_of,
)

S = "spaghettinet_edgetpu_s"
MOBILEDET = "ssdlite_mobiledet_edgetpu"
NAMES = match("*", task="detection")


@pytest.fixture(scope="module")
def tiny() -> Any:
    """SpaghettiNet-S at a quarter of its width, 128 px, 5 classes."""
    return model_zoo.create_model(S, num_classes=5, input_shape=(128, 128, 3), width=0.25)


@settings(max_examples=150)
@given(detection_specs())
def test_random_specs_come_back_from_json_and_give_a_legal_graph(spec: ModelSpec) -> None:
    again = from_json(spec.to_json())
    assert (again, again.spec_id) == (spec, spec.spec_id)
    graph = verify(spec.graph())
    verify(to_inference(graph))
    shapes = [graph.tensors[index].shape for index in graph.outputs]
    if isinstance(spec.head, SsdHead):
        count = len(anchors_of(spec))
        assert shapes == [(1, count, 4), (1, count, spec.head.num_classes + 1)]
    else:
        assert isinstance(spec.backbone, NodeBackbone)
        sides = [1 << level for level in spec.backbone.output_levels()]
        assert [shape[1:3] for shape in shapes] == [
            (-(-spec.input.height // side), -(-spec.input.width // side)) for side in sides
        ]


@pytest.mark.parametrize(
    ("name", "trainable", "total", "macs", "maps"),
    [
        ("spaghettinet_edgetpu_s", 3141160, 3196184, 1011728776, (120, 168, 136, 136, 64)),
        ("spaghettinet_edgetpu_m", 3832056, 3897208, 1217010352, (120, 168, 136, 136, 64)),
        ("spaghettinet_edgetpu_l", 5439560, 5530264, 1537105032, (120, 168, 112, 128, 64)),
        (MOBILEDET, 2777040, 2815456, 1473795200, (96, 384)),
    ],
)
def test_features_are_the_published_ones(
    name: str, trainable: int, total: int, macs: int, maps: tuple[int, ...]
) -> None:
    graph = create_spec(name, backbone=True).graph()
    assert (graph.trainable_count, graph.param_count, graph.macs) == (trainable, total, macs)
    sides = (20, 10, 5, 3, 3)
    assert [graph.tensors[index].shape[1:] for index in graph.outputs] == [
        (side, side, filters) for side, filters in zip(sides, maps, strict=False)
    ]


def _shapes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    graph = spec.graph()
    return {op.name: graph.output_shapes(op)[0] for op in graph.ops}


def test_expansion_means_what_the_kind_of_layer_says() -> None:
    def one(*layers: Layer) -> dict[str, tuple[int, ...]]:
        node = MapNode(name="n", filters=40, level=2, edges=(Edge(source="stem"),), layers=layers)
        backbone = NodeBackbone(stem=Stem(kernel=3, filters=24), nodes=(node,), outputs=("n",))
        return _shapes(replace(create_spec(S, backbone=True), backbone=backbone))

    assert one(Layer(kind="ibn", expansion=4))["n_0_expand_conv2d"][3] == 160
    assert one(Layer(kind="dw", expansion=4))["n_0_expand_conv2d"][3] == 96
    assert one(Layer(kind="fused", expansion=4))["n_0_fused_conv2d"][3] == 96
    assert one(Layer(kind="gc_ibn", expansion=4, groups=3))["n_0_group"][3] == 96
    tucker = one(Layer(kind="tucker", in_ratio=0.25, out_ratio=0.75))
    assert (tucker["n_0_squeeze_conv2d"][3], tucker["n_0_core_conv2d"][3]) == (8, 32)
    two = one(Layer(kind="separable"), Layer(kind="separable", kernel=5))
    assert two["n_0_depthwise"] == two["n_1_depthwise"][:3] + (24,)
    assert "n_0_add" not in two
    assert "n_1_add" in two


def test_a_separable_layer_has_a_bias_and_one_norm() -> None:
    graph = create_spec(S).graph()
    wide = next(op for op in graph.ops if op.name == "n5_0_depthwise")
    assert isinstance(wide.type, ops.DepthwiseConv2D)
    assert wide.type.bias
    names = [op.name for op in graph.ops if op.name.startswith("n5_0_")]
    assert names == [
        f"n5_0_{part}"
        for part in ("depthwise", "project_conv2d", "project_bn", "project_activation")
    ]


def test_maps_merge_at_the_size_of_the_node() -> None:
    shapes = _shapes(create_spec(S))
    # 3 x 3 of level 7 is 6 x 6 on level 6, where the finer map has 5 x 5.
    assert shapes["c0n3_edge_0_resize"][1:3] == (6, 6)
    assert shapes["c0n3_edge_0_crop"][1:3] == shapes["c0n3_edge_1_pool"][1:3] == (5, 5)
    assert "c0n3_edge_1_crop" not in shapes
    graph = create_spec(S).graph()
    pools = {op.name: op.type for op in graph.ops if isinstance(op.type, ops.Pool)}
    assert pools["c0n4_edge_1_pool"] == ops.Pool(
        mode="max", kernel=(5, 5), stride=(4, 4), padding="same"
    )


@pytest.mark.backends
def test_a_merge_adds_what_its_edges_say() -> None:
    edges = tuple(Edge(source=name, kind="resample") for name in ("a", "b"))
    point = (Layer(kind="separable", kernel=1),)
    nodes = (
        MapNode(name="a", filters=8, level=1, edges=(Edge(source="stem"),), layers=point),
        MapNode(name="b", filters=8, level=3, edges=(Edge(source="a"),), layers=point),
        MapNode(name="m", filters=8, level=2, edges=edges, layers=point),
    )
    backbone = NodeBackbone(stem=Stem(kernel=3, filters=8), nodes=nodes, outputs=("m",))
    spec = replace(
        create_spec(S, backbone=True), backbone=backbone, input=ImageInput(height=18, width=18)
    )
    model = model_zoo.create_model(spec)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if len(variable.shape) == 4:
            variable.assign(rng.normal(0, 0.5, variable.shape))
    image = rng.normal(size=(1, 18, 18, 3)).astype(np.float32)
    wanted = ["a_0_project_activation", "m_edge_0_conv2d", "m_edge_1_bn", "m_merge_activation"]
    tensors = [model.get_layer(name).output for name in wanted]
    fine, pooled, coarse, merged = (
        kops.convert_to_numpy(x)
        for x in keras.Model(model.inputs, tensors)([image], training=False)
    )
    padded = np.pad(fine[0], ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    highest = np.stack(
        [padded[y : y + 9 : 2, x : x + 9 : 2] for y in range(3) for x in range(3)]
    ).max(axis=0)
    kernel = model.get_layer("m_edge_0_conv2d").get_weights()[0][0, 0]
    np.testing.assert_allclose(pooled[0], highest @ kernel, atol=1e-5)
    gamma = 1 / np.sqrt(1 + 1e-3)
    enlarged = coarse[0].repeat(2, axis=0).repeat(2, axis=1)[:5, :5]
    np.testing.assert_allclose(merged[0], np.clip(pooled[0] * gamma + enlarged, 0, 6), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [(128, 128), (160, 160), (192, 320), (333, 257)])
def test_images_of_any_size_have_as_many_anchors_as_predictions(
    name: str, side: tuple[int, int]
) -> None:
    spec = create_spec(name, input_shape=(*side, 3), width=0.5, num_classes=7)
    graph = spec.graph()
    count = len(anchors_of(spec))
    shapes = [graph.tensors[index].shape for index in graph.outputs]
    assert shapes == [(1, count, 4), (1, count, 8)]


def test_a_width_scales_nodes_groups_and_extra_maps() -> None:
    backbone = create_spec(S, width=0.25).backbone
    assert isinstance(backbone, NodeBackbone)
    assert backbone.stem.filters == 8
    assert [node.filters for node in backbone.nodes[:3]] == [16, 16, 24]
    # 8 channels have no 3 groups.
    assert [node.layers[0].groups for node in backbone.nodes[:2]] == [2, 4]
    head = create_spec(MOBILEDET, width=0.5).head
    assert isinstance(head, SsdHead)
    assert head.extra_filters == (256, 128, 128, 64)


def test_small_images_lose_levels_and_no_parameters() -> None:
    spec = create_spec(S, input_shape=(96, 120, 3), strides="fit")
    backbone = spec.backbone
    assert isinstance(backbone, NodeBackbone)
    assert backbone.output_levels() == (4, 5, 6, 6, 6)
    assert spec.graph().param_count == create_spec(S).graph().param_count
    assert create_spec(S, input_shape=(128, 128, 3), strides="fit") == create_spec(
        S, input_shape=(128, 128, 3)
    )


def test_tasks_and_names() -> None:
    assert NAMES == [
        "spaghettinet_edgetpu_s", "spaghettinet_edgetpu_m", "spaghettinet_edgetpu_l", MOBILEDET,
    ]  # fmt: skip
    assert create_spec(S).task == "detection"
    assert create_spec(S, backbone=True).task == "features"
    assert model_zoo.list_models(task="detection", family=MOBILEDET) == [MOBILEDET]


def test_identity_is_pinned() -> None:
    # A changed id orphans every stored study and preset: change it only with a new spec version.
    assert [create_spec(name).spec_id for name in (S, MOBILEDET)] == [
        "9d1077f57fc8",
        "9d2315419d4c",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dropout": 0.1}, "no dropout"),
        ({"drop_connect": 0.1}, "no blocks to drop"),
        ({"classifier_activation": None}, "belongs to classifiers"),
        ({"output": "logits"}, "segmentation networks"),
    ],
)
def test_what_a_detector_lacks_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        create_spec(S, **arguments)


def _set(path: str, value: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        *parents, last = [int(part) if part.isdigit() else part for part in path.split("/")]
        for part in parents:
            data = data[part]
        data[last] = value

    return change


N2 = "backbone/nodes/2"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (_set(f"{N2}/layers/0/kind", "none"), "backbone.nodes[2].layers[0].kind"),
        (_set(f"{N2}/layers/0/kernel", 0), "backbone.nodes[2].layers[0].kernel"),
        (_set(f"{N2}/layers/0/groups", 4), "backbone.nodes[2].layers[0].groups"),
        (_set(f"{N2}/layers/1/groups", None), "backbone.nodes[2].layers[1].groups"),
        (_set(f"{N2}/layers/1/groups", 5), "backbone.nodes[2].layers[1].groups"),
        (_set(f"{N2}/layers/1/in_ratio", 0.5), "backbone.nodes[2].layers[1].in_ratio"),
        (_set(f"{N2}/layers", []), "backbone.nodes[2].layers"),
        (_set(f"{N2}/level", 2), "backbone.nodes[2].level"),
        (_set(f"{N2}/level", 15), "backbone.nodes[2].level"),
        (_set(f"{N2}/name", "n1"), "backbone.nodes[2].name"),
        (_set(f"{N2}/name", "n_2"), "backbone.nodes[2].name"),
        (_set(f"{N2}/name", "stem"), "backbone.nodes[2].name"),
        (_set(f"{N2}/name", ""), "backbone.nodes[2].name"),
        (_set(f"{N2}/name", "other"), "backbone.nodes[3].edges[0].source"),
        (_set(f"{N2}/edges", []), "backbone.nodes[2].edges"),
        (_set(f"{N2}/edges/0/source", "n7"), "backbone.nodes[2].edges[0].source"),
        (_set(f"{N2}/edges/0/source", "n3"), "backbone.nodes[2].edges[0].source"),
        (_set(f"{N2}/edges/0/kind", "skip"), "backbone.nodes[2].edges[0].kind"),
        (_set("backbone/nodes/6/edges/0/kind", "pass"), "backbone.nodes[6].edges"),
        (_set("backbone/nodes/6/edges/0/source", "n4"), "backbone.nodes[6].edges"),
        (_set("backbone/outputs", []), "backbone.outputs"),
        (_set("backbone/outputs/0", "stem"), "backbone.outputs[0]"),
        (_set("backbone/outputs", ["c0n1", "c0n2", "c0n3"]), "backbone.nodes[10].name"),
        (_set("backbone/stem/stride", 3), "backbone.stem.stride"),
        (_set("backbone/type", "Backbone"), "backbone.type"),
        (_set("family", "autoseg_edgetpu"), "backbone"),
        (_set("head/type", "SSD"), "head.type"),
        (_set("head/extra_filters", [7]), "head.extra_filters[0]"),
        (_set("head/anchors/min_scale", 0.96), "head.anchors.min_scale"),
        (_set("head/anchors/max_scale", 1.5), "head.anchors.max_scale"),
        (_set("head/anchors/aspect_ratios", []), "head.anchors.aspect_ratios"),
        (_set("head/anchors/aspect_ratios", [1, 1]), "head.anchors.aspect_ratios"),
        (_set("head/anchors/aspect_ratios/1", 0), "head.anchors.aspect_ratios[1]"),
        (_set("input/height", 127), "input"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(change: Any, path: str) -> None:
    data = json.loads(create_spec(S).to_json())
    change(data)
    with pytest.raises(SpecError) as caught:
        from_json(json.dumps(data))
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


def test_heads_and_backbones_that_do_not_fit_each_other_are_refused() -> None:
    classifier = create_spec("mobilenet_edgetpu_v2_s")
    with pytest.raises(SpecError, match="head: of family spaghettinet_edgetpu is a SsdHead"):
        replace(create_spec(S), head=BifpnHead(num_classes=2))
    with pytest.raises(SpecError, match="head: of family mobilenet_edgetpu_v2 is a Classifier"):
        replace(classifier, head=SsdHead(num_classes=2))
    with pytest.raises(SpecError, match="nodes, where stacks are needed"):
        _ = create_spec(S).stacked


def _space() -> Space[ModelSpec]:
    """The last backbone node and two head nodes opened: kinds, depth, width, groups and connections."""
    spec = create_spec(S)
    assert isinstance(spec.backbone, NodeBackbone)
    nodes = list(spec.backbone.nodes)
    nodes[5] = replace(
        nodes[5],
        filters=one_of(56, 88),
        layers=(
            Layer(
                kind=one_of("separable", "ibn", "gc_ibn"),
                kernel=one_of(3, 5),
                expansion=one_of(4, 8),
                groups=one_of(2, 4),
            ),
            Layer(kind=one_of("none", "ibn"), expansion=4),
        ),
    )
    joined = Edge(source=one_of("n5", "n4"), kind="resample")
    for index in (9, 10):
        nodes[index] = replace(nodes[index], edges=(joined, nodes[index].edges[1]))
    return Space(replace(spec, backbone=replace(spec.backbone, nodes=tuple(nodes))))


def test_nodes_may_be_searched_over() -> None:
    space = _space()
    n5 = "backbone.nodes[5]"
    point = {
        f"{n5}.filters": 88,
        f"{n5}.layers[0].kind": "gc_ibn",
        f"{n5}.layers[0].kernel": 5,
        f"{n5}.layers[0].expansion": 8,
        f"{n5}.layers[0].groups": 4,
        f"{n5}.layers[1].kind": "none",
        "backbone.nodes[9].edges[0].source": "n4",
        "backbone.nodes[10].edges[0].source": "n5",
    }
    found = space.bind(point).backbone
    assert isinstance(found, NodeBackbone)
    assert found.nodes[5].layers == (Layer(kind="gc_ibn", kernel=5, expansion=8, groups=4),)
    plain = point | {f"{n5}.layers[0].kind": "separable"}
    same = plain | {f"{n5}.layers[0].expansion": 4, f"{n5}.layers[0].groups": 2}
    assert space.bind(plain) == space.bind(same)
    unread = space.bind(point | {"backbone.nodes[10].edges[0].source": "n4"})
    assert isinstance(unread.backbone, NodeBackbone)
    assert "n5" not in [node.name for node in unread.backbone.nodes]
    verify(unread.graph())


def test_every_point_of_a_space_lowers_or_says_where_it_cannot() -> None:
    space = _space()
    rng = np.random.default_rng(0)
    for _ in range(200):
        verify(space.bind([int(rng.integers(size)) for size in space.cardinalities]).graph())


@pytest.mark.backends
def test_outputs_are_codes_and_logits(tiny: Any) -> None:
    images = np.random.default_rng(0).normal(size=(2, 128, 128, 3)).astype(np.float32)
    found = tiny(images, training=False)
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == {
        "box_codes": (2, 324, 4),
        "class_logits": (2, 324, 6),
    }
    features = model_zoo.create_model(S, input_shape=(128, 128, 3), width=0.25, backbone=True)
    assert list(features.output) == ["c0n1", "c0n2", "c0n3", "c0n4", "c0n5"]
    assert tiny.preprocessing.crop == 1.0


@pytest.mark.backends
def test_another_head_keeps_all_but_the_class_predictors(tiny: Any) -> None:
    other = tiny.with_head(3)
    assert tuple(other.output["class_logits"].shape) == (None, 324, 4)
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
    assert fresh == [f"ssd_class_{index}_conv2d" for index in range(5)]


@pytest.mark.backends
def test_weights_start_as_the_published_configs_ask() -> None:
    model = model_zoo.create_model(S, input_shape=(128, 128, 3))

    def spread(name: str) -> float:
        return float(model.get_layer(name).get_weights()[0].std())

    # A normal cut at two deviations has 0.88 of the deviation.
    assert spread("n2_0_expand_conv2d") == pytest.approx(0.88 * 0.03, rel=0.05)
    assert spread("ssd_class_0_conv2d") == pytest.approx(0.03, rel=0.05)
    kernels = model.get_layer("n1_0_group").get_weights()[:4]
    assert kernels[0].std() == pytest.approx(0.88 * 0.03, rel=0.05)
    assert not np.array_equal(kernels[0], kernels[1])
    # Where nothing is learned, a class has one chance in a hundred; boxes lie on their anchors.
    rare = model.get_layer("ssd_class_0_conv2d").get_weights()[1]
    np.testing.assert_allclose(1 / (1 + np.exp(-rare)), 0.01, rtol=1e-4)
    assert not model.get_layer("ssd_box_0_conv2d").get_weights()[1].any()
    norm = model.get_layer("n2_0_expand_bn")
    assert (norm.momentum, norm.epsilon) == (0.97, 1e-3)
    detector = model_zoo.create_model(MOBILEDET, input_shape=(128, 128, 3))
    norm = detector.get_layer("C4_0_expand_bn")
    assert (norm.momentum, norm.epsilon) == (0.99, 1e-2)
    wide = detector.get_layer("C4_0_depthwise").get_weights()[0]
    assert wide.std() == pytest.approx((2 / 25) ** 0.5, rel=0.05)
    fused = detector.get_layer("C3_0_fused_conv2d").get_weights()[0]
    assert fused.std() == pytest.approx((2 / (25 * 16)) ** 0.5, rel=0.05)


@pytest.mark.backends
def test_a_saved_detector_comes_back_whole(tiny: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    tiny.save(path)
    again = keras.models.load_model(path)
    assert again.spec == tiny.spec
    images = np.random.default_rng(0).normal(size=(1, 128, 128, 3)).astype(np.float32)
    expected, found = tiny(images, training=False), again(images, training=False)
    for name, tensor in expected.items():
        np.testing.assert_allclose(
            kops.convert_to_numpy(found[name]), kops.convert_to_numpy(tensor), atol=1e-6
        )


@pytest.mark.backends
@pytest.mark.parametrize("name", [S, MOBILEDET])
def test_keras_and_graph_count_alike(name: str) -> None:
    spec = create_spec(name)
    model, graph = model_zoo.create_model(spec), spec.graph()
    assert model.count_params() == graph.param_count
    trainable = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trainable == graph.trainable_count

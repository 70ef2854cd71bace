"""The parts of an export: who counts as trained, what a comparison forgives, how chatter is kept."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import UsageError
from hw_model.graph import Graph, GraphBuilder, Op, ops, to_inference
from pipelines.export import canonical, compare_with_file, export_int8
from pipelines.export.quiet import quiet
from pipelines.export.samples import default_count, model_samples
from pipelines.export.trained import require_trained


def _fresh(spec: Any, **options: Any) -> Any:
    from model_zoo.nn.model import ZooModel

    return ZooModel(spec, **options)


def test_random_weights_are_refused_unless_allowed(
    model: Any, make_images: Callable[..., Any], tmp_path: Path
) -> None:
    fresh = _fresh(model.spec)
    images = make_images(model.spec, 4)
    with pytest.raises(UsageError, match="allow_untrained"):
        export_int8(fresh, images, tmp_path / "m.tflite", progress=False)
    certificate = export_int8(
        fresh, images, tmp_path / "m.tflite", allow_untrained=True, progress=False
    )
    assert certificate.weights_origin == "random, as allowed"


def test_a_claim_does_not_make_initial_weights_trained(model: Any) -> None:
    with pytest.raises(UsageError, match="random weights"):
        require_trained(_fresh(model.spec, weights_origin="preset:none"))


def test_one_training_step_counts_as_trained(model: Any, make_images: Callable[..., Any]) -> None:
    fresh = _fresh(model.spec)
    fresh.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    fresh.train_on_batch(fresh.preprocessing(make_images(model.spec, 4)), np.zeros(4))
    assert require_trained(fresh) == "changed since initialisation"
    assert require_trained(model) == "trained for a test"


def test_biases_read_from_a_file_without_norms_are_weights(model: Any) -> None:
    imported = _fresh(model.spec, weights_origin="preset:imported")
    imported.get_layer("stem_bn").beta.assign(
        np.full(imported.get_layer("stem_bn").beta.shape, 0.5)
    )
    assert require_trained(imported) == "preset:imported"


def test_without_batch_norm_the_biases_tell() -> None:
    import keras

    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    with pytest.raises(UsageError, match="random weights"):
        require_trained(plain)
    plain.layers[0].bias.assign([0.5, 0.0])
    assert require_trained(plain) == "changed since initialisation"


def test_a_model_without_spec_exports_without_a_prediction(tmp_path: Path) -> None:
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, bias_initializer="ones", activation="relu")(image)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    plain = keras.Model(image, outputs)
    floats = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype(np.float32)
    certificate = export_int8(plain, list(floats), tmp_path / "plain.tflite", progress=False)
    assert certificate.predicted_equals_converted is None
    assert certificate.spec_id is None
    with pytest.raises(UsageError, match="preprocessing"):
        export_int8(plain, floats.astype(np.uint8), tmp_path / "plain.tflite", progress=False)


def test_open_sizes_are_refused(tmp_path: Path) -> None:
    import keras

    free = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)])
    with pytest.raises(UsageError, match="fixed input sizes"):
        export_int8(free, np.zeros((1, 8, 8, 3)), tmp_path / "m.tflite", allow_untrained=True)


def test_heavy_networks_take_fewer_samples(model: Any) -> None:
    assert default_count(model.spec.graph()) == 100
    assert default_count(None) == 100
    builder = GraphBuilder()
    heavy = builder.finish(
        builder.conv(builder.input((1, 512, 512, 64)), 64, 3, name="c"), name="heavy"
    )
    assert default_count(heavy) == 16


def test_every_form_of_samples_becomes_the_same_calls(
    model: Any, make_images: Callable[..., Any]
) -> None:
    images = make_images(model.spec, 6)
    prepared = model.preprocessing(images)
    forms = [images, list(images), [images[:4], images[4:]], ([one] for one in images), prepared]
    for form in forms:
        calls = model_samples(model, form, 6, model.preprocessing)
        assert len(calls) == 6
        np.testing.assert_allclose(np.concatenate([call[0] for call in calls]), prepared)
    assert len(model_samples(model, images, 2, model.preprocessing)) == 2


def _predicted(exported: Any) -> Graph:
    return to_inference(exported.model.spec.graph())


def test_comparison_names_a_changed_attribute(exported: Any) -> None:
    graph = _predicted(exported)
    position = next(i for i, op in enumerate(graph.ops) if op.kind == "DepthwiseConv2D")
    changed = replace(graph.ops[position], type=replace(graph.ops[position].type, kernel=(3, 3)))
    broken = replace(graph, ops=(*graph.ops[:position], changed, *graph.ops[position + 1 :]))
    lines = compare_with_file(broken, exported.path)
    assert len(lines) == 2
    assert "kernel=(3, 3)" in lines[0]
    assert "kernel=(5, 5)" in lines[1]


def test_comparison_names_a_wrong_wire(exported: Any) -> None:
    """Shapes agree, yet the second half of a group convolution reads the first half's input."""
    graph = _predicted(exported)
    assert compare_with_file(graph, exported.path) == ()
    names = [op.name for op in graph.ops]
    first = next(name for name in names if name.endswith("conv_0"))
    second = names.index(first[:-1] + "1")
    wrong = replace(graph.ops[second], inputs=graph.ops[names.index(first)].inputs)
    broken = replace(graph, ops=(*graph.ops[:second], wrong, *graph.ops[second + 1 :]))
    lines = compare_with_file(broken, exported.path)
    assert len(lines) == 2
    assert lines[0].startswith("- ")
    assert "conv_1" in lines[0]


def test_canonical_form_forgives_only_what_it_lists() -> None:
    builder = GraphBuilder()
    image = builder.input((1, 8, 8, 4))
    left = builder.conv(image, 4, 1, name="left")
    right = builder.conv(image, 4, 3, name="right")
    graph = builder.finish(builder.concat((left, right), name="both"), name="two branches")
    swapped = replace(graph, ops=(graph.ops[1], graph.ops[0], graph.ops[2]))
    assert canonical(swapped) == canonical(graph)
    valid = Op("left", ops.Conv2D(filters=4, kernel=(1, 1), padding="valid", bias=True), (0,), (1,))
    assert canonical(replace(graph, ops=(valid, *graph.ops[1:]))) == canonical(graph)
    relu = Op("left", ops.Conv2D(filters=4, kernel=(1, 1), activation="relu"), (0,), (1,))
    assert canonical(replace(graph, ops=(relu, *graph.ops[1:]))) != canonical(graph)
    crossed = replace(graph.ops[2], inputs=graph.ops[2].inputs[::-1])
    assert canonical(replace(graph, ops=(*graph.ops[:2], crossed))) != canonical(graph)


def test_chatter_is_kept_unless_something_fails(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(1, b"native chatter\n")
        os.write(2, b"more of it\n")
    assert capfd.readouterr() == ("", "")

    def fail() -> None:
        with quiet():
            os.write(2, b"the reason\n")
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken") as caught:
        fail()
    assert caught.value.__notes__ == ["the reason"]
    print("heard", file=sys.stderr)
    assert capfd.readouterr() == ("", "heard\n")

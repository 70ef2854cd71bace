"""Detectors as int8 files: the predicted operators, two outputs, nothing in floating point."""

from collections.abc import Callable
from typing import Any

import pytest

from hw_model.graph import to_inference
from hw_model.io import read_tflite
from model_zoo.create import create_spec
from model_zoo.registry import match
from model_zoo.spec import ModelSpec
from pipelines.export import compare_with_file
from pipelines.export.convert import convert

NAMES = match("*", task="detection")


def _check(
    spec: ModelSpec, make_trained: Callable[[ModelSpec], Any], make_images: Callable[..., Any]
) -> None:
    model = make_trained(spec)
    samples = [[model.preprocessing(image)] for image in make_images(spec, 2)]
    content = convert(model, samples, lambda stage, count: None).int8
    assert compare_with_file(to_inference(spec.graph()), content) == ()
    graph = read_tflite(content)
    assert not graph.notes
    assert {tensor.dtype for tensor in graph.tensors} == {"int8"}


@pytest.mark.parametrize("name", [NAMES[0], NAMES[-1]])
@pytest.mark.parametrize("backbone", [False, True])
def test_the_file_is_the_predicted_network(
    name: str, backbone: bool, make_trained: Callable[..., Any], make_images: Callable[..., Any]
) -> None:
    """At this size several maps are a single pixel, which converters treat in their own way."""
    options: dict[str, Any] = {"input_shape": (128, 128, 3), "width": 0.25, "num_classes": 5}
    _check(create_spec(name, backbone=backbone, **options), make_trained, make_images)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_file_of_a_published_network_is_the_predicted_one(
    name: str, make_trained: Callable[..., Any], make_images: Callable[..., Any]
) -> None:
    _check(create_spec(name), make_trained, make_images)

"""Specs of every kind: read from JSON or parsed data, and told apart."""

from typing import Any, cast

from hw_model import codec
from hw_model.errors import UsageError
from model_zoo.spec.image import ModelSpec
from model_zoo.spec.text import TextSpec

#: A whole network of either kind; specs of text say so in their files, specs of images need not.
Spec = ModelSpec | TextSpec


def from_json(text: str | bytes) -> Spec:
    """Reads a spec; raises `SpecError` with the path of what is wrong."""
    return codec.loads(cast(Any, Spec), text)


def from_data(data: Any) -> Spec:
    """Reads a spec from parsed JSON; raises as `from_json` does."""
    return codec.from_data(cast(Any, Spec), data)


def image_spec(spec: Spec) -> ModelSpec:
    """The spec, of images.

    Raises:
        UsageError: it is a language network, of which what follows knows nothing.
    """
    if isinstance(spec, ModelSpec):
        return spec
    raise UsageError(
        f"This works for image networks only. Received: {spec.family}, which reads text"
    )


def text_spec(spec: Spec) -> TextSpec:
    """The spec, of text.

    Raises:
        UsageError: it is an image network.
    """
    if isinstance(spec, TextSpec):
        return spec
    raise UsageError(f"This works for language networks only. Received: {spec.family}")

"""From a name to a spec and from a spec to a Keras model; specs are made without importing Keras."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from hw_model.errors import SpecError, UsageError
from model_zoo import registry
from model_zoo.spec.heads import change_head, change_output, replace_head, text_head
from model_zoo.spec.image import ClassifierActivation, ImageInput, ModelSpec
from model_zoo.spec.nodes import NodeBackbone
from model_zoo.spec.reading import Spec
from model_zoo.spec.scaling import fit_strides, scale_width
from model_zoo.spec.text import TextHead, TextSpec

if TYPE_CHECKING:
    from model_zoo.nn.model import ZooModel
    from model_zoo.preprocessing import Preprocessing
    from model_zoo.text.storage import TextPreprocessor


def create_spec(
    name: str | Spec,
    *,
    num_classes: int | None = None,
    input_shape: tuple[int, int, int] | None = None,
    width: float = 1.0,
    strides: Literal["published", "fit"] = "published",
    classifier_activation: ClassifierActivation | Literal["published"] = "published",
    dropout: float | None = None,
    drop_connect: float | None = None,
    backbone: bool = False,
    output: str | None = None,
    head: str | TextHead | None = None,
    sequence_length: int | None = None,
    vocabulary_size: int | None = None,
) -> Spec:
    """The spec of a registered architecture, or a given one, changed where asked.

    Image networks: `input_shape` is (height, width, channels); an image need not be a multiple of the stride,
    since SAME padding rounds up. `width` multiplies every width. `strides="fit"` removes strides a small image
    cannot afford. `output` is what a segmentation network returns: "logits", "argmax" or "fused_argmax_256" (or
    any other size).

    Language networks: `head` is "span", "sentence", "masked_lm", "next_sentence", "pretraining" (the last two in
    one) or a head's spec; `sequence_length` is that of graphs, costs and exported files. `dropout` is the
    encoder's.

    `backbone=True` leaves the head out: an image network then returns its feature maps, stride levels `P1`,
    `P2`, ... or output nodes by name, a language network `sequence_output` and `pooled_output`.

    >>> create_spec("mobilenet_edgetpu_v2_s", num_classes=10).head.num_classes
    10

    Raises:
        UnknownNameError: unknown name; suggests near ones.
        UsageError: an argument of the other kind of network.
        SpecError: a combination no network can have, with its path.
    """
    if isinstance(name, ModelSpec | TextSpec):
        spec, name = name, name.family
    else:
        spec = registry.spec_of(name)
    of_images: dict[str, Any] = {
        "input_shape": input_shape,
        "width": width if width != 1.0 else None,
        "strides": strides if strides != "published" else None,
        "drop_connect": drop_connect,
        "output": output,
    }
    of_text: dict[str, Any] = {
        "head": head,
        "sequence_length": sequence_length,
        "vocabulary_size": vocabulary_size,
    }
    if isinstance(spec, TextSpec):
        _refuse(name, "reads text", of_images)
        spec = _text_spec(spec, head, sequence_length, vocabulary_size, dropout)
        dropout = None
    else:
        _refuse(name, "reads images", of_text)
        spec = _image_spec(name, spec, input_shape, width, strides, drop_connect)
    if backbone:
        return replace_head(spec, None)
    assert spec.head is not None, "registered architectures have heads"
    changed = change_head(
        spec.head, num_classes=num_classes, dropout=dropout, activation=classifier_activation
    )
    if output is not None:
        changed = change_output(changed, output)
    return replace_head(spec, changed)


def _refuse(name: str, reads: str, given: dict[str, Any]) -> None:
    """Refuses arguments of the other kind of network."""
    for argument, value in given.items():
        if value is not None:
            raise UsageError(
                f"{name} {reads}; leave {argument} out. Received: {argument}={value!r}"
            )


def _text_spec(
    spec: TextSpec,
    head: str | TextHead | None,
    sequence_length: int | None,
    vocabulary_size: int | None,
    dropout: float | None,
) -> TextSpec:
    tables, encoder = spec.input, spec.encoder
    try:
        if sequence_length is not None:
            tables = replace(tables, sequence_length=sequence_length)
        if vocabulary_size is not None:
            tables = replace(tables, vocabulary_size=vocabulary_size)
    except SpecError as error:
        raise error.under("input") from None
    if dropout is not None:
        encoder = replace(encoder, dropout=dropout)
    if isinstance(head, str):
        head = text_head(head, hidden=encoder.hidden)
    return replace(spec, input=tables, encoder=encoder, head=head or spec.head)


def _image_spec(
    name: str,
    spec: ModelSpec,
    input_shape: tuple[int, int, int] | None,
    width: float,
    strides: str,
    drop_connect: float | None,
) -> ModelSpec:
    size = spec.input
    if input_shape is not None:
        if len(input_shape) != 3:
            raise SpecError("input_shape", f"is (height, width, channels). Received: {input_shape}")
        height, wide, channels = input_shape
        size = ImageInput(height=height, width=wide, channels=channels)
    if width != 1.0:
        spec = scale_width(spec, width)
    spec = _resized(spec, size, strides)
    if drop_connect is not None:
        if isinstance(spec.backbone, NodeBackbone):
            raise UsageError(f"{name} has no blocks to drop. Received: drop_connect={drop_connect}")
        spec = replace(spec, backbone=replace(spec.backbone, drop_connect=drop_connect))
    return spec


def _resized(spec: ModelSpec, size: ImageInput, strides: str) -> ModelSpec:
    """The spec for another image; strides are fitted before the size is checked against them."""
    if strides not in ("published", "fit"):
        raise UsageError(f"strides is 'published' or 'fit'. Received: {strides!r}")
    if strides == "published":
        return replace(spec, input=size)
    side = max(size.height, size.width, spec.backbone.total_stride)
    roomy = ImageInput(height=side, width=side, channels=size.channels)
    fitted = fit_strides(replace(spec, input=roomy), side=min(size.height, size.width))
    return replace(spec, input=size, backbone=fitted.backbone)


def create_model(
    name: str | Spec,
    *,
    num_classes: int | None = None,
    weights: str | None = None,
    input_shape: tuple[int, int, int] | None = None,
    width: float = 1.0,
    strides: Literal["published", "fit"] = "published",
    classifier_activation: ClassifierActivation | Literal["published"] = "published",
    dropout: float | None = None,
    drop_connect: float | None = None,
    backbone: bool = False,
    output: str | None = None,
    head: str | TextHead | None = None,
    sequence_length: int | None = None,
    vocabulary_size: int | None = None,
    preprocessing: "Preprocessing | TextPreprocessor | None" = None,
    group_fake_quant: bool = False,
) -> "ZooModel":
    """A Keras model of a registered architecture, a preset's architecture, or a spec.

    `weights` is None (random), the name of a preset, or the path of a `.weights.h5` file; a preset brings its
    own architecture, preprocessing and class names, and a `num_classes` other than its own replaces the
    classifier by a fresh one. The other arguments are those of `create_spec`. Without `sequence_length` a
    language model takes sequences of any length, as training may want; export needs a length.

    With `group_fake_quant` what the groups of a convolution answer is rounded to 8 bits of one range, learned in
    training, as published SpaghettiNets do; parameters, graph and costs are the same. A preset knows its own.

    Raises:
        UnknownNameError: unknown model or preset; suggests near ones.
        SpecError: a combination no network can have, with its path.
        DataError: a weight file that is missing, corrupt or belongs to another network.
    """
    from model_zoo import presets
    from model_zoo.nn.model import ZooModel

    free_length = sequence_length is None
    if isinstance(name, ModelSpec | TextSpec):
        spec = name if output is None else replace_head(name, change_output(name.head, output))
        free_length = False
    elif name in presets.names() and weights in (None, name):
        model = presets.load_model(
            name, num_classes=num_classes, classifier_activation=classifier_activation
        )
        return model if output is None else model.with_output(output)
    else:
        spec = create_spec(
            name,
            num_classes=num_classes,
            input_shape=input_shape,
            width=width,
            strides=strides,
            classifier_activation=classifier_activation,
            dropout=dropout,
            drop_connect=drop_connect,
            backbone=backbone,
            output=output,
            head=head,
            sequence_length=sequence_length,
            vocabulary_size=vocabulary_size,
        )
    free_length = free_length and isinstance(spec, TextSpec)
    if weights in presets.names():
        return presets.load_into(spec, str(weights), name=name if isinstance(name, str) else None)
    title = name if isinstance(name, str) else spec.family
    model = ZooModel(
        spec,
        preprocessing=preprocessing,
        free_length=free_length,
        group_fake_quant=group_fake_quant,
        name=title,
    )
    if weights is not None:
        presets.load_weights(model, weights)
    return model

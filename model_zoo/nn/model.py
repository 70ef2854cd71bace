"""The Keras model of a spec: it carries its spec, its preprocessing and its class names, also into saved files."""

from dataclasses import asdict, replace
from typing import Any, Literal

import keras

from hw_model import codec
from hw_model.errors import UsageError
from model_zoo.lowering import lower
from model_zoo.lowering.bifpn import CLASSIFIER as SEGMENT_CLASSIFIER
from model_zoo.lowering.ssd import CLASSES as BOX_CLASSES
from model_zoo.nn.builder import HE_FAN_OUT, HE_FAN_OUT_PLAIN, KerasBuilder, KerasOptions
from model_zoo.nn.depth import deep_networks
from model_zoo.nn.layers import GroupConv2D, GroupForm
from model_zoo.nn.starts import starts_of
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec.heads import change_head, change_output, replace_head
from model_zoo.spec.image import ClassifierActivation, Head, ModelSpec
from model_zoo.spec.reading import Spec, from_data, text_spec
from model_zoo.spec.text import TextHead, TextSpec
from model_zoo.text import check_vocabulary
from model_zoo.text.storage import TextPreprocessor, pack, unpack

#: The layers whose shape the number of classes sets: one to a head, or one to a map of an SSD head.
_LAST_LAYERS = ("logits", f"{SEGMENT_CLASSIFIER}_conv2d", "classifier_logits")


def is_last_layer(name: str) -> bool:
    """Whether the number of classes sets the shape of the layer of this name."""
    return name in _LAST_LAYERS or (name.startswith(BOX_CLASSES) and name.endswith("_conv2d"))


@keras.saving.register_keras_serializable(package="model_zoo")
class ZooModel(keras.Model):
    """A functional Keras model read from a spec.

    Input (N, height, width, channels), preprocessed by `preprocessing`; output (N, num_classes), for a
    segmentation head what its `output` says, for an SSD head a dict of `box_codes` and `class_logits`, for a
    spec without head a dict of feature maps by stride level or node.

    Language networks read int32 `input_word_ids`, `input_mask` and `input_type_ids` (N, L), in this order or as a
    dict; what they return is told by their heads. L is the spec's length, or any with `free_length`.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        preprocessing: Preprocessing | TextPreprocessor | None = None,
        class_names: tuple[str, ...] = (),
        weights_origin: str = "random",
        kernel_l2: float = 0.0,
        free_length: bool = False,
        group_fake_quant: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if isinstance(spec, TextSpec) and preprocessing is not None:
            _check_reading(preprocessing, spec, name or spec.family)
        plain = spec.family == "efficientnet_edgetpu"
        options = KerasOptions(
            kernel_init=HE_FAN_OUT_PLAIN if plain else HE_FAN_OUT,
            kernel_l2=kernel_l2,
            starts=starts_of(spec),
            free_length=free_length,
            group_fake_quant=group_fake_quant,
        )
        inputs, outputs = lower(spec, KerasBuilder(options))
        with deep_networks():
            super().__init__(inputs=inputs, outputs=outputs, name=name or spec.family, **kwargs)
        self.spec = spec
        if preprocessing is None and isinstance(spec, ModelSpec):
            preprocessing = default_preprocessing(spec)
        #: Of images, or of text with its vocabulary; None where nobody said how text is read.
        self.preprocessing: Any = preprocessing
        self.class_names = tuple(class_names)
        #: "random" until weights were loaded or trained; export refuses a random model.
        self.weights_origin = weights_origin
        self.kernel_l2 = kernel_l2
        self.free_length = free_length
        self.group_fake_quant = group_fake_quant

    def get_config(self) -> dict[str, Any]:
        own = self.preprocessing
        return {
            "name": self.name,
            "spec": codec.to_data(self.spec),
            "preprocessing": asdict(own) if isinstance(own, Preprocessing) else None,
            "reading": None if own is None or isinstance(own, Preprocessing) else pack(own),
            "class_names": list(self.class_names),
            "weights_origin": self.weights_origin,
            "kernel_l2": self.kernel_l2,
            "free_length": self.free_length,
            "group_fake_quant": self.group_fake_quant,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ZooModel":
        image, text = config["preprocessing"], config.get("reading")
        return cls(
            from_data(config["spec"]),
            preprocessing=unpack(text) if text else image and codec.from_data(Preprocessing, image),
            class_names=tuple(config["class_names"]),
            weights_origin=config["weights_origin"],
            kernel_l2=config["kernel_l2"],
            free_length=config.get("free_length", False),
            group_fake_quant=config.get("group_fake_quant", False),
            name=config["name"],
        )

    def with_head(
        self,
        num_classes: int,
        *,
        class_names: tuple[str, ...] = (),
        dropout: float | None = None,
        classifier_activation: ClassifierActivation | Literal["published"] = "published",
    ) -> "ZooModel":
        """A new model with the same trained body and a fresh classifier for `num_classes` classes.

        Of a segmentation head only the last layer is fresh, of an SSD head the last of every map.
        """
        head = self.spec.head
        if head is None:
            raise UsageError("A backbone has no head to replace; create the model with num_classes")
        head = change_head(
            head, num_classes=num_classes, dropout=dropout, activation=classifier_activation
        )
        return self._with(head, class_names)

    def with_output(self, output: str) -> "ZooModel":
        """A new model with the same weights and another output, such as "argmax" or "fused_argmax_256"."""
        return self._with(change_output(self.spec.head, output), self.class_names)

    def with_length(self, length: int | None) -> "ZooModel":
        """A new language model with the same weights for sequences of this length, or of any for None.

        Raises:
            UsageError: a model of images.
            SpecError: more than the position table holds.
        """
        spec = text_spec(self.spec)
        if length is not None:
            spec = replace(spec, input=replace(spec.input, sequence_length=length))
        model = self._for(spec, self.class_names, free_length=length is None)
        if length is not None and model.preprocessing is not None:
            settings = replace(model.preprocessing.settings, sequence_length=length)
            model.preprocessing = replace(model.preprocessing, settings=settings)
        return model

    def _with(self, head: Head | TextHead, class_names: tuple[str, ...]) -> "ZooModel":
        return self._for(replace_head(self.spec, head), class_names, free_length=self.free_length)

    def _for(self, spec: Spec, class_names: tuple[str, ...], *, free_length: bool) -> "ZooModel":
        model = ZooModel(
            spec,
            preprocessing=self.preprocessing,
            class_names=class_names,
            kernel_l2=self.kernel_l2,
            free_length=free_length,
            group_fake_quant=self.group_fake_quant,
            name=self.name,
        )
        copy_weights(self, model)
        return model

    def set_group_form(self, form: GroupForm) -> None:
        """Runs every group convolution as slices (`split`) or as one grouped convolution (`native`)."""
        for layer in self.layers:
            if isinstance(layer, GroupConv2D):
                layer.group_form = form


def _check_reading(preprocessing: Any, spec: TextSpec, name: str) -> None:
    """Refuses a preprocessing of images for a text model, and the vocabulary of another one."""
    if isinstance(preprocessing, Preprocessing):
        raise UsageError(
            f"{name} reads text; its preprocessing has a vocabulary. Received: {preprocessing}"
        )
    check_vocabulary(preprocessing.vocabulary, spec.input.vocabulary_size, where=name)


def default_preprocessing(spec: ModelSpec) -> Preprocessing:
    """What the family was published with; `crop` is the published 87.5 % of classifiers where it applies."""
    mean, scale = (127.0, 128.0) if spec.family == "efficientnet_edgetpu" else (127.5, 127.5)
    size = spec.input
    whole = spec.task in ("segmentation", "detection") or min(size.height, size.width) < 96
    crop = 1.0 if whole else 0.875
    return Preprocessing(
        height=size.height,
        width=size.width,
        channels=size.channels,
        mean=mean,
        scale=scale,
        crop=crop,
    )


def copy_weights(source: keras.Model, target: keras.Model) -> list[str]:
    """Copies weights layer by layer where name and shapes agree; returns the layers that did not."""
    left = {layer.name: layer for layer in source.layers}
    missed = []
    for layer in target.layers:
        if not layer.weights:
            continue
        twin = left.get(layer.name)
        shapes = [weight.shape for weight in layer.weights]
        if twin is None or [weight.shape for weight in twin.weights] != shapes:
            missed.append(layer.name)
        else:
            layer.set_weights(twin.get_weights())
    if isinstance(source, ZooModel) and isinstance(target, ZooModel):
        target.weights_origin = source.weights_origin
    return missed

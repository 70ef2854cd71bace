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
from model_zoo.nn.layers import GroupConv2D, GroupForm
from model_zoo.nn.starts import starts_of
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec.heads import change_head, change_output
from model_zoo.spec.image import ClassifierActivation, Head, ModelSpec

#: The layers whose shape the number of classes sets: one to a head, or one to a map of an SSD head.
_LAST_LAYERS = ("logits", f"{SEGMENT_CLASSIFIER}_conv2d")


def is_last_layer(name: str) -> bool:
    """Whether the number of classes sets the shape of the layer of this name."""
    return name in _LAST_LAYERS or (name.startswith(BOX_CLASSES) and name.endswith("_conv2d"))


@keras.saving.register_keras_serializable(package="model_zoo")
class ZooModel(keras.Model):
    """A functional Keras model read from a spec.

    Input (N, height, width, channels), preprocessed by `preprocessing`; output (N, num_classes), for a
    segmentation head what its `output` says, for an SSD head a dict of `box_codes` and `class_logits`, for a
    spec without head a dict of feature maps by stride level or node.
    """

    def __init__(
        self,
        spec: ModelSpec,
        *,
        preprocessing: Preprocessing | None = None,
        class_names: tuple[str, ...] = (),
        weights_origin: str = "random",
        kernel_l2: float = 0.0,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        plain = spec.family == "efficientnet_edgetpu"
        options = KerasOptions(
            kernel_init=HE_FAN_OUT_PLAIN if plain else HE_FAN_OUT,
            kernel_l2=kernel_l2,
            starts=starts_of(spec),
        )
        inputs, outputs = lower(spec, KerasBuilder(options))
        super().__init__(inputs=inputs, outputs=outputs, name=name or spec.family, **kwargs)
        self.spec = spec
        self.preprocessing = preprocessing or default_preprocessing(spec)
        self.class_names = tuple(class_names)
        #: "random" until weights were loaded or trained; export refuses a random model.
        self.weights_origin = weights_origin
        self.kernel_l2 = kernel_l2

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "spec": codec.to_data(self.spec),
            "preprocessing": asdict(self.preprocessing),
            "class_names": list(self.class_names),
            "weights_origin": self.weights_origin,
            "kernel_l2": self.kernel_l2,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "ZooModel":
        return cls(
            codec.from_data(ModelSpec, config["spec"]),
            preprocessing=codec.from_data(Preprocessing, config["preprocessing"]),
            class_names=tuple(config["class_names"]),
            weights_origin=config["weights_origin"],
            kernel_l2=config["kernel_l2"],
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

    def _with(self, head: Head, class_names: tuple[str, ...]) -> "ZooModel":
        model = ZooModel(
            replace(self.spec, head=head),
            preprocessing=self.preprocessing,
            class_names=class_names,
            kernel_l2=self.kernel_l2,
            name=self.name,
        )
        copy_weights(self, model)
        return model

    def set_group_form(self, form: GroupForm) -> None:
        """Runs every group convolution as slices (`split`) or as one grouped convolution (`native`)."""
        for layer in self.layers:
            if isinstance(layer, GroupConv2D):
                layer.group_form = form


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

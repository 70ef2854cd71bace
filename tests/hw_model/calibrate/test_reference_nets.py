"""Reference networks have the parameters their papers print."""

import math

import pytest

from hw_model.calibrate.reference_nets import reference_net
from hw_model.errors import UnknownNameError
from hw_model.graph import verify

#: Millions of parameters (batch norms folded) and of multiply-adds. Source: the papers, Keras applications.
PUBLISHED = {
    "mobilenet_v1_1.0_224": (4.2, 569),
    "mobilenet_v1_0.25_128": (0.47, 14),
    "mobilenet_v2_1.0_224": (3.5, 300),
    "vgg16_224": (138.4, 15470),
    "vgg19_224": (143.7, 19630),
    "resnet50_v1_299": (25.5, None),
    "resnet50_v2_299": (25.5, None),
    "resnet152_v2_299": (60.2, None),
    "squeezenet_224": (1.24, 837),
    "inception_v1_224": (6.6, 1500),
    "inception_v3_299": (23.8, 5713),
    "inception_v4_299": (42.7, 12270),
    "inception_resnet_v2_299": (55.8, 13156),
    "densenet_224": (7.97, 2834),
    "efficientnet_lite0_224": (4.7, 407),
    "efficientnet_lite1_240": (5.4, 631),
    "efficientnet_lite2_260": (6.1, 899),
    "efficientnet_lite3_280": (8.2, 1440),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sizes_are_the_published_ones(name: str) -> None:
    graph = verify(reference_net(name))
    millions, mega_macs = PUBLISHED[name]
    assert graph.param_count / 1e6 == pytest.approx(millions, rel=0.02)
    if mega_macs is not None:
        assert graph.macs / 1e6 == pytest.approx(mega_macs, rel=0.11)


def test_conv_chains_have_the_published_multiply_adds() -> None:
    """Source: column `macs` of the published sweep."""
    assert reference_net("conv3x3x5_F32").macs == 154_533_888 + 0
    assert reference_net("conv3x3x5_F512").macs == 38_711_328_768


def test_an_unknown_name_suggests_a_near_one() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean vgg16_224"):
        reference_net("vgg16")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "builder", "classes"),
    [
        ("inception_v3_299", "InceptionV3", 1001),
        ("inception_resnet_v2_299", "InceptionResNetV2", 1001),
        ("densenet_224", "DenseNet121", 1000),
        ("vgg16_224", "VGG16", 1000),
    ],
)
def test_multiply_adds_are_those_of_keras_applications(
    name: str, builder: str, classes: int
) -> None:
    keras = pytest.importorskip("keras")
    graph = reference_net(name)
    size = graph.tensors[graph.inputs[0]].shape[1]
    build = getattr(keras.applications, builder)
    model = build(weights=None, classes=classes, input_shape=(size, size, 3))
    layers = [layer for layer in model.layers if type(layer).__name__ in ("Conv2D", "Dense")]
    macs = sum(
        math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1]) for layer in layers
    )
    assert graph.macs == macs

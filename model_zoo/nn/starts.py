"""How the weights of heads and of graphs of nodes start: by the layers' names, as their lowering spells them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from model_zoo.lowering import bert, bifpn, deeplab, ssd
from model_zoo.spec.reading import Spec
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead
from model_zoo.spec.text import TextSpec


@dataclass(frozen=True, slots=True)
class Start:
    """Initial kernel and bias of every layer whose name begins with `prefix` and ends with `suffix`."""

    prefix: str
    kernel: Callable[[], Any]
    bias: float = 0.0
    suffix: str = ""

    def fits(self, name: str) -> bool:
        """Whether a layer starts so."""
        return name.startswith(self.prefix) and name.endswith(self.suffix)


#: A class is taken for improbable before anything is learned: sigmoid(bias) = 0.01. Source: published head.
_RARE_CLASS_BIAS = -math.log(99)
_BIFPN = (
    Start(bifpn.LATERAL, keras.initializers.GlorotUniform),
    Start(bifpn.CLASSIFIER, keras.initializers.VarianceScaling, _RARE_CLASS_BIAS),
)
_SMALL = partial(keras.initializers.RandomNormal, stddev=0.01)
_DEEPLAB = (
    Start(deeplab.ATROUS, keras.initializers.GlorotUniform),
    Start(deeplab.PYRAMID, keras.initializers.VarianceScaling),
    Start(deeplab.DECODER, _SMALL),
    Start(bifpn.CLASSIFIER, _SMALL),
)
_PREDICTOR = partial(keras.initializers.RandomNormal, stddev=0.03)
_TRUNCATED = partial(keras.initializers.TruncatedNormal, stddev=0.03)
#: Published configs ask for the start of rare classes too. Their depthwise predictors begin at zero all the same;
#: here they do as asked, so that training need not learn first that nearly everything is background.
_SSD = (
    Start(ssd.CLASSES, _PREDICTOR, _RARE_CLASS_BIAS, suffix="_conv2d"),
    Start(ssd.EXTRA, _TRUNCATED),
    Start(ssd.HEAD, _PREDICTOR),
)
_NODES: dict[str, tuple[Start, ...]] = {
    "spaghettinet_edgetpu": (*_SSD, Start("", _TRUNCATED)),
    # Depthwise kernels keep the default, where each channel counts for itself.
    "ssdlite_mobiledet_edgetpu": (*_SSD, Start("", keras.initializers.HeNormal, suffix="_conv2d")),
}


#: Source: published MobileBERT and its span head.
_TEXT = (
    Start(bert.SPANS, partial(keras.initializers.TruncatedNormal, stddev=0.01)),
    Start("", partial(keras.initializers.TruncatedNormal, stddev=0.02)),
)


def starts_of(spec: Spec) -> tuple[Start, ...]:
    """Where a spec's layers start otherwise than its backbone's; the first prefix that fits counts."""
    if isinstance(spec, TextSpec):
        return _TEXT
    if spec.family in _NODES:
        return _NODES[spec.family]
    if isinstance(spec.head, BifpnHead):
        return _BIFPN
    return _DEEPLAB if isinstance(spec.head, DeepLabHead) else ()

"""How the weights of segmentation heads start: by the prefix of the layers' names, as their lowering spells them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras

from model_zoo.lowering import bifpn, deeplab
from model_zoo.spec.image import ModelSpec
from model_zoo.spec.segmentation import BifpnHead, DeepLabHead


@dataclass(frozen=True, slots=True)
class Start:
    """Initial kernel and bias of every layer whose name begins with `prefix`."""

    prefix: str
    kernel: Callable[[], Any]
    bias: float = 0.0


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


def starts_of(spec: ModelSpec) -> tuple[Start, ...]:
    """Where a spec's layers start otherwise than its backbone's; the first prefix that fits counts."""
    if isinstance(spec.head, BifpnHead):
        return _BIFPN
    return _DEEPLAB if isinstance(spec.head, DeepLabHead) else ()

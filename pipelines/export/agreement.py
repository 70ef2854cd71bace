"""Does a network answer as the `.tflite` file it was read from? Both are run on the same inputs.

Rounding makes deep networks answer a little otherwise, so that answers alone cannot tell a small mistake from it.
Therefore every layer is also compared by itself, given the file's own tensors: all that is left is one rounding.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from hw_model.errors import DataError
from hw_model.io import read_metadata
from hw_model.io.tflite_file import load
from model_zoo.detection import anchors_of
from model_zoo.detection.boxes import centres_of
from model_zoo.lowering.bert import MASK, POSITIONS, TYPE_IDS, WORD_IDS
from model_zoo.nn.depth import deep_networks
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.image import ModelSpec
from model_zoo.spec.reading import Spec
from model_zoo.spec.text import MaskedLmHead, TextSpec
from pipelines.export.convert import Sample
from pipelines.export.detector import ANCHORS
from pipelines.export.postprocess import OPERATOR
from pipelines.export.runner import Port, make_interpreter

#: Root mean square of a layer's differences in steps of its tensor's scale: rounding leaves 0.29 of one step, and a
#: few times that where an operator rounds on its way.
MOST_STEPS = 1.0
#: What stands for a step where nothing is rounded, as a share of the tensor's root mean square: sums in another order.
FLOAT_STEP = 1e-3
EXACT_DB = 200.0
#: Inputs that both are asked where nobody gives any.
USUAL_COUNT = 8
#: Codes of boxes have no largest one.
_CODES = "box"
Images = npt.NDArray[np.uint8]
Tensors = Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How alike one output is: variance of the file's scores to mean square of the differences, in dB.

    `same_top` is the share of examples, pixels or anchors for which both have the same largest score.
    """

    output: str
    agreement_db: float
    max_difference: float
    same_top: float | None


class Beside:
    """A file that is run on what a network is run on.

    `inputs` says which of the file's inputs each of the network's is.
    """

    def __init__(self, path: Path, inputs: Sequence[int]) -> None:
        self._path = path
        self._interpreter = make_interpreter(path.read_bytes(), preserve=True)
        reads = [Port(details) for details in self._interpreter.get_input_details()]
        self._reads = [reads[place] for place in inputs]
        self.ports = {
            details["index"]: Port(details) for details in self._interpreter.get_tensor_details()
        }

    def run(self, sample: Sample) -> Sample:
        """Runs the file; returns the sample as it read it, rounded."""
        seen = []
        for port, values in zip(self._reads, sample, strict=True):
            stored = port.store(values)
            self._interpreter.set_tensor(port.index, stored)
            seen.append(port.real(stored).astype(values.dtype))
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            first = str(error).partition("\n")[0]
            raise DataError(f"LiteRT cannot run {self._path}: {first}") from error
        return seen

    def tensor(self, index: int) -> npt.NDArray[np.float32]:
        """What a tensor holds after a run."""
        return self.ports[index].real(self._interpreter.get_tensor(index))


def layer_steps(
    model: Any, beside: Beside, tensors: Tensors, samples: Sequence[Sample]
) -> dict[str, float]:
    """For each layer the root mean square of its differences to the file's tensor, in steps of its scale.

    Layers read what the file's operators have read.
    """
    import keras

    kept = {n: i for n, i in tensors.items() if _has_step(beside.ports[i])}
    given: dict[str, Any] = {}

    class Given(keras.layers.Layer):
        """Takes what a layer returns, and passes on what the file holds there."""

        def build(self, shape: tuple[int, ...]) -> None:
            self.held = self.add_weight(shape=(1, *shape[1:]), trainable=False, name="held")

        def call(self, inputs: Any) -> Any:
            return keras.ops.convert_to_tensor(self.held)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = layer(*args, **kwargs)
        if getattr(layer, "name", "") not in kept:
            return outputs
        given[layer.name] = Given(name=f"{layer.name}_given")
        return given[layer.name](outputs)

    with deep_networks():
        other = keras.models.clone_model(
            model, clone_function=lambda layer: layer, call_function=call
        )
        probe = keras.Model(other.inputs, [layer.input for layer in given.values()])
    noise, signal = np.zeros(len(given)), np.zeros(len(given))
    for sample in _shown(samples, "layers"):
        seen = beside.run(sample)
        held = [beside.tensor(kept[name]) for name in given]
        for layer, values in zip(given.values(), held, strict=True):
            layer.held.assign(values.reshape(layer.held.shape))
        answers = keras.tree.flatten(probe.predict_on_batch(seen))
        for row, (name, ours, theirs) in enumerate(zip(given, answers, held, strict=True)):
            low, high = beside.ports[kept[name]].limits
            inside = np.clip(np.asarray(ours, np.float64), low, high)
            noise[row] += np.mean((inside.ravel() - theirs.ravel()) ** 2)
            signal[row] += np.mean(theirs.astype(np.float64) ** 2)
    return {
        name: math.sqrt(noise[row] / len(samples))
        / (beside.ports[kept[name]].scale or _float_step(signal[row] / len(samples)))
        for row, name in enumerate(given)
    }


def _has_step(port: Port) -> bool:
    """Whether a tensor holds real numbers."""
    return bool(port.scale) or port.dtype.kind == "f"


def _float_step(power: float) -> float:
    return FLOAT_STEP * max(math.sqrt(power), 1e-6)


def _shown(samples: Sequence[Sample], what: str) -> Iterator[Sample]:
    yield from tqdm(samples, desc=what, disable=None, leave=False)


def agreements(
    model: Any, beside: Beside, tensors: Tensors, samples: Sequence[Sample]
) -> tuple[Agreement, ...]:
    """Compares what layers of a network return with tensors of the file, each computed from the inputs alone."""
    import keras

    with deep_networks():
        probe = keras.Model(model.inputs, [model.get_layer(name).output for name in tensors])
    ours, theirs = [], []
    for sample in _shown(samples, "answers"):
        answers = probe.predict_on_batch(beside.run(sample))
        ours.append([np.asarray(each) for each in keras.tree.flatten(answers)])
        theirs.append([beside.tensor(index) for index in tensors.values()])
    return tuple(
        _agreement(name, np.concatenate(left), np.concatenate(right))
        for name, left, right in zip(
            tensors, zip(*ours, strict=True), zip(*theirs, strict=True), strict=True
        )
    )


def _agreement(
    name: str, ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]
) -> Agreement:
    theirs = theirs.reshape(ours.shape)
    difference = ours.astype(np.float64) - theirs
    signal, noise = float(np.var(theirs, dtype=np.float64)), float(np.mean(difference**2))
    level = EXACT_DB if not noise else 10 * math.log10(max(signal, 1e-30) / noise)
    same = None
    if ours.shape[-1] > 1 and _CODES not in name:
        same = float(np.mean(ours.argmax(axis=-1) == theirs.argmax(axis=-1)))
    elif ours.ndim == 3:  # scores of positions
        same = float(np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)))
    return Agreement(
        output=name,
        agreement_db=round(min(level, EXACT_DB), 2),
        max_difference=float(np.abs(difference).max()),
        same_top=same,
    )


def patterns(size: tuple[int, int, int], count: int, *, seed: int = 0) -> Images:
    """Images (count, H, W, C) of coloured clouds: random values on grids of 2, 4, 8, ... points, smoothly joined.

    Like photographs, and unlike noise, they have more of coarse structures than of fine ones.
    """
    height, width, channels = size
    rng = np.random.default_rng(seed)
    images = np.zeros((count, height, width, channels))
    points = 2
    while points <= max(height, width):
        grid = rng.normal(size=(count, points, points, channels)) + rng.normal(
            size=(count, points, points, 1)
        )
        images += _stretched(_stretched(grid, 1, height), 2, width) / points**0.5
        points *= 2
    contrast = rng.uniform(20, 60, (count, 1, 1, 1))
    brightness = rng.uniform(90, 160, (count, 1, 1, 1))
    return np.clip(brightness + contrast * images, 0, 255).astype(np.uint8)


def _stretched(grid: npt.NDArray[np.float64], axis: int, size: int) -> npt.NDArray[np.float64]:
    """A grid with `size` points along an axis, straight lines between its own."""
    places = np.linspace(0, grid.shape[axis] - 1, size)
    low = np.minimum(places.astype(np.int64), grid.shape[axis] - 2)
    share = (places - low).reshape([-1 if each == axis else 1 for each in range(grid.ndim)])
    below: npt.NDArray[np.float64] = np.take(grid, low, axis)
    above = np.take(grid, low + 1, axis)
    return below + share * (above - below)


def sentences(
    spec: TextSpec, count: int, *, seed: int = 0
) -> list[dict[str, npt.NDArray[np.int32]]]:
    """Random words of two types, a part of the sequence long and padded behind."""
    rng = np.random.default_rng(seed)
    length, words = spec.input.sequence_length, spec.input.vocabulary_size
    found = []
    for _ in range(count):
        used = int(rng.integers(length // 2, length + 1))
        here = np.arange(length)[None] < used
        second = np.arange(length)[None] >= rng.integers(1, used)
        sample = {
            WORD_IDS: np.where(here, rng.integers(0, words, (1, length)), 0),
            MASK: here,
            TYPE_IDS: here & second & (spec.input.types > 1),
        }
        if isinstance(spec.head, MaskedLmHead):
            sample[POSITIONS] = rng.integers(0, used, (1, spec.head.predictions))
        found.append({name: values.astype(np.int32) for name, values in sample.items()})
    return found


def samples_of(
    model: Any, images: Sequence[Images] = (), *, count: int = USUAL_COUNT
) -> list[Sample]:
    """What both are asked: these images, or without any `count` patterns; random words where text is read."""
    spec = model.spec
    if isinstance(spec, TextSpec):
        made = sentences(spec, count)
        return [[each[tensor.name] for tensor in model.inputs] for each in made]
    size = (spec.input.height, spec.input.width, spec.input.channels)
    return [[model.preprocessing(image)] for image in images or patterns(size, count)]


def same_anchors(path: Path, spec: Spec) -> bool:
    """Whether a detector's file has the anchors of a spec; true of one that says nothing of them."""
    if not isinstance(spec, ModelSpec) or not isinstance(spec.head, SsdHead):
        return True
    expected = anchors_of(spec)
    data = read_metadata(path, ANCHORS)
    if data is not None:
        return _alike(data, expected)
    file = load(path)
    last = next((op for op in file.operators if op.code == OPERATOR), None)
    tensor = None if last is None else file.tensors[last.inputs[2]]
    if tensor is None or tensor.element_type != "FLOAT32":
        return True
    return _alike(bytes(tensor.data), centres_of(expected))


def _alike(data: bytes, anchors: npt.NDArray[np.float32]) -> bool:
    stored = np.frombuffer(data, "<f4")
    return stored.size == anchors.size and np.allclose(stored, anchors.ravel(), atol=1e-4)

"""Teachers: any Keras model, callable or `.tflite` classifier, asked in inference mode and never changed."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.errors import DataError, EdgeZooError, UnknownNameError, UsageError
from model_zoo.lowering.bert import hidden_layer
from model_zoo.preprocessing import Preprocessing

Floats = npt.NDArray[np.float32]
#: Answers by the names of outputs; "" is the only output.
Answers = dict[str, Floats]
Ask = Callable[[Any], Answers]

_TEACHES_NOTHING = (
    "{}, which teaches nothing; name a preset, a weights folder or a .keras file that was trained"
)

# Least probability whose logarithm is taken.
_LEAST = 1e-7


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Teacher:
    """What is asked; `identity` changes with its weights.

    `preprocessing` and `shape` (H, W, C) say which images it takes; without, it takes what the student does.
    `model` is there where layers can be read.
    """

    name: str
    identity: str
    ask: Ask
    model: Any = None
    preprocessing: Preprocessing | None = None
    shape: tuple[int, int, int] | None = None

    def layers(self, names: Mapping[str, str]) -> Ask:
        """Asks for the outputs of layers, by the keys they are given; a callable answers with them by their names.

        Raises:
            UnknownNameError: the Keras model has no such layer.
        """
        if self.model is None:
            return lambda inputs: _picked(self, self.ask(inputs), names)
        return asks(read_layers(self.model, names))

    def layer_names(self, probe: Any) -> frozenset[str]:
        """Names `layers` takes; `probe` are inputs."""
        if self.model is None:
            return frozenset(ask_once(self, self.ask, probe))
        return frozenset(layer.name for layer in self.model.layers)


def teacher_of(
    source: Any, *, preprocessing: Preprocessing | None = None, name: str | None = None
) -> Teacher:
    """The teacher in a Keras model, a callable, or the path of a `.tflite` file that answers with classes.

    `preprocessing` is how images become inputs of the teacher; it defaults to the one a Keras model carries. A
    callable takes the student's own inputs and returns an array, or a dict of arrays by output or layer.

    Raises:
        UsageError: none of these, or a file whose preprocessing is not given.
        DataError: a damaged file.
    """
    if isinstance(source, Teacher):
        return source
    if isinstance(source, str | os.PathLike):
        return _file_teacher(Path(source), preprocessing)
    if hasattr(source, "predict_on_batch"):
        own = preprocessing or getattr(source, "preprocessing", None)
        own = own if isinstance(own, Preprocessing) else None
        shape = source.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4:
            size = None
        elif None not in shape[1:]:
            size = tuple(shape[1:])
        else:
            size = None if own is None else (own.height, own.width, own.channels)
        return Teacher(
            name=name or source.name,
            identity=weights_digest(source),
            ask=asks(source),
            model=source,
            preprocessing=own,
            shape=size,
        )
    if not callable(source):
        raise UsageError(
            f"A teacher is a Keras model, a callable or a .tflite file. Received: {type(source).__name__}"
        )
    title = str(name or getattr(source, "__name__", type(source).__name__))
    return Teacher(
        name=title,
        identity=title,
        ask=lambda inputs: by_name(source(inputs)),
        preprocessing=preprocessing,
    )


def weights_file(reference: str) -> Path:
    """Where the weights of a preset, a weights folder or a Keras model file lie.

    Raises:
        UnknownNameError: no such preset or file.
        UsageError: no weights, or not a Keras model.
    """
    from model_zoo import presets, registry

    path = Path(reference)
    if path.suffix == ".keras" and path.is_file():
        return path
    if reference in registry.entries() or path.suffix == ".json":
        raise UsageError(_TEACHES_NOTHING.format(f"{reference} is an architecture without weights"))
    if path.is_file():
        raise UsageError(
            f"A teacher is a preset, a weights folder or a .keras file. Received: {reference}"
        )
    folder, preset = presets.find(reference)
    if preset.weights is None:
        raise UsageError(_TEACHES_NOTHING.format(f"{reference} has no weights"))
    return presets.checked_file(folder, preset.weights)


def read_teacher(reference: str) -> Teacher:
    """The teacher in a preset, a weights folder or any Keras model file.

    Raises:
        UsageError: as `weights_file`, or weights nobody trained.
        DataError: a damaged file.
    """
    from model_zoo import presets

    path = weights_file(reference)
    if path.suffix != ".keras":
        return teacher_of(presets.load_model(reference), name=reference)
    import keras

    import model_zoo.nn.model  # noqa: F401  # its layers, for models of the zoo

    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # zip, JSON, h5py and Keras each raise their own for a damaged file
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path} is no Keras model: {lines[0][:200]}") from error
    if getattr(model, "weights_origin", "") == "random":
        raise UsageError(_TEACHES_NOTHING.format(f"{reference} has random weights"))
    return teacher_of(model, name=path.name)


def _file_teacher(path: Path, preprocessing: Preprocessing | None) -> Teacher:
    from hw_model.files import sha256_of
    from pipelines.export.runner import Int8Runner

    if preprocessing is None:
        raise UsageError(f"How images become inputs of {path} is not known; pass preprocessing=")
    runner = Int8Runner(path)
    height, width, channels = runner.input.shape[1:]

    def ask(inputs: Any) -> Answers:
        scores = runner(inputs)
        if runner.output.scale == 1 / 256:  # steps of a softmax: 0 means less than half of one
            scores = np.log(np.maximum(scores, 1 / 512))
        return {"": scores}

    return Teacher(
        name=path.name,
        identity=sha256_of(path),
        ask=ask,
        preprocessing=preprocessing,
        shape=(height, width, channels),
    )


def weights_digest(model: Any) -> str:
    """SHA-256 over all weights."""
    digest = hashlib.sha256()
    for weights in model.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()


def by_name(outputs: Any) -> Answers:
    """Outputs as arrays by name; a list or tuple has none."""
    from keras import ops

    if isinstance(outputs, list | tuple):
        raise UsageError("A teacher answers with one array, or several by name. Received: a list")
    named = outputs if isinstance(outputs, dict) else {"": outputs}
    return {
        key: np.asarray(ops.convert_to_numpy(value), np.float32) for key, value in named.items()
    }


def asks(model: Any) -> Ask:
    return lambda inputs: by_name(model.predict_on_batch(inputs))


def read_layers(model: Any, names: Mapping[str, str]) -> Any:
    """A model of the same inputs whose outputs are those of layers, by the keys they are given.

    Raises:
        UnknownNameError: no such layer.
    """
    import keras

    from model_zoo.nn.depth import deep_networks

    layers = {layer.name: layer for layer in model.layers}
    for name in names.values():
        if name not in layers:
            raise UnknownNameError(f"layer of {model.name}", name, layers)
    outputs = {key: layers[name].output for key, name in names.items()}
    with deep_networks():
        return keras.Model(model.inputs, outputs)


def count_blocks(model: Any) -> int:
    """Blocks of a student whose layers can be read."""
    names = {layer.name for layer in model.layers}
    found = next(n for n in count() if hidden_layer(n) not in names)
    if not found:
        raise UsageError(
            f"{model.name!r} has no layer {hidden_layer(0)!r}; stages that learn layers are for MobileBERT students"
        )
    return found


def _picked(teacher: Teacher, answers: Answers, names: Mapping[str, str]) -> Answers:
    for name in names.values():
        if name not in answers:
            raise UnknownNameError(f"answer of teacher {teacher.name}", name, answers)
    return {key: answers[name] for key, name in names.items()}


def ask_once(teacher: Teacher, ask: Ask, inputs: Any) -> Answers:
    """The first answers, with whatever a framework makes of inputs it does not take as one line.

    Raises:
        UsageError: the teacher does not take the inputs, or answers with something that is not finite.
    """
    try:
        answers = ask(inputs)
    except EdgeZooError:
        raise
    except Exception as error:  # each framework has its own for a wrong shape or index
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UsageError(
            f"Teacher {teacher.name} does not take the student's inputs: {lines[0][:200]}"
        ) from error
    for key, values in answers.items():
        if not np.isfinite(values).all():
            raise UsageError(
                f"Teacher {teacher.name} answers {key or 'something'} that is not finite"
            )
    return answers


def as_logits(scores: Floats) -> Floats:
    """Scores whose softmax are the probabilities meant: logarithms where the teacher ends in a softmax."""
    from pipelines.tasks.classify import is_probabilities

    return np.log(np.maximum(scores, _LEAST)) if is_probabilities(scores) else scores


def viewer(teacher: Teacher, student: Any, shape: tuple[int, ...]) -> Callable[[Floats], Floats]:
    """Turns the student's prepared images into the teacher's: what the student sees, at the teacher's size.

    `student` is the student's preprocessing, `shape` (H, W, C) what it makes.

    Raises:
        UsageError: their sizes or channels differ, and how the images were prepared is not known.
    """
    other, wanted = teacher.preprocessing, teacher.shape or shape
    if other is None or not isinstance(student, Preprocessing):
        if wanted != tuple(shape):
            raise UsageError(
                f"Teacher {teacher.name} takes images of shape {wanted} and the student of {tuple(shape)}; "
                "both need the zoo's preprocessing to be converted"
            )
        return lambda images: images
    mine, channels = student, other.channels
    size = (int(wanted[0]), int(wanted[1]))
    if (mine.channels, channels) not in ((1, 3), (channels, channels)):
        raise UsageError(
            f"Teacher {teacher.name} takes {channels} channels and the student {mine.channels}; they must agree"
        )

    own_shift, own_scale, shift, scale = (
        np.asarray(value, np.float32) for value in (mine.mean, mine.scale, other.mean, other.scale)
    )

    def see(images: Floats) -> Floats:
        pixels: Floats = images * own_scale + own_shift
        if pixels.shape[1:3] != size:
            pixels = resized(pixels, size)
        if pixels.shape[-1] != channels:
            pixels = np.repeat(pixels, channels, axis=-1)
        return (pixels - shift) / scale

    return see


def resized(pixels: Floats, size: tuple[int, int]) -> Floats:
    from keras import ops

    found = ops.image.resize(
        pixels, size, interpolation="bilinear", antialias=True, data_format="channels_last"
    )
    return np.asarray(ops.convert_to_numpy(found), np.float32)

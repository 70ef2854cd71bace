"""What a MODEL argument may be: a name, a preset, a weights folder, a spec.json, a .keras or .tflite file."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import DataError, EdgeZooError, SpecError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from hw_model.graph import Graph
    from model_zoo.spec import Spec
    from pipelines.data import ImageDataset

MODEL_HELP = "model name, preset, weights folder, spec.json or .keras file"
_FILE_KINDS = (".json", ".keras", ".tflite", ".h5")


def parse_size(text: str | None) -> tuple[int, int] | None:
    """(height, width) from `224` or `224x320`.

    >>> parse_size("224"), parse_size("96x128")
    ((224, 224), (96, 128))
    """
    if text is None:
        return None
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"A size is 224 or HEIGHTxWIDTH, such as 224x320. Received: {text!r}")
    return int(parts[0]), int(parts[-1])


def load_images(args: argparse.Namespace, model: str) -> "ImageDataset":
    """The images of --data at --image-size; those of many sizes as large as `model` takes them by default."""
    from pipelines.data import load_dataset
    from pipelines.data.sizes import SizesDifferError

    size = parse_size(args.image_size)
    download = getattr(args, "download", False)
    try:
        return load_dataset(args.data, download=download, image_size=size)
    except SizesDifferError:
        own = _input_size(model)
        if own is None:
            raise
        return load_dataset(args.data, download=download, image_size=own)


def _input_size(reference: str) -> tuple[int, int] | None:
    """(height, width) of the images a model takes; None of one that takes none, or that is not known."""
    from model_zoo.spec import ModelSpec

    try:
        if is_tflite(reference):
            shape = graph_of(reference).tensors[0].shape
            return (shape[1], shape[2]) if len(shape) == 4 else None
        spec = _spec_of(reference)
    except EdgeZooError:
        return None  # Whoever loads the model says what is wrong with it.
    return (spec.input.height, spec.input.width) if isinstance(spec, ModelSpec) else None


def is_tflite(reference: str) -> bool:
    """Whether the reference means a `.tflite` file."""
    return reference.endswith(".tflite")


def spec_of(
    reference: str,
    *,
    size: tuple[int, int] | None = None,
    num_classes: int | None = None,
    output: str | None = None,
    head: str | None = None,
    sequence_length: int | None = None,
) -> "Spec":
    """The architecture a reference stands for, changed where asked: see `create_spec`.

    Raises:
        UnknownNameError: no such name; suggests near ones.
        DataError: no such file, or a damaged one.
        SpecError: the file is no spec, or the change is impossible; with its path.
    """
    from model_zoo.spec import image_spec, text_spec
    from model_zoo.spec.heads import change_head, change_output, replace_head, text_head

    spec = _spec_of(reference)
    if size is not None:
        images = image_spec(spec)
        spec = replace(images, input=replace(images.input, height=size[0], width=size[1]))
    if sequence_length is not None:
        text = text_spec(spec)
        spec = replace(text, input=replace(text.input, sequence_length=sequence_length))
    if head is not None:
        text = text_spec(spec)
        spec = replace(text, head=text_head(head, hidden=text.encoder.hidden))
    if num_classes is not None:
        if spec.head is None:
            raise UsageError(f"{reference} is a backbone: it has no classes to change")
        spec = replace_head(spec, change_head(spec.head, num_classes=num_classes))
    if output is not None:
        spec = replace_head(spec, change_output(spec.head, output))
    return spec


def _spec_of(reference: str) -> "Spec":
    from model_zoo import presets, registry

    path = Path(reference)
    if is_tflite(reference):
        raise UsageError(f"A .tflite file holds no spec. Received: {reference}")
    if reference in registry.entries():
        return registry.spec_of(reference)
    if reference in presets.names() or path.is_dir():
        return presets.spec_of(reference)
    if path.suffix == ".json":
        return read_spec(path)
    if path.suffix == ".keras":
        spec: Spec = load(reference).spec
        return spec
    raise _unknown(reference)


def read_spec(path: Path) -> "Spec":
    """The spec in a JSON file; what is wrong with it is named by file and path."""
    from model_zoo.spec import from_json

    try:
        return from_json(path.read_bytes())
    except SpecError as error:
        raise SpecError(
            f"{path}: {error.path}" if error.path else str(path), error.problem
        ) from None
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}") from error


def graph_of(
    reference: str,
    *,
    size: tuple[int, int] | None = None,
    num_classes: int | None = None,
    output: str | None = None,
    head: str | None = None,
    sequence_length: int | None = None,
) -> "Graph":
    """The graph of a model as trained, or of a `.tflite` file as it is."""
    if is_tflite(reference):
        from hw_model.io import read_tflite

        return read_tflite(require_file(reference))
    spec = spec_of(
        reference,
        size=size,
        num_classes=num_classes,
        output=output,
        head=head,
        sequence_length=sequence_length,
    )
    graph = spec.graph()
    return replace(graph, name=Path(reference).stem if "/" in reference else reference)


def load(reference: str) -> Any:
    """The Keras model a reference stands for, with its weights; a bare architecture has random ones."""
    from model_zoo import presets, registry
    from pipelines.cli.frameworks import load_keras

    path = Path(reference)
    if reference in presets.names() or path.is_dir():
        presets.get(reference)  # named as missing or damaged before seconds go into importing Keras
        load_keras()
        return presets.load_model(reference)
    if path.suffix == ".keras":
        require_file(reference)
        load_keras()
        return _load_keras(path)
    if reference in registry.entries() or path.suffix == ".json":
        from model_zoo import create_model

        spec = _spec_of(reference)
        load_keras()
        return create_model(spec)
    raise _unknown(reference)


def _load_keras(path: Path) -> Any:
    import keras

    import model_zoo.nn.model

    try:
        model = keras.saving.load_model(path)
    except Exception as error:  # zip, JSON, h5py and Keras each raise their own for a damaged file
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path} is no Keras model this project wrote: {lines[0][:200]}") from error
    if not isinstance(model, model_zoo.nn.model.ZooModel):
        raise DataError(
            f"{path} holds a {type(model).__name__} without spec; save a model of the zoo"
        )
    return model


def require_file(reference: str) -> Path:
    """The path of a file that exists."""
    path = Path(reference)
    if not path.is_file():
        raise DataError(f"No file at {path}")
    return path


def _unknown(reference: str) -> Exception:
    from model_zoo import presets, registry

    if Path(reference).suffix in _FILE_KINDS or "/" in reference:
        return DataError(f"No file or folder at {reference}")
    return UnknownNameError("model", reference, [*registry.entries(), *presets.names()])

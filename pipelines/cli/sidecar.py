"""What a `.tflite` file does not say itself, preprocessing and class names, kept in a small file beside it."""

from dataclasses import dataclass
from pathlib import Path

from hw_model import codec
from hw_model.errors import DataError, SpecError, UsageError
from hw_model.files import write_text
from model_zoo import presets
from model_zoo.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """Preprocessing and class names of an exported file."""

    preprocessing: Preprocessing
    class_names: tuple[str, ...] = ()


def path_of(model_path: Path) -> Path:
    """Where the file lies.

    >>> path_of(Path("out/net.tflite")).as_posix()
    'out/net.preprocessing.json'
    """
    return model_path.with_name(f"{model_path.stem}.preprocessing.json")


def write(model_path: Path, sidecar: Sidecar) -> Path:
    """Writes the file for an exported model."""
    path = path_of(model_path)
    write_text(path, codec.dumps(sidecar, indent=1) + "\n")
    return path


def read(model_path: Path, like: str | None = None) -> Sidecar:
    """How images become this file's inputs and what its outputs mean: as for the model `like`, or as the
    file beside it says.

    Raises:
        UsageError: neither is there.
        DataError: the file beside it is damaged.
    """
    if like is not None:
        return _of_preset(presets.get(like))
    path = path_of(model_path)
    if path.is_file():
        try:
            return codec.loads(Sidecar, path.read_bytes())
        except SpecError as error:
            raise DataError(f"{path} is damaged: {error}; export the model again") from error
    shipped = _from_manifest(model_path)
    if shipped is None:
        raise UsageError(
            f"How images are prepared for {model_path} is not known: there is no {path.name} beside it; "
            "name the preset it was made from with --like"
        )
    return shipped


def _of_preset(preset: presets.Preset) -> Sidecar:
    if preset.preprocessing is None:
        raise UsageError(f"{preset.name} reads text, not images; ask it with edgezoo answer")
    return Sidecar(preprocessing=preset.preprocessing, class_names=preset.class_names)


def _from_manifest(model_path: Path) -> Sidecar | None:
    """That of the preset a file belongs to, if it lies in a weights folder."""
    folder = model_path.absolute().parent.parent
    if not (folder / presets.MANIFEST).is_file():
        return None
    for preset in presets.read_manifest(folder).presets:
        if preset.tflite is not None and folder / preset.tflite.path == model_path.absolute():
            return _of_preset(preset)
    return None

"""Presets: a spec with trained weights, preprocessing, class names and measured metrics, listed in a manifest.

A weights folder holds `MANIFEST.json` and one folder per preset. The presets that ship live in the package's own
weights folder, those fetched in one of the user's cache; a training run, a search winner or a colleague's model is a
weights folder of the same form.
"""

import os
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hw_model import codec
from hw_model.errors import DataError, SpecError, UnknownNameError, UsageError
from hw_model.files import atomic_path, sha256_of, write_text
from model_zoo.fetch import home, shown
from model_zoo.manifest import (
    Compared,
    FileRecord,
    Manifest,
    Metric,
    Preset,
    Reading,
    Source,
    Training,
)
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec.heads import change_head, replace_head
from model_zoo.spec.image import ClassifierActivation
from model_zoo.spec.reading import Spec, from_json
from model_zoo.text import (
    QuestionPreprocessor,
    SentencePreprocessor,
    Vocabulary,
    check_vocabulary,
    load_preprocessor,
    read_vocabulary,
    write_vocabulary,
)
from model_zoo.text.storage import (
    SETTINGS_FILE,
    VOCABULARY_FILE,
    TextPreprocessor,
    preprocessor_for,
)

if TYPE_CHECKING:
    from model_zoo.nn.model import ZooModel

MANIFEST = "MANIFEST.json"
WEIGHTS_FILE = "model.weights.h5"
SPEC_FILE = "spec.json"
#: Names another weights folder to use instead of the package's own.
FOLDER_VARIABLE = "EDGEZOO_WEIGHTS"

__all__ = [
    "FOLDER_VARIABLE", "MANIFEST", "SPEC_FILE", "WEIGHTS_FILE", "Compared", "FileRecord", "Manifest", "Metric",
    "Preset", "Reading", "Source", "Training", "checked_file", "fetched_dir", "find", "get", "load_into", "load_model",
    "load_weights", "names", "put", "read_manifest", "read_text", "record", "save_preset", "source_of", "spec_of",
    "weights_dir", "write_reading",
]  # fmt: skip


def weights_dir() -> Path:
    """The folder of the presets that ship: inside the installed package, or beside it in a checkout."""
    if folder := os.environ.get(FOLDER_VARIABLE):
        return Path(folder)
    inside = Path(__file__).parent / "weights"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "weights"


def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Reads a weights folder's manifest.

    Raises:
        DataError: no manifest, or one that is not what it should be.
    """
    path = Path(folder) / MANIFEST
    try:
        return codec.loads(Manifest, path.read_bytes())
    except SpecError as error:
        raise DataError(f"{path} is not a manifest: {error}. Restore or remove the file") from error
    except OSError as error:
        raise DataError(
            f"{folder} is no weights folder: cannot read {MANIFEST} ({error.strerror})"
        ) from error


def fetched_dir() -> Path:
    """The weights folder of presets brought here by `fetch_presets`."""
    return home() / "weights"


@cache
def _listed(folder: Path) -> dict[str, tuple[Path, Preset]]:
    if not (folder / MANIFEST).exists():
        return {}
    return {preset.name: (folder, preset) for preset in read_manifest(folder).presets}


def _known() -> dict[str, tuple[Path, Preset]]:
    """Where each preset lies that has a name here; what ships goes before what was fetched."""
    return _listed(fetched_dir()) | _listed(weights_dir())


def names(*, fetched: bool = True) -> tuple[str, ...]:
    """Names of the presets on this machine, or of those that ship alone."""
    return tuple(sorted(_known() if fetched else _listed(weights_dir())))


def find(reference: str | os.PathLike[str]) -> tuple[Path, Preset]:
    """The weights folder and entry of a preset's name, or of a weights folder with one preset.

    Raises:
        UnknownNameError: neither a preset nor a folder; suggests near names.
        DataError: the folder's manifest is missing, corrupt, or holds several presets.
    """
    known = _known()
    if str(reference) in known:
        return known[str(reference)]
    folder = Path(reference)
    if not folder.is_dir():
        raise UnknownNameError("preset", str(reference), known)
    presets = read_manifest(folder).presets
    if len(presets) != 1:
        held = ", ".join(preset.name for preset in presets) or "none"
        raise DataError(
            f"{folder} must hold exactly one preset to be loaded by its path. Received: {held}"
        )
    return folder, presets[0]


def get(reference: str | os.PathLike[str]) -> Preset:
    """The manifest entry `find` finds."""
    return find(reference)[1]


def checked_file(folder: Path, record: FileRecord) -> Path:
    """Path of a preset's file after its SHA-256 was compared.

    Raises:
        DataError: the file is missing or not the one the manifest names.
    """
    path = folder / record.path
    if not path.is_file():
        raise DataError(f"{path} is missing; restore the weights folder")
    if path.stat().st_size != record.size_bytes or sha256_of(path) != record.sha256:
        raise DataError(
            f"{path} is corrupt or another file: its SHA-256 is not the manifest's "
            f"{record.sha256[:12]}...; restore the file"
        )
    return path


def spec_of(reference: str | os.PathLike[str]) -> Spec:
    """The architecture of a preset, its file and identity checked."""
    folder, preset = find(reference)
    spec = from_json(checked_file(folder, preset.spec).read_bytes())
    if spec.spec_id != preset.spec_id:
        raise DataError(
            f"{preset.name}: spec.json is {spec.spec_id}, the manifest says {preset.spec_id}"
        )
    return spec


def load_model(
    reference: str | os.PathLike[str],
    *,
    num_classes: int | None = None,
    classifier_activation: ClassifierActivation | Literal["published"] = "published",
) -> "ZooModel":
    """A preset's Keras model with its weights, preprocessing and class names.

    A `num_classes` other than the preset's replaces the classifier by a fresh one.
    """
    from model_zoo.nn.model import ZooModel

    folder, preset = find(reference)
    spec = spec_of(reference)
    if classifier_activation != "published" and spec.head is not None:
        spec = replace_head(spec, change_head(spec.head, activation=classifier_activation))
    reading = read_text(folder, preset)
    model = ZooModel(
        spec,
        # A vocabulary alone is no preprocessing: what is made of the words is not known.
        preprocessing=preset.preprocessing
        or (None if isinstance(reading, Vocabulary) else reading),
        class_names=preset.class_names,
        group_fake_quant=preset.group_fake_quant,
        name=preset.architecture,
    )
    if preset.weights is not None:
        load_weights(model, checked_file(folder, preset.weights))
        model.weights_origin = f"preset:{preset.name}"
    held = getattr(spec.head, "num_classes", None)
    if num_classes is not None and spec.head is not None and num_classes != held:
        return model.with_head(num_classes)
    return model


def read_text(folder: Path, preset: Preset) -> TextPreprocessor | Vocabulary | None:
    """How a preset reads text, its vocabulary checked: a vocabulary alone where no task lays the words out.

    Raises:
        DataError: the vocabulary is missing, damaged, or not the one the weights embed.
    """
    if preset.reading is None:
        return _older_text(folder / preset.name)
    words = read_vocabulary(checked_file(folder, preset.reading.vocabulary))
    check_vocabulary(words, preset.reading.tokens, where=preset.name)
    settings = preset.reading.settings
    return words if settings is None else preprocessor_for(words, settings)


def _older_text(place: Path) -> TextPreprocessor | Vocabulary | None:
    """What lies beside the weights of a run whose manifest does not name it."""
    if (place / SETTINGS_FILE).is_file():
        return load_preprocessor(place)
    words = place / VOCABULARY_FILE
    return read_vocabulary(words) if words.is_file() else None


def load_into(spec: Spec, reference: str, *, name: str | None = None) -> "ZooModel":
    """A model of `spec` holding every weight of a preset that fits; the classifier may differ, the body may not.

    Raises:
        DataError: the preset's body belongs to another network.
    """
    from model_zoo.nn.model import ZooModel, copy_weights, is_last_layer

    source = load_model(reference)
    title = name if name and name != reference else get(reference).architecture
    same_input = spec.input == source.spec.input
    model = ZooModel(spec, preprocessing=source.preprocessing if same_input else None, name=title)
    missed = [layer for layer in copy_weights(source, model) if not is_last_layer(layer)]
    if missed:
        raise DataError(
            f"Preset {reference} is another network: {len(missed)} layers differ, first {missed[0]}; "
            f"use its own architecture, create_model({reference!r})"
        )
    return model


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Loads a `.weights.h5` file whose every weight must fit.

    Raises:
        DataError: the file is missing, corrupt, or belongs to another network.
    """
    if not Path(path).is_file():
        if not Path(path).suffix:
            raise UnknownNameError("preset or weight file", str(path), names())
        raise DataError(f"No weight file at {path}; a .weights.h5 file is expected")
    try:
        with warnings.catch_warnings(action="ignore"):
            model.load_weights(path)
    except Exception as error:  # h5py and Keras raise a dozen types for a broken or foreign file
        reason = (
            str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        )
        raise DataError(f"{path} does not hold this network's weights: {reason}") from error
    model.weights_origin = f"file:{Path(path).name}"


def save_preset(
    model: "ZooModel",
    folder: str | os.PathLike[str],
    name: str,
    *,
    licence: str | None = None,
    data_licence: str = "unknown",
    training: Training | None = None,
    source: Source | None = None,
    metrics: tuple[Metric, ...] = (),
    vocabulary: Vocabulary | None = None,
) -> Preset:
    """Writes a model as a preset of a weights folder, adding to or replacing an entry of its manifest.

    A text model's preprocessing goes with it; one that has none can be given the `vocabulary` of its words.
    Weights read from files of others have a `source`, see `source_of`; their licence is what it says, and unknown
    where nothing is said. Weights of ours are Apache-2.0.
    The manifest is replaced last, so a crash leaves the folder as it was before.
    """
    if not name or name != Path(name).name or name.startswith("."):
        raise UsageError(f"A preset's name is a plain file name. Received: {name!r}")
    root = Path(folder)
    write_text(root / name / SPEC_FILE, model.spec.to_json(indent=1) + "\n")
    with atomic_path(root / name / WEIGHTS_FILE) as temporary:
        model.save_weights(temporary)
    graph = model.spec.graph()
    own = model.preprocessing
    preset = Preset(
        name=name,
        architecture=model.name,
        task=model.spec.task,
        spec_id=model.spec.spec_id,
        param_count=graph.param_count,
        macs=graph.macs,
        spec=record(root, f"{name}/{SPEC_FILE}"),
        weights=record(root, f"{name}/{WEIGHTS_FILE}"),
        preprocessing=own if isinstance(own, Preprocessing) else None,
        class_names=model.class_names,
        licence=licence or ("unknown" if source else "Apache-2.0"),
        data_licence=data_licence,
        group_fake_quant=model.group_fake_quant,
        reading=write_reading(root, name, own, vocabulary),
        training=training,
        source=source,
        metrics=metrics,
    )
    put(root, preset)
    return preset


def write_reading(
    root: Path, name: str, own: object, vocabulary: Vocabulary | None = None
) -> Reading | None:
    """Writes the vocabulary of a text model whose preprocessing is `own`; the record says how it reads."""
    settings = None
    if isinstance(own, QuestionPreprocessor | SentencePreprocessor):
        vocabulary, settings = own.vocabulary, own.settings
    if vocabulary is None:
        return None
    path = f"{name}/{VOCABULARY_FILE}"
    write_vocabulary(vocabulary, root / path)
    return Reading(vocabulary=record(root, path), tokens=len(vocabulary), settings=settings)


def record(folder: str | os.PathLike[str], path: str) -> FileRecord:
    """The record of a file that lies in a weights folder."""
    whole = Path(folder) / path
    return FileRecord(path=path, sha256=sha256_of(whole), size_bytes=whole.stat().st_size)


def source_of(*paths: str | os.PathLike[str], origin: str | None = None) -> Source:
    """Where weights come from: the files they were read from, and a URL (default: the first file's name)."""
    files = tuple(record(Path(path).parent, Path(path).name) for path in paths)
    return Source(origin=shown(origin) if origin else files[0].path, files=files)


def put(folder: str | os.PathLike[str], preset: Preset) -> None:
    """Adds or replaces a manifest entry."""
    root = Path(folder)
    held = read_manifest(root).presets if (root / MANIFEST).exists() else ()
    others = tuple(other for other in held if other.name != preset.name)
    manifest = Manifest(
        version=1, presets=tuple(sorted((*others, preset), key=lambda item: item.name))
    )
    write_text(root / MANIFEST, codec.dumps(manifest, indent=1) + "\n")
    _listed.cache_clear()

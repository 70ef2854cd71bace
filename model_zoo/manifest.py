"""What a weights folder says of its presets: frozen records, read strictly from MANIFEST.json."""

from dataclasses import dataclass

from hw_model.errors import SpecError
from model_zoo.preprocessing import Preprocessing
from model_zoo.spec.base import Node
from model_zoo.text.questions import QuestionSettings
from model_zoo.text.sentences import SentenceSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord(Node):
    """A file of a preset, by its path inside the weights folder."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Node):
    """A figure from a run of ours on `images` examples; `form` is the file it was measured on."""

    name: str
    value: float
    form: str
    dataset: str
    split: str
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared(Node):
    """Another network's figures, to see a preset's beside: its teacher's, or those of training without one."""

    name: str
    metrics: tuple[Metric, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Node):
    """How a network reads text: its vocabulary, of `tokens` word pieces, and how they are laid out for its task."""

    vocabulary: FileRecord
    tokens: int
    settings: QuestionSettings | SentenceSettings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training(Node):
    """Where the weights come from."""

    recipe: str
    recipe_id: str
    command: str
    dataset: str
    seed: int
    epochs: int
    wall_time_s: float
    hardware: str
    tools: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source(Node):
    """Files of others that weights were read from: a URL or name, and each file by its name alone."""

    origin: str
    files: tuple[FileRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset(Node):
    """One manifest entry; every figure in it can be recomputed from its files."""

    name: str
    architecture: str
    task: str
    spec_id: str
    param_count: int
    macs: int
    spec: FileRecord
    weights: FileRecord | None
    #: Of images; a network that reads text has a `reading`.
    preprocessing: Preprocessing | None
    class_names: tuple[str, ...]
    licence: str
    data_licence: str
    #: Whether its group convolutions round to 8 bits, with ranges among the weights.
    group_fake_quant: bool = False
    reading: Reading | None = None
    training: Training | None = None
    #: Runs before that one, each starting from the weights of the one before it.
    earlier: tuple[Training, ...] = ()
    #: Of weights that others trained, with or without a `training` of ours after it.
    source: Source | None = None
    metrics: tuple[Metric, ...] = ()
    compared: tuple[Compared, ...] = ()
    tflite: FileRecord | None = None
    certificate: FileRecord | None = None

    @property
    def files(self) -> tuple[FileRecord, ...]:
        """All it consists of."""
        words = self.reading.vocabulary if self.reading else None
        found = (self.spec, self.weights, words, self.tflite, self.certificate)
        return tuple(file for file in found if file is not None)

    def metric(self, name: str, form: str = "float") -> float | None:
        """Value of a metric, or None where it was not measured."""
        for metric in self.metrics:
            if (metric.name, metric.form) == (name, form):
                return metric.value
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest(Node):
    """All presets of a weights folder."""

    version: int
    presets: tuple[Preset, ...]

    def check(self) -> None:
        if self.version != 1:
            raise SpecError("version", f"must be 1. Received: {self.version}")
        names = [preset.name for preset in self.presets]
        if len(set(names)) != len(names):
            raise SpecError("presets", "name one preset twice")

"""What an exported file is and does: written beside it, read back strictly."""

import json
import os
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from hw_model import codec
from hw_model.errors import DataError, SpecError
from hw_model.files import sha256_of, write_json
from pipelines.export.fidelity import TensorSqnr
from pipelines.export.mixed import Mixture
from pipelines.export.postprocess import PostProcess

VERSION = 4
_TOOLS = ("edgezoo", "tensorflow", "keras", "ai-edge-litert", "ai-edge-quantizer", "numpy")


@dataclass(frozen=True, slots=True, kw_only=True)
class PortInfo:
    """Input or output: real value = scale * (stored - zero_point); `scale` is 0 where values are real as stored."""

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The representative set: `count` samples, all of them different."""

    source: str
    count: int
    distinct: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sqnr:
    """Signal to quantization noise over all operators' outputs, in dB; `worst` comes first.

    `output_db` is that of the model's output, the worse one of several.
    """

    samples: int
    tensors: int
    min_db: float
    median_db: float
    output_db: float
    worst: tuple[TensorSqnr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """The task's headline metric, a fraction, of the float model and of the file on the same images."""

    images: int
    metric: str
    float_value: float
    int8_value: float

    @property
    def drop_points(self) -> float:
        """What quantization costs, in percentage points."""
        return 100 * (self.float_value - self.int8_value)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnHost:
    """Operations of one kind that a target leaves to its host, and why: they are integers there too."""

    target: str
    operation: str
    count: int
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """All that is claimed about an exported file; each field was measured on that file.

    `predicted_equals_converted` is None for a model without a spec; otherwise `differences` holds the
    lines of the comparison, none when it is True. `float_operators` are those of the network; what
    `postprocess` puts behind it decodes boxes in floating point and is not among them. `on_host` is asked for
    the target of the export, or for the usual ones where none was named; older certificates leave it empty.
    """

    file: str
    sha256: str
    size_bytes: int
    weight_bytes: int
    float_size_bytes: int
    model: str
    spec_id: str | None
    weights_origin: str
    group_form: str
    target: str | None
    inputs: tuple[PortInfo, ...]
    outputs: tuple[PortInfo, ...]
    operators: dict[str, int]
    float_operators: tuple[str, ...]
    predicted_equals_converted: bool | None
    differences: tuple[str, ...]
    calibration: Calibration
    sqnr: Sqnr
    accuracy: Accuracy | None
    export_seconds: float
    tools: dict[str, str] = field(default_factory=lambda: tool_versions())
    version: int = VERSION
    postprocess: PostProcess | None = None
    on_host: tuple[OnHost, ...] = ()
    #: What padding is put below words by, before scores end at the lowest that means anything; None without a mask.
    mask_value: float | None = None
    #: Of a file in several precisions; None of one in 8 bits throughout.
    mixture: Mixture | None = None

    @property
    def all_int8(self) -> bool:
        """Whether no operator touches floating point, and inputs and outputs are int8.

        Words that go in and classes that an argmax names are numbers in themselves: they are int32.
        """
        ports = {port.dtype for port in (*self.inputs, *self.outputs)}
        mixed = self.mixture is not None and {
            held.precision for held in self.mixture.operators
        } != {"int8"}
        return not self.float_operators and not mixed and ports <= {"int8", "int32"}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the certificate as JSON, whole or not at all."""
        write_json(path, codec.to_data(self))


#: Dictionaries are pairs in the strict codec.
@dataclass(frozen=True, slots=True, kw_only=True)
class _File(Certificate):
    operators: tuple[tuple[str, int], ...]  # type: ignore[assignment]
    tools: tuple[tuple[str, str], ...]  # type: ignore[assignment]


def certificate_path(model_path: str | os.PathLike[str]) -> Path:
    """Where the certificate of a file lies.

    >>> certificate_path("out/net.tflite").as_posix()
    'out/net.certificate.json'
    """
    path = Path(model_path)
    return path.with_name(f"{path.stem}.certificate.json")


def load_certificate(model_path: str | os.PathLike[str]) -> Certificate:
    """The certificate of a `.tflite` file, after making sure that it is of this very file.

    Raises:
        DataError: no certificate, a damaged one, or the file has changed since.
    """
    path = certificate_path(model_path)
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        for key in ("operators", "tools"):
            data[key] = list(data[key].items())
        read = codec.from_data(_File, data)
    except OSError as error:
        raise DataError(
            f"{path}: no certificate can be read ({error.strerror}); export the model again"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, SpecError) as error:
        raise DataError(f"{path} is not a certificate: {error}; export the model again") from error
    values = {name: getattr(read, name) for name in Certificate.__dataclass_fields__}
    values |= {"operators": dict(read.operators), "tools": dict(read.tools)}
    if not Path(model_path).is_file() or sha256_of(model_path) != read.sha256:
        raise DataError(f"{path} belongs to another file than {model_path}; export the model again")
    return Certificate(**values)


def tool_versions() -> dict[str, str]:
    """Versions of everything that shapes an exported file."""
    versions = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    return versions

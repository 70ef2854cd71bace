"""What this machine is: versions, processors, memory. Reads metadata and imports no framework."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path

#: Distribution -> the extra of setup.cfg that brings it; the empty extra is the bare installation.
PACKAGES: dict[str, str] = {
    "numpy": "",
    "tqdm": "",
    "keras": "train",
    "tensorflow": "train",
    "tensorflow-datasets": "train",
    "pillow": "train",
    "h5py": "train",
    "tensorboard": "train",
    "ai-edge-litert": "export",
    "optuna": "search",
    "pycocotools": "detection",
    "grpcio": "service",
    "tokenizers": "text",
}
BACKENDS = ("tensorflow", "jax", "torch")


def version(distribution: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def tool_versions() -> tuple[tuple[str, str], ...]:
    """Versions of what shapes trained weights, as a preset records them."""
    names = ("edgezoo", "keras", *BACKENDS, "numpy")
    found = [(name, version(name)) for name in names]
    pairs = [(name, known) for name, known in found if known is not None]
    return (("python", platform.python_version()), *pairs)


def keras_backend() -> str:
    """The backend Keras will use: as KERAS_BACKEND says, else its own settings file, else TensorFlow."""
    if chosen := os.environ.get("KERAS_BACKEND"):
        return chosen
    settings = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "keras.json"
    try:
        return str(json.loads(settings.read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def hardware() -> str:
    """The machine in a few words, such as `2 CPU cores (x86_64)`."""
    count = processors()
    return f"{count} CPU core{'s' if count > 1 else ''} ({platform.machine()})"

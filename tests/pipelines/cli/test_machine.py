"""What the machine is asked about itself: versions and the Keras backend, without importing a framework."""

import json
from pathlib import Path

import pytest

from pipelines.cli import machine


def test_an_installed_and_an_absent_version() -> None:
    assert machine.version("numpy")
    assert machine.version("no-such-distribution") is None


def test_recorded_tools_name_python_and_numpy() -> None:
    names = [name for name, _ in machine.tool_versions()]
    assert names[0] == "python"
    assert {"keras", "numpy"} <= set(names)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [(None, "tensorflow"), ("{", "tensorflow"), ("[]", "tensorflow"), ({"backend": "jax"}, "jax")],
)
def test_backend_of_the_settings_file(
    settings: object, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    if settings is not None:
        text = settings if isinstance(settings, str) else json.dumps(settings)
        (tmp_path / "keras.json").write_text(text, encoding="utf-8")
    assert machine.keras_backend() == expected


def test_the_environment_decides_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert machine.keras_backend() == "torch"


def test_hardware_counts_what_this_process_may_use() -> None:
    assert machine.hardware().startswith(f"{machine.processors()} CPU core")

"""The command line called in this process, and a study small enough to make for every test run."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON value and nothing else."""
        return json.loads(self.out)

    def failed(self, code: int) -> str:
        """The one line of an error; fails unless it is that, with that exit code and nothing else."""
        assert self.code == code, self
        assert self.out == ""
        lines = [line for line in self.err.splitlines() if line]
        assert len(lines) == 1, self.err
        assert lines[0].startswith("edgezoo: error: ")
        assert "Traceback" not in self.err
        return lines[0]


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Calls `main` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Ran:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study of a dozen proxy trials; tests that change one copy it."""
    folder = tmp_path_factory.mktemp("studies") / "proxy"
    words = ["search", "run", "--quality", "proxy", "--budget", "1ms", "--image-size", "64"]
    assert main([*words, "--trials", "12", "--batch", "6", "--study", str(folder)]) == 0
    return folder

"""The journeys of the README run as printed, from a folder with the examples, and are as short as promised."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
JOURNEYS = ["Load", "Fine-tune", "Import", "Segment", "Re-search", "What it costs, and why"]
MAX_LINES = 5


def code_of(journey: str, root: Path) -> tuple[str, str]:
    """Language and text of the one code block below that heading."""
    text = (root / "README.md").read_text(encoding="utf-8")
    section = re.search(rf"^##+ {journey}\n(.*?)(?=^##)", text, flags=re.MULTILINE | re.DOTALL)
    assert section, f"no section {journey}"
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", section[1], flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    language, code = blocks[0]
    return language, code


@pytest.mark.parametrize("journey", JOURNEYS)
def test_is_short(journey: str, root: Path) -> None:
    language, code = code_of(journey, root)
    assert language in {"python", "bash"}
    assert 1 <= len(code.splitlines()) <= MAX_LINES
    assert max(map(len, code.splitlines())) <= 100


@pytest.mark.parametrize(
    "journey",
    [
        "Load",
        pytest.param("Fine-tune", marks=pytest.mark.slow),
        pytest.param("Import", marks=pytest.mark.slow),
        pytest.param("Segment", marks=pytest.mark.slow),
        "Re-search",
        "What it costs, and why",
    ],
)
def test_runs_as_printed(journey: str, root: Path, tmp_path: Path) -> None:
    language, code = code_of(journey, root)
    (tmp_path / "examples").symlink_to(root / "examples")
    program = [sys.executable, "-W", "ignore", "-"] if language == "python" else ["bash", "-e"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        program,
        input=code,
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr

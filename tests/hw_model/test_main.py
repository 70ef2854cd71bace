"""`python -m hw_model`: text, JSON, page; one line and the right exit code for every mistake; no framework."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hw_model.__main__ import main


@pytest.fixture(scope="module")
def tflite() -> Path:
    """Any valid int8 file."""
    files = sorted((Path(__file__).parent / "io").rglob("*.tflite"))
    if not files:
        pytest.skip("no .tflite file among the tests' data")
    return files[0]


def test_prints_a_table(tflite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tflite), "--target", "coral_usb"]) == 0
    out = capsys.readouterr().out
    assert "Coral USB Accelerator" in out
    assert "Where the time goes" in out


def test_prints_json_and_writes_a_page(
    tflite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "out.html"
    assert main([str(tflite), "--json", "--html", str(page)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["target_name"] == "pixel6"
    assert len(report["rows"]) > 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_writes_the_timeline_of_a_simulation(tflite: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.json"
    assert main([str(tflite), "--evaluator", "simulator", "--trace", str(trace)]) == 0
    assert json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]


@pytest.mark.parametrize(
    ("name", "content", "options", "code"),
    [
        ("a.tflite", b"not a model at all", [], 3),
        ("a.tflite", b"", [], 3),
        ("absent.tflite", None, [], 3),
        ("a.h5", b"x", [], 2),
        ("a.tflite", b"x", ["--target", "pixel"], 2),
        ("a.tflite", b"x", ["--trace", "t.json"], 2),
        ("a.tflite", b"x", ["--target", "absent.toml"], 3),
    ],
)
def test_mistakes_get_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    options: list[str],
    code: int,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    assert main([str(path), *options]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_runs_without_any_framework(tflite: Path, tmp_path: Path) -> None:
    """Keras and TensorFlow are made impossible to import, as where they are not installed."""
    code = (
        "import sys\n"
        "for name in ('keras', 'tensorflow', 'jax', 'torch', 'optuna', 'scipy', 'tqdm', 'model_zoo'):\n"
        "    sys.modules[name] = None\n"
        "from hw_model.__main__ import main\n"
        f"sys.exit(main([{str(tflite)!r}, '--all', '--html', {str(tmp_path / 'out.html')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "All operations" in done.stdout

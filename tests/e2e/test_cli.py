"""The command line as a user types it: train, evaluate, quantize, fine-tune and report on a network of a few layers."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from model_zoo.spec import Backbone, ClassifierHead, ImageInput, ModelSpec, Stack, Stem
from pipelines.cli import main

pytestmark = pytest.mark.e2e

RECIPE = """
epochs = 3
batch_size = 32
[optimizer]
learning_rate = 0.1
[schedule]
warmup_epochs = 0.5
"""


def small_spec() -> ModelSpec:
    """Every block kind once, at the size of the digits."""
    stacks = (
        Stack(kind="project", kernel=1, filters=8),
        Stack(kind="fused", filters=16, stride=2, expansion=2),
        Stack(kind="group_fused", filters=16, expansion=4, group_size=32),
        Stack(kind="dw", filters=16, expansion=2),
    )
    return ModelSpec(
        family="mobilenet_edgetpu_v2",
        input=ImageInput(height=8, width=8, channels=1),
        backbone=Backbone(stem=Stem(kernel=3, filters=16, stride=1), stacks=stacks),
        head=ClassifierHead(num_classes=10, top_filters=32),
    )


@dataclass(frozen=True)
class Ran:
    """What one command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as one JSON value."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Any:
    """Calls the command in this process; what native code prints is seen too."""

    def call(*words: object) -> Ran:
        capfd.readouterr()
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        return Ran(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a spec and a recipe, trained once into `w`."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "small.json").write_text(small_spec().to_json(), encoding="utf-8")
    (folder / "quick.toml").write_text(RECIPE, encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        words = ["train", "small.json", "--data", "digits", "--recipe", "quick.toml", "--out", "w"]
        assert main(words) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def top1(answer: dict[str, Any]) -> float:
    return float(answer["metrics"]["top1"] if "metrics" in answer else answer["top1"])


def test_a_trained_folder_is_a_model(run: Any) -> None:
    info = run("info", "w", "--json").json
    assert info["preset"]["name"] == "small_digits"
    assert info["preset"]["training"]["recipe"] == "quick"
    assert info["preset"]["data_licence"] == "CC BY 4.0"
    evaluated = run("eval", "w", "--data", "digits", "--json").json
    (recorded,) = [m["value"] for m in info["preset"]["metrics"] if m["name"] == "top1"]
    assert top1(evaluated) == pytest.approx(recorded)
    assert recorded > 0.3
    assert evaluated["images"] == 445


def test_int8_file_with_certificate(run: Any) -> None:
    data = run("quantize", "w", "--data", "digits", "--out", "q/net.tflite", "--json").json
    assert data["all_int8"] is True
    assert data["predicted_equals_converted"] is True
    assert Path(data["certificate"]).is_file()
    evaluated = run("eval", "q/net.tflite", "--data", "digits", "--json").json
    assert evaluated["form"] == "int8"
    assert top1(evaluated) == pytest.approx(data["accuracy"]["int8_value"])
    assert run("diff", "w", "q/net.tflite", "--json").json["equal"]
    assert "all int8" in run("quantize", "w", "--data", "digits", "--out", "q/net.tflite").out


def test_fine_tuning_replaces_the_head(run: Any, tmp_path: Path) -> None:
    words = (
        "train",
        "w",
        "--weights",
        "w",
        "--data",
        "fashion_mnist_small",
        "--recipe",
        "quick.toml",
    )
    data = run(*words, "--epochs", 1, "--out", "tuned", "--json").json
    assert data["epochs"] == 1
    names = run("info", "tuned", "--json").json["preset"]["class_names"]
    assert names[:2] == ["t-shirt/top", "trouser"]


def test_resume_needs_the_same_run(run: Any) -> None:
    words = ("train", "small.json", "--data", "digits", "--recipe", "quick.toml", "--out", "w")
    ran = run(*words)
    assert ran.code == 2
    assert "--resume" in ran.err
    assert run(*words, "--resume", "--json").json["epochs"] == 3
    assert run(*words, "--resume", "--seed", "1").code == 2


def test_report_of_a_trained_model(run: Any) -> None:
    assert "Measured" in run("report", "w", "--out", "w.html", "--json").json["sections"]
    assert "edgezoo" in Path("w.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("eval", "small.json", "--data", "digits"), 2, "without weights"),
        (("eval", "w", "--data", "digits", "--split", "val"), 2, "split of digits"),
        (("eval", "w", "--data", "empty"), 3, "empty"),
        (("eval", "w", "--data", "nowhere/at/all"), 3, "no folder nowhere/at/all"),
        (("eval", "corrupt.tflite", "--data", "digits"), 3, "corrupt.tflite"),
        (("eval", "swapped", "--data", "digits"), 3, "SHA-256"),
        (("eval", "lost.keras", "--data", "digits"), 3, "lost.keras"),
        (("eval", "corrupt.keras", "--data", "digits"), 3, "corrupt.keras"),
        (
            ("quantize", "small.json", "--data", "digits", "--out", "x.tflite"),
            2,
            "--allow-untrained",
        ),
        (("quantize", "w", "--data", "digits", "--out", "x.bin"), 2, ".tflite"),
        (("quantize", "w", "--data", "digits", "--out", "/proc/x/n.tflite"), 4, "/proc/x"),
        (("train", "small.json", "--data", "digits"), 2, "--recipe"),
        (("train", "small.json", "--data", "digits", "--recipe", "quik"), 2, "recipe"),
        (("train", "small.json", "--data", "digits", "--recipe", "bad.toml"), 2, "optimizer.rate"),
        (("train", "nope", "--data", "digits", "--recipe", "quick.toml"), 2, "Unknown model"),
        (("train", "x", "--data", "digits", "--weights", "w"), 2, "--weights w holds"),
        (("train", "small.json", "--data", "one_class", "--recipe", "quick.toml"), 3, "one_class"),
    ],
)
def test_bad_input_is_one_line(
    run: Any, place: Path, words: tuple[str, ...], code: int, hint: str
) -> None:
    make_bad_things(place)
    ran = run(*words)
    assert ran.code == code, ran.err
    assert ran.out == ""
    (line,) = [line for line in ran.err.splitlines() if line.startswith("edgezoo: error: ")]
    assert hint in line
    assert "Traceback" not in ran.err


def make_bad_things(place: Path) -> None:
    """What a careless or unlucky user points the command at."""
    (place / "corrupt.tflite").write_bytes(b"TFL3" * 40)
    (place / "corrupt.keras").write_bytes(b"PK\x03\x04 no archive")
    (place / "bad.toml").write_text("[optimizer]\nrate = 1.0\n")
    (place / "empty").mkdir(exist_ok=True)
    (place / "one_class" / "a").mkdir(parents=True, exist_ok=True)
    (place / "one_class" / "a" / "0.png").write_bytes(b"")
    swapped = place / "swapped"
    if not swapped.exists():
        (swapped / "small_digits").mkdir(parents=True)
        for name in ("MANIFEST.json", "small_digits/spec.json"):
            (swapped / name).write_bytes((place / "w" / name).read_bytes())
        (swapped / "small_digits/model.weights.h5").write_bytes(b"other weights")


def test_untrained_export_is_allowed_on_request(run: Any) -> None:
    words = ("quantize", "small.json", "--data", "digits", "--out", "u.tflite", "--samples", 8)
    data = run(*words, "--allow-untrained", "--json").json
    assert data["accuracy"] is None
    assert data["calibration"]["count"] == 8


def test_doctor_verifies_weights(run: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bad_things(place)
    monkeypatch.setenv("EDGEZOO_WEIGHTS", str(place / "w"))
    healthy = run("doctor", "--json").json
    assert healthy["healthy"] is True
    assert any("SHA-256 verified" in finding["text"] for finding in healthy["findings"])
    monkeypatch.setenv("EDGEZOO_WEIGHTS", str(place / "swapped"))
    ran = run("doctor")
    assert ran.code == 3
    assert "✗ small_digits" in ran.out


def test_doctor_names_what_is_missing(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipelines.cli import machine

    installed = machine.version
    monkeypatch.setattr(
        machine, "version", lambda name: None if name == "optuna" else installed(name)
    )
    monkeypatch.setenv("EDGEZOO_WEIGHTS", "w")
    ran = run("doctor")
    assert ran.code == 4
    assert "✗ optuna is missing; pip install 'edgezoo[search]'" in ran.out


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "pipelines", *words]


def test_as_a_process_json_is_pure_and_frameworks_are_silent(place: Path) -> None:
    done = subprocess.run(
        command("eval", "w", "--data", "digits", "--json"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["images"] == 445
    assert "oneDNN" not in done.stderr
    assert "WARNING" not in done.stderr


def test_as_a_process_a_mistake_is_one_line(place: Path) -> None:
    done = subprocess.run(command("lst"), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("edgezoo: error: Unknown verb. Did you mean list")
    assert done.stderr.count("\n") == 1


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_in_a_training_says_how_to_resume_and_resuming_finishes(place: Path) -> None:
    words = ("train", "small.json", "--data", "digits", "--recipe", "quick.toml", "--out", "cut")
    process = subprocess.Popen(
        command(*words, "--epochs", "400"),
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # A shell that runs this test in the background has told its children to ignore Ctrl-C.
        preexec_fn=_hear_ctrl_c,
    )
    checkpoint = place / "cut" / "run" / "checkpoint.npz"
    give_up = time.monotonic() + 240
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < give_up:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    last = err.strip().splitlines()[-1]
    assert last.startswith("edgezoo: error: interrupted")
    assert last.endswith(f"continue with: edgezoo {' '.join(words)} --epochs 400 --resume")
    assert "Traceback" not in err
    assert checkpoint.is_file()

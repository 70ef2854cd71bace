"""`edgezoo calibrate`: the fit of a user's measurements, the file it writes, and one line for each mistake."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hw_model import estimate, load_target
from hw_model.calibrate.profile import with_scales
from hw_model.targets.loader import FOLDER
from model_zoo.registry import entries, spec_of

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run

NAMES = list(entries())[:5]
TRUTH = {"overhead.mapping_efficiency": 0.5, "overhead.op_us": 6.0}


def measurements(path: Path, rows: list[tuple[str, float]]) -> Path:
    """A measurements file."""
    lines = [f"{model},{latency_ms!r}" for model, latency_ms in rows]
    path.write_text("\n".join(["model,latency_ms", *lines]) + "\n", encoding="utf-8")
    return path


def simulated(names: list[str]) -> list[tuple[str, float]]:
    """What a device with known constants would have measured."""
    target = with_scales(load_target("pixel6"), TRUTH)
    return [(name, estimate(spec_of(name), target=target).latency_ms) for name in names]


def test_constants_come_back_and_the_file_is_a_target(run: "Run", tmp_path: Path) -> None:
    path = measurements(tmp_path / "m.csv", simulated(NAMES))
    data = run(
        "calibrate", "--target", "pixel6", "--measurements", path, "--out", "my.toml", "--json"
    ).json
    fitted = {name: each["fitted"] for name, each in data["constants"].items()}
    assert fitted == pytest.approx(TRUTH, rel=1e-3)
    assert data["mean_error_left_out"] < 1e-3
    mine = load_target(tmp_path / "my.toml")
    assert mine.overhead.op_us == pytest.approx(6.0, rel=1e-3)
    by_path = {constant.path: constant for constant in mine.constants}
    for name in TRUTH:
        assert by_path[name].source == "fitted to m.csv, 5 rows"
        assert by_path[name].fitted
    assert "rows left out" in by_path["accuracy.analytical_error"].source
    # What is not measured on published networks does not say so.
    said = [
        estimate(spec_of(NAMES[0]), target=mine, evaluator=name).error_words
        for name in ("analytical", "simulator")
    ]
    assert "rows left out, fitted to m.csv" in said[0]
    assert said[1].startswith("assumed to be off by")
    # The written target is one to fit again.
    again = run("calibrate", "--target", "my.toml", "--measurements", path)
    assert again.code == 0
    assert "Nothing written" in again.out
    assert all(name in again.out for name in NAMES)


def test_specs_and_files_beside_the_table_count(run: "Run", tmp_path: Path, root: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "mine.json").write_text(spec_of(NAMES[0]).to_json(), encoding="utf-8")
    shutil.copy(root / "tests/hw_model/io/fixtures/tiny_int8.tflite", folder / "tiny.tflite")
    rows = [("mine.json", 0.9), ("tiny.tflite", 0.1), *simulated(NAMES[1:])]
    path = measurements(folder / "m.csv", rows)
    data = run("calibrate", "--target", "pixel6", "--measurements", path, "--json").json
    assert [row["model"] for row in data["rows"]] == [name for name, _ in rows]
    assert data["written"] is None


@pytest.mark.parametrize(
    ("rows", "code", "message"),
    [
        ([*simulated(NAMES), ("mobilenet_edgetpu_v9", 1.0)], 3, "line 7: Unknown model"),
        ([*simulated(NAMES), ("gone.tflite", 1.0)], 3, "line 7: No file at gone.tflite"),
        ([*simulated(NAMES), (NAMES[0], 1.0)], 3, f"line 7: {NAMES[0]} is measured on line 2"),
        ([(NAMES[0], float("nan"))], 3, "line 2: latency_ms must be a positive number"),
        ([(NAMES[0], -1.0)], 3, "line 2: latency_ms must be a positive number"),
        (simulated(NAMES[:3]), 2, "takes at least 4 rows. Received: 3"),
        ([], 2, "takes at least 5 rows. Received: 0"),
        ([(name, ms * 1e6) for name, ms in simulated(NAMES)], 3, "check the measurements' unit"),
    ],
)
def test_wrong_measurements_are_one_line(
    run: "Run", tmp_path: Path, rows: list[tuple[str, float]], code: int, message: str
) -> None:
    path = measurements(tmp_path / "m.csv", rows)
    ran = run("calibrate", "--target", "pixel6", "--measurements", path, "--out", "my.toml")
    assert message in ran.failed(code)
    assert not (tmp_path / "my.toml").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('unit = "MHz", ', "", "array.clock_mhz"),
        ('unit = "MHz"', 'unit = "GHz"', "array.clock_mhz.unit: must be 'MHz'"),
        ("[array]\n", "[array]\nclock_mhz = 1\n", "is not valid TOML"),
        (", fitted = true", "", "mark 1 to 5 constants with `fitted = true`"),
    ],
)
def test_a_wrong_target_is_one_line(
    run: "Run", tmp_path: Path, old: str, new: str, message: str
) -> None:
    text = (FOLDER / "pixel6.toml").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new), encoding="utf-8")
    path = measurements(tmp_path / "m.csv", simulated(NAMES))
    assert message in run("calibrate", "--target", "mine.toml", "--measurements", path).failed(2)


def test_wrong_words_are_one_line(run: "Run", tmp_path: Path) -> None:
    path = measurements(tmp_path / "m.csv", simulated(NAMES))
    assert "Say which target" in run("calibrate", "--measurements", path).failed(2)
    assert "--measurements" in run("calibrate", "--target", "pixel6").failed(2)
    words = ("calibrate", "--target", "pixel6", "--measurements", path, "--out", "x.json")
    assert "--out is a .toml file" in run(*words).failed(2)

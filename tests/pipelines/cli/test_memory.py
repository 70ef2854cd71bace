"""`edgezoo cost --memory`: the map beside the report, its values in JSON, its picture in a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hw_model.__main__ import main as light_main

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run

NAME = "mobilenet_edgetpu_v2_tiny"
TFLITE = Path(__file__).parents[2] / "hw_model" / "io" / "fixtures" / "tiny_int8.tflite"


def test_map_and_picture(run: "Run", tmp_path: Path) -> None:
    picture = tmp_path / "memory.svg"
    out = run("cost", NAME, "--memory-svg", str(picture)).out
    assert "no layout is lower" in out
    assert out.rstrip().endswith(f"Picture written to {picture}")
    assert picture.read_text().startswith("<svg")


def test_values(run: "Run") -> None:
    memory = run("cost", NAME, "--memory", "--json").json["memory"]
    assert memory["peak_bytes"] == memory["bound_bytes"] > 0
    assert "memory" not in run("cost", NAME, "--json").json


def test_one_target_at_a_time(run: "Run") -> None:
    line = run("cost", NAME, "--memory", "--schedule", "pixel4,pixel6").failed(2)
    assert "--schedule" in line


def test_without_the_zoo(capsys: pytest.CaptureFixture[str]) -> None:
    assert light_main([str(TFLITE), "--memory"]) == 0
    assert "Activation memory of" in capsys.readouterr().out

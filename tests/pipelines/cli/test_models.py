"""list, info, cost and diff: what a model is, what it costs, how two differ; and wrong names and files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_zoo import create_spec
from pipelines.cli.references import parse_size

Run = Callable[..., Any]
V2_S = "mobilenet_edgetpu_v2_s"


@pytest.fixture
def spec_file(tmp_path: Path) -> Path:
    """The S as an edited spec.json."""
    path = tmp_path / "spec.json"
    path.write_text(create_spec(V2_S, num_classes=10).to_json(indent=1))
    return path


@pytest.fixture(scope="session")
def tiny_tflite(root: Path) -> Path:
    """A real int8 file of a few operators."""
    return root / "tests/hw_model/io/fixtures/tiny_int8.tflite"


def test_list_finds_by_pattern_family_and_budget(run: Run) -> None:
    assert [row["name"] for row in run("list", "mobilenet_edgetpu_v2_?", "--json").json] == [
        f"mobilenet_edgetpu_v2_{size}" for size in "sml"
    ]
    assert {
        row["family"] for row in run("list", "--family", "efficientnet_edgetpu", "--json").json
    } == {"efficientnet_edgetpu"}
    cheap = run("list", "--target", "pixel6", "--max-latency", "0.9", "--json").json
    assert 0 < len(cheap) < 13
    assert all(row["latency_ms"] <= 0.9 for row in cheap)


def test_list_as_text_has_a_row_per_model(run: Run) -> None:
    text = run("list", "mobilenet_edgetpu_v2*", "--target", "coral_usb").out
    assert text.count("mobilenet_edgetpu_v2_") == 5
    assert "6,038,025" in text
    assert "coral_usb" in text


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("autoseg_edgetpu_xs", "BiFPN (4 cells, levels 3 to 8), logits"),
        ("deeplabv3plus_mobilenet_edgetpu_v2_xs_151", "DeepLabV3+ (levels 4 and 5), logits"),
    ],
)
def test_info_and_cost_of_a_segmentation_network(run: Run, name: str, head: str) -> None:
    assert head in run("info", name).out
    assert run("cost", name, "--target", "pixel6", "--json").json["latency_ms"] > 1


def test_list_without_match_says_so(run: Run) -> None:
    ran = run("list", "resnet*")
    assert (ran.code, ran.out) == (0, "No model matches 'resnet*' and the limits given.\n")
    assert run("list", "resnet*", "--json").json == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["list", "--max-latency", "1"], "--target"),
        (["list", "--target", "pixel5"], "Did you mean pixel"),
        (["list", "--family", "mobilenet_edgetpu"], "Did you mean mobilenet_edgetpu_v"),
        (["info", "mobilenet_edgetpu_v2_xss"], "mobilenet_edgetpu_v2_xs"),
        (["cost", V2_S, "--target", "pixl6"], "Did you mean pixel6"),
        (["cost", V2_S, "--input-size", "big"], "224x320"),
        (["cost", V2_S, "--input-size", "16"], "total stride of 32"),
        (["cost", V2_S, "--num-classes", "0"], "num_classes"),
        (["cost", V2_S, "--top", "-1"], "--top"),
        (["cost", V2_S, "--schedule", "pixel6,pixel6"], "different names"),
        (["cost", V2_S, "--schedule", "pixel6,pixl4"], "Did you mean pixel4"),
        (["cost", V2_S, "--objective", "energy"], "--schedule"),
        (["info", "x.tflite"], "holds no spec"),
    ],
)
def test_wrong_values_are_explained(run: Run, words: list[str], hint: str) -> None:
    assert hint in run(*words).failed(2)


@pytest.mark.parametrize(
    "words",
    [
        ["info", "nowhere/spec.json"],
        ["cost", "gone.tflite"],
        ["cost", "gone.json"],
        ["diff", V2_S, "gone/b.keras"],
        ["cost", V2_S, "--target", "gone.toml"],
    ],
)
def test_missing_files_are_data_errors(run: Run, words: list[str]) -> None:
    assert "gone" in run(*words).failed(3) or "nowhere" in run(*words).failed(3)


def test_info_shows_blocks_and_marks_published_figures(run: Run) -> None:
    text = run("info", V2_S).out
    assert "6,038,025 (5,987,737 trainable)" in text
    assert text.count("stack ") == 20
    assert "Published by others, not measured here\nImageNet top-1, int8  77.36 %" in text
    data = run("info", V2_S, "--json").json
    assert sum(row["params"] for row in data["rows"]) == data["params"] == 6038025
    assert sum(row["macs"] for row in data["rows"]) == data["macs"]
    assert data["preset"] is None


def test_info_follows_size_and_classes(run: Run) -> None:
    data = run("info", V2_S, "--input-size", "96x128", "--num-classes", "7", "--json").json
    assert data["input"] == [96, 128, 3]
    assert data["classes"] == 7
    assert data["published"] != []


def test_info_prints_a_spec_that_can_be_costed(run: Run, tmp_path: Path) -> None:
    text = run("info", V2_S, "--spec").out
    assert json.loads(text) == run("info", V2_S, "--spec", "--json").json
    (tmp_path / "own.json").write_text(text)
    own, named = (run("cost", name, "--json").json for name in ("own.json", V2_S))
    assert own["latency_ms"] == named["latency_ms"]


def test_cost_names_ceilings_and_reasons(run: Run) -> None:
    text = run("cost", V2_S, "--target", "pixel6", "--top", "2").out
    assert text.startswith(f"{V2_S} on Pixel 6")
    assert "Slowest 2 operations, and why" in text
    data = run("cost", V2_S, "--target", "pixel6", "--json").json
    assert data["model"] == V2_S
    assert data["target_name"] == "pixel6"
    terms = data["model_terms"]
    times_us = sum(row["time_us"] for row in data["rows"])
    times_us += sum(terms[f"{name}_us"] for name in ("input", "output", "instruction", "fixed"))
    assert times_us / 1e3 == pytest.approx(data["latency_ms"])


def test_cost_writes_a_page(run: Run, tmp_path: Path) -> None:
    assert "Page written to cost.html" in run("cost", V2_S, "--html", "cost.html").out
    page = (tmp_path / "cost.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_cost_assigns_layers_to_several_targets(run: Run, tmp_path: Path) -> None:
    text = run("cost", V2_S, "--schedule", "mensa", "--html", "strip.html").out
    assert "mensa_pascal" in text
    assert "times better than" in text
    assert "Calls over time" in (tmp_path / "strip.html").read_text(encoding="utf-8")
    words = ("cost", V2_S, "--schedule", "coral_usb,pixel6", "--objective", "energy", "--json")
    data = run(*words).json
    assert data["objective"] == "energy"
    assert data["energy_mj"] <= min(one["energy_mj"] for one in data["alone"]) * (1 + 1e-9)


def test_cost_writes_the_timeline_of_a_simulation(run: Run, tmp_path: Path) -> None:
    done = run("cost", V2_S, "--evaluator", "simulator", "--trace", "trace.json")
    assert "Timeline written to trace.json" in done.out
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    for options in ((), ("--evaluator", "simulator", "--schedule", "pixel6,coral_usb")):
        assert "--trace needs" in run("cost", V2_S, "--trace", "t.json", *options).failed(2)


def test_cost_cannot_write_below_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "file/cost.html" in run("cost", V2_S, "--html", "file/cost.html").failed(4)


def test_cost_of_a_tflite_file(run: Run, tiny_tflite: Path) -> None:
    assert run("cost", tiny_tflite, "--target", "coral_usb", "--json").json["macs"] > 0
    assert "leave --input-size" in run("cost", tiny_tflite, "--input-size", "32").failed(2)


@pytest.mark.parametrize("keep", [0, 7, 400])
def test_a_truncated_tflite_file_is_a_data_error(
    run: Run, tiny_tflite: Path, tmp_path: Path, keep: int
) -> None:
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(tiny_tflite.read_bytes()[:keep])
    assert "broken.tflite" in run("cost", broken).failed(3)


def test_a_wrong_field_is_named_by_file_and_path(run: Run, spec_file: Path) -> None:
    data = json.loads(spec_file.read_text())
    data["backbone"]["stacks"][2]["kernel"] = "three"
    spec_file.write_text(json.dumps(data))
    line = run("cost", spec_file).failed(2)
    assert f"{spec_file}: backbone.stacks[2].kernel: must be int. Received: 'three'" in line


def test_an_impossible_group_size_is_named_by_path(run: Run, spec_file: Path) -> None:
    data = json.loads(spec_file.read_text())
    data["backbone"]["stacks"][2]["group_size"] = 63
    spec_file.write_text(json.dumps(data))
    assert "backbone.stacks[2].group_size" in run("info", spec_file).failed(2)


def test_a_file_that_is_no_json_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "half.json").write_text('{"family": ')
    assert "half.json" in run("info", "half.json").failed(2)


def test_diff_of_specs(run: Run, spec_file: Path) -> None:
    assert run("diff", V2_S, V2_S).out == "The specs are equal.\n"
    assert run("diff", V2_S, spec_file, "--json").json == {
        "compared": "specs",
        "equal": False,
        "lines": ["head.num_classes: 1001 -> 10"],
    }


def test_diff_of_graphs_and_files(run: Run, tiny_tflite: Path) -> None:
    lines = run("diff", V2_S, "mobilenet_edgetpu_v2_m", "--graph", "--json").json["lines"]
    assert lines
    assert all(line[:2] in ("- ", "+ ") for line in lines)
    assert run("diff", tiny_tflite, tiny_tflite).out == "The graphs are equal.\n"
    assert not run("diff", V2_S, tiny_tflite, "--json").json["equal"]


@pytest.mark.parametrize("text", ["0", "2x3x4", "", "x", "-3", "1.5"])
def test_sizes_that_are_none(text: str) -> None:
    from hw_model.errors import UsageError

    with pytest.raises(UsageError, match="224x320"):
        parse_size(text)

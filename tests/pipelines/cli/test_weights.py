"""`edgezoo weights`: where presets are, whether they are intact, and what is fetched, with one line for what fails."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hw_model import codec
from hw_model.files import sha256_of
from model_zoo import presets
from model_zoo.fetch import HOME_VARIABLE, OFFLINE_VARIABLE

Run = Callable[..., Any]
NAME = "autoseg_edgetpu_xs_composed_scenes"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.delenv(presets.FOLDER_VARIABLE, raising=False)
    return tmp_path / "home"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """One shipped preset in a weights folder of its own, under another name."""
    root = tmp_path / "copy"
    shutil.copytree(presets.weights_dir() / NAME, root / "mine")
    manifest = presets.Manifest(version=1, presets=(presets.get(NAME),))
    (root / presets.MANIFEST).write_text(codec.dumps(manifest).replace(NAME, "mine"))
    return root


def test_where_tells_folders_and_sources(
    run: Run, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = run("weights", "where", "--json").json
    assert [row["preset"] for row in rows] == list(presets.names())
    assert {row["from"] for row in rows} == {"shipped"}
    for row in rows:
        assert sum(Path(file).stat().st_size for file in row["files"]) == row["bytes"]
    text = run("weights", "where").out
    assert f"cache    {cache}" in text
    assert "network  allowed" in text
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    monkeypatch.setenv(presets.FOLDER_VARIABLE, str(presets.weights_dir()))
    text = run("weights", "where").out
    assert "forbidden by EDGEZOO_OFFLINE" in text
    assert "EDGEZOO_WEIGHTS" in text
    monkeypatch.setenv(presets.FOLDER_VARIABLE, str(cache))
    assert run("weights", "where").out.startswith("No presets.")


def test_where_of_one_is_its_folder_and_nothing_else(run: Run) -> None:
    assert run("weights", "where", NAME).out == f"{presets.weights_dir() / NAME}\n"
    assert "Did you mean" in run("weights", "where", NAME[1:]).failed(2)


def test_verify_finds_what_is_missing_and_what_was_changed(run: Run, copy: Path) -> None:
    ran = run("weights", "verify")
    assert (ran.code, ran.out.splitlines()[-1].startswith("All ")) == (0, True)
    assert {row["state"] for row in run("weights", "verify", copy, "--json").json} == {"ok"}
    (copy / "mine" / "spec.json").unlink()
    weights = copy / "mine" / presets.WEIGHTS_FILE
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    ran = run("weights", "verify", copy, "--json")
    assert ran.code == 3
    states = {Path(row["file"]).name: row["state"] for row in ran.json}
    assert [states.pop(name) for name in ("spec.json", presets.WEIGHTS_FILE)] == [
        "missing",
        "corrupt",
    ]
    assert set(states.values()) == {"ok"}
    assert "2 of 4 files are not what their manifests say" in run("weights", "verify", copy).out
    assert run("weights", "verify").code == 0


def test_fetch_brings_presets_and_says_how_to_load_them(run: Run, copy: Path, cache: Path) -> None:
    origin = copy / presets.MANIFEST
    assert run("weights", "fetch", origin, "mine").out == 'mine: model_zoo.create_model("mine")\n'
    (row,) = run("weights", "where", "mine", "--json").json
    assert (row["from"], row["folder"]) == ("fetched", str(cache / "weights" / "mine"))
    assert "mine" in run("list", "--pretrained").out
    assert "mine" in run("weights", "verify").out
    assert run("weights", "fetch", origin, "mine", "--json").json["presets"] == ["mine"]
    assert "Did you mean mine" in run("weights", "fetch", origin, "nine").failed(2)


def test_fetch_of_a_file_prints_its_path(run: Run, copy: Path) -> None:
    path = copy / "mine" / "spec.json"
    assert run("weights", "fetch", path).out == f"{path}\n"
    assert run("weights", "fetch", path, "--sha256", sha256_of(path), "--json").json == {
        "file": str(path)
    }
    assert "not the file asked for" in run("weights", "fetch", path, "--sha256", "0" * 64).failed(3)
    assert "MANIFEST.json" in run("weights", "fetch", path, "mine").failed(2)
    assert "No file" in run("weights", "fetch", "lost").failed(3)
    assert "SHA-256" in run("weights", "fetch", "https://x.invalid/a").failed(2)
    url = ("weights", "fetch", "https://x.invalid/a", "--sha256", "0" * 64)
    assert "Cannot reach" in run(*url).failed(4)


def test_offline_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFLINE_VARIABLE, "1")
    words = ("weights", "fetch", "https://x.invalid/a", "--sha256", "0" * 64)
    assert "EDGEZOO_OFFLINE forbids" in run(*words).failed(4)


@pytest.mark.parametrize("action", ["where", "verify", "fetch"])
def test_help_of_every_action(action: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        run("weights", action, "--help")
    assert left.value.code == 0
    assert f"edgezoo weights {action}" in capsys.readouterr().out

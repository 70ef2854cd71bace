"""Presets of a weights folder behind a web server: known by name once they are here, and never another's weights."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from file_server import FileServer, serving

import model_zoo
from hw_model.errors import DataError, EnvironmentFault, UnknownNameError, UsageError
from hw_model.files import sha256_of
from model_zoo import presets
from model_zoo.fetch import HOME_VARIABLE
from model_zoo.fetched import fetch_presets


@pytest.fixture(scope="module")
def folder(small: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder with two presets, one of them read from a file of others."""
    root = tmp_path_factory.mktemp("weights")
    presets.save_preset(small, root, "ours")
    published = root / "published.bin"
    published.write_bytes(b"theirs")
    source = presets.source_of(
        published, origin="https://me:secret@example.org/published.bin?key=1"
    )
    presets.save_preset(small, root, "theirs", source=source)
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "home"


@pytest.fixture
def server(folder: Path) -> Iterator[FileServer]:
    files = {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
    with serving(files) as running:
        yield running


def sum_of(folder: Path) -> str:
    return sha256_of(folder / presets.MANIFEST)


def test_fetched_presets_are_known_by_name(server: FileServer, folder: Path, cache: Path) -> None:
    before = model_zoo.list_models(pretrained=True)
    url = f"{server.url}/MANIFEST.json?token=1"
    found = fetch_presets(url, sha256=sum_of(folder))
    assert [preset.name for preset in found] == ["ours", "theirs"]
    assert set(model_zoo.list_models(pretrained=True)) == {*before, "ours", "theirs"}
    assert set(presets.names(fetched=False)) == set(before)
    assert presets.find("ours") == (cache / "weights", presets.read_manifest(folder).presets[0])
    assert model_zoo.create_model("theirs").weights_origin == "preset:theirs"
    asked = len(server.asked)
    assert fetch_presets(url, sha256=sum_of(folder)) == found
    assert len(server.asked) == asked == 5


def test_some_are_chosen_by_name(server: FileServer, folder: Path) -> None:
    url = f"{server.url}/MANIFEST.json"
    fetch_presets(url, sha256=sum_of(folder), only=["theirs"])
    assert "ours" not in presets.names()
    with pytest.raises(UnknownNameError, match="Did you mean theirs"):
        fetch_presets(url, sha256=sum_of(folder), only=["their"])
    fetch_presets(url, sha256=sum_of(folder), only=["ours"])
    assert {"ours", "theirs"} <= set(presets.names())


def test_a_local_folder_can_be_brought_too(folder: Path) -> None:
    fetch_presets((folder / presets.MANIFEST).as_uri(), only=["ours"])
    assert presets.get("ours").files == presets.read_manifest(folder).presets[0].files


def test_a_preset_without_all_its_files_has_no_name(server: FileServer, folder: Path) -> None:
    whole = server.files.pop("ours/model.weights.h5")
    with pytest.raises(DataError, match=r"model\.weights\.h5 answers 404"):
        fetch_presets(f"{server.url}/MANIFEST.json", sha256=sum_of(folder))
    assert "ours" not in presets.names()
    server.files["ours/model.weights.h5"] = whole[:-1] + b"x"
    with pytest.raises(DataError, match="not the file asked for"):
        fetch_presets(f"{server.url}/MANIFEST.json", sha256=sum_of(folder))
    server.files["ours/model.weights.h5"] = whole
    server.breaks = [5000, 0]
    with pytest.raises(EnvironmentFault, match="broke after 5,000 bytes"):
        fetch_presets(f"{server.url}/MANIFEST.json", sha256=sum_of(folder))
    fetch_presets(f"{server.url}/MANIFEST.json", sha256=sum_of(folder))
    assert "ours" in presets.names()


def changed(folder: Path, copy: Path, file: str, **values: str) -> Path:
    """The manifest of a copy of the folder whose first preset has another record of a file."""
    manifest = Path(shutil.copytree(folder, copy)) / presets.MANIFEST
    data = json.loads(manifest.read_text())
    data["presets"][0][file] |= values
    manifest.write_text(json.dumps(data))
    return manifest


def test_a_name_keeps_its_weights(folder: Path, tmp_path: Path) -> None:
    fetch_presets(folder / presets.MANIFEST)
    other = changed(folder, tmp_path / "other", "weights", sha256="0" * 64)
    with pytest.raises(
        DataError, match=r"ours has other weights in .*a name never changes its own"
    ):
        fetch_presets(other)
    assert fetch_presets(other, only=["theirs"])


@pytest.mark.parametrize(
    "path", ["../../evil", "ours/../x", "/etc/passwd", "theirs/spec.json", "ours/.x", "x"]
)
def test_a_file_outside_its_folder_is_refused(folder: Path, tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match="outside its folder"):
        fetch_presets(changed(folder, tmp_path / "copy", "spec", path=path))
    assert not presets.fetched_dir().exists()


def test_another_file_holds_no_presets(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"listed in a MANIFEST\.json"):
        fetch_presets(folder / "ours" / "spec.json")


def test_a_source_is_told_and_its_licence_is_not_guessed(folder: Path) -> None:
    from model_zoo.card import card

    ours, theirs = presets.read_manifest(folder).presets
    assert (ours.source, ours.licence, theirs.licence) == (None, "Apache-2.0", "unknown")
    (file,) = theirs.source.files if theirs.source else ()
    assert (file.path, file.size_bytes) == ("published.bin", 6)
    text = card(theirs)
    assert "## Read from\n\nhttps://example.org/published.bin" in text
    assert f"| `published.bin` | 6 | `{file.sha256}` |" in text
    assert "| Licence of the weights | unknown |" in text
    assert "## Measured" not in text
    assert "## Read from" not in card(ours)

"""Fetching the packages of the composed scenes: with apt as it should be, without lists, and without apt."""

from pathlib import Path

import pytest

from hw_model.errors import DataError, EnvironmentFault
from pipelines.data import load_dataset
from pipelines.data.scenes import catalogue
from pipelines.data.scenes.catalogue import FOLDERS, PACKAGES
from pipelines.data.scenes.fetch import fetch_assets

# `download` fails the first time, as it does without package lists; `update` writes them.
APT_GET = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *update*) ;;
  *Dir::State::Lists*download*) for name in {packages}; do echo > "$name.deb"; done ;;
  *) [ -e {listed} ] || {{ echo "W: beware" >&2; echo "E: Unable to locate package" >&2; exit 100; }}
     for name in {packages}; do echo > "$name.deb"; done ;;
esac
"""
DPKG_DEB = """#!/bin/sh
for part in {folders}; do mkdir -p "$3/$part"; done
"""


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins for apt-get and dpkg-deb, the first on PATH; `listed` in it means lists exist."""
    folder = tmp_path / "bin"
    folder.mkdir()
    words = {
        "log": folder / "log",
        "listed": folder / "listed",
        "packages": " ".join(PACKAGES),
        "folders": " ".join(map(str, FOLDERS)),
    }
    for name, text in (("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        (folder / name).write_text(text.format(**words))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_packages_are_unpacked_and_nothing_else_stays(tools: Path, tmp_path: Path) -> None:
    (tools / "listed").touch()
    target = tmp_path / "assets"
    (target / FOLDERS[0] / "left_over").mkdir(parents=True)
    fetch_assets(target)
    assert all((target / folder).is_dir() for folder in FOLDERS)
    assert not (target / FOLDERS[0] / "left_over").exists()
    assert [path.name for path in target.iterdir()] == ["usr"]
    assert (tools / "log").read_text().splitlines() == [f"download {' '.join(PACKAGES)}"]


def test_without_package_lists_it_makes_its_own(tools: Path, tmp_path: Path) -> None:
    fetch_assets(tmp_path / "assets")
    assert (tmp_path / "assets" / FOLDERS[0]).is_dir()
    calls = (tools / "log").read_text().splitlines()
    assert len(calls) == 3
    assert calls[1].endswith("update")
    assert "Dir::State::Lists" in calls[2]


def test_what_apt_says_is_passed_on_in_one_line(tools: Path, tmp_path: Path) -> None:
    (tools / "apt-get").write_text("#!/bin/sh\necho 'E: no network' >&2; exit 100\n")
    with pytest.raises(EnvironmentFault, match="E: no network") as caught:
        fetch_assets(tmp_path / "assets")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "assets").iterdir())


def test_without_apt_the_packages_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="apt-get and dpkg-deb not found") as caught:
        fetch_assets(tmp_path / "assets")
    assert PACKAGES[0] in str(caught.value)


def test_loading_fetches_only_when_told(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "asset_roots", lambda: (tmp_path / "assets", tmp_path))
    with pytest.raises(DataError, match="--download"):
        load_dataset("composed_scenes")
    assert not (tools / "log").exists()
    # The stand-ins unpack empty folders: what is found next is that they hold too little.
    with pytest.raises(DataError, match="0 cut-outs"):
        load_dataset("composed_scenes", download=True)

"""The tree is what the README says: top level, packages, docstrings, file sizes, and no private words."""

import ast
import configparser
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.cli.machine import PACKAGES as PACKAGES_BY_EXTRA

MAX_LINES = 450
PACKAGES = ("hw_model", "model_zoo", "pipelines")

# Written apart, so that this file does not hold what it forbids.
PRIVATE_WORDS = [
    "/" + "work/",
    "py" + "pi.org",
    "python" + "hosted.org",
    "registry." + "npmjs",
    "deb." + "debian.org",
    "helper " + "session",
]


@pytest.fixture(scope="session")
def tracked(root: Path) -> list[Path]:
    """Files that belong to the repository, those not yet committed included; skips outside git."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := root / name).is_file()]


@pytest.fixture(scope="session")
def sources(tracked: list[Path]) -> list[Path]:
    """The Python files of the repository that are not empty."""
    return [path for path in tracked if path.suffix == ".py" and path.stat().st_size]


def test_there_are_sources_to_check(sources: list[Path], root: Path) -> None:
    assert {root / "hw_model/__init__.py", root / "tests/conftest.py"} <= set(sources)


def test_every_source_says_first_what_it_is_for(sources: list[Path], root: Path) -> None:
    silent = [
        str(path.relative_to(root))
        for path in sources
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert not silent


def test_no_source_is_too_long(sources: list[Path], root: Path) -> None:
    lines = {str(p.relative_to(root)): p.read_text(encoding="utf-8").count("\n") for p in sources}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


@pytest.mark.parametrize("word", PRIVATE_WORDS)
def test_no_private_word_is_tracked(word: str, tracked: list[Path], root: Path) -> None:
    needle = word.encode()
    assert [str(p.relative_to(root)) for p in tracked if needle in p.read_bytes()] == []


def test_readme_draws_the_top_level(tracked: list[Path], root: Path) -> None:
    drawn = set(re.findall(r"^([\w.]+)/?  +\S", _layout_block(root), flags=re.MULTILINE))
    present = {path.relative_to(root).parts[0] for path in tracked}
    hidden = {name for name in present if name.startswith(".")}
    assert drawn == present - hidden


def _layout_block(root: Path) -> str:
    text = (root / "README.md").read_text(encoding="utf-8")
    match = re.search(r"^## Layout\n+```text\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert match, "README.md has no Layout section with a text block"
    return match[1]


def test_setup_cfg_lists_every_package(sources: list[Path], root: Path) -> None:
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    listed = set(config["options"]["packages"].split())
    folders = {path.parent.relative_to(root) for path in sources}
    present = {".".join(f.parts) for f in folders if f.parts and f.parts[0] in PACKAGES}
    assert listed == present | {"model_zoo.weights"}


def test_packages_are_importable_folders(sources: list[Path], root: Path) -> None:
    inside = [p for p in sources if p.relative_to(root).parts[0] in PACKAGES]
    assert [str(p) for p in inside if not (p.parent / "__init__.py").is_file()] == []


def test_constraints_pin_every_dependency(root: Path) -> None:
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    optional_backends = {"jax", "torch"}
    wanted = set(_requirement_names(config["options"]["install_requires"]))
    for extra, lines in config["options.extras_require"].items():
        if extra not in optional_backends:
            wanted |= set(_requirement_names(lines))
    text = (root / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([\w.-]+)==[\w.+!]+$", text, flags=re.MULTILINE)
    assert len(pinned) == len(text.splitlines())
    assert wanted - {_normal(name) for name in pinned} == set()


def _requirement_names(block: str) -> Iterator[str]:
    for line in filter(None, (line.strip() for line in block.splitlines())):
        name = re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0]
        if name != "edgezoo" and not name.startswith("#"):
            yield _normal(name)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_doctor_names_the_extra_that_brings_a_package(root: Path) -> None:
    config = configparser.ConfigParser()
    config.read(root / "setup.cfg", encoding="utf-8")
    for package, extra in PACKAGES_BY_EXTRA.items():
        block = (
            config["options.extras_require"][extra]
            if extra
            else config["options"]["install_requires"]
        )
        assert package in set(_requirement_names(block))

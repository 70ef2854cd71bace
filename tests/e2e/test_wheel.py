"""The wheel holds every data file and works from another directory, without the checkout beside it."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e
PACKAGES = {"hw_model": "hw_model", "model_zoo": "model_zoo", "pipelines": "pipelines"}
LOCATIONS = PACKAGES | {"weights": "model_zoo/weights"}


def run(*command: str | Path, folder: Path) -> str:
    """Standard output of a command run in `folder`, with nothing of this checkout on its path."""
    clean = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the files git knows, so that nothing left lying about gets in."""
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    source = tmp_path_factory.mktemp("source")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder=root)
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((root / name).read_bytes())
    out = tmp_path_factory.mktemp("dist")
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", out]
    run(sys.executable, "-m", "pip", "wheel", *options, source, folder=out)
    (built,) = out.glob("edgezoo-*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a throwaway environment: the wheel, and what this environment has besides it.

    This environment's folder comes in by a `.pth` line, which does not run the `.pth` files in it:
    the editable installation of the checkout stays out.
    """
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, wheel, folder=folder)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return python


def test_holds_every_file_of_the_packages(wheel: Path, root: Path) -> None:
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    tracked = run(
        "git", "ls-files", "--cached", "--others", "--exclude-standard", *LOCATIONS, folder=root
    )
    wanted = {
        f"{LOCATIONS[top]}/{rest}"
        for top, _, rest in (name.partition("/") for name in tracked.splitlines())
        if (root / top / rest).is_file() and Path(rest).name != "README.md"
    }
    assert {n for n in inside if not n.endswith("README.md")} == wanted


def test_the_licence_travels_with_it(wheel: Path) -> None:
    assert any(n.endswith(".dist-info/licenses/LICENSE") for n in zipfile.ZipFile(wheel).namelist())


def test_packages_come_from_the_wheel(python: Path, root: Path, tmp_path: Path) -> None:
    names = ", ".join(PACKAGES)
    places = run(
        python, "-c", f"import {names}\nfor p in ({names}): print(p.__file__)", folder=tmp_path
    )
    assert len(places.splitlines()) == len(PACKAGES)
    assert all(Path(p).is_relative_to(python.parent.parent) for p in places.splitlines())


def test_lists_models_from_another_directory(python: Path, tmp_path: Path) -> None:
    listing = run(python.parent / "edgezoo", "list", folder=tmp_path)
    assert "mobilenet_edgetpu_v2_s" in listing


def test_costs_a_model_from_another_directory(python: Path, tmp_path: Path) -> None:
    script = (
        "import hw_model, model_zoo\n"
        "spec = model_zoo.create_spec('mobilenet_edgetpu_v2_s')\n"
        "print(hw_model.estimate(spec, target='pixel6').latency_ms)"
    )
    assert 0.5 < float(run(python, "-c", script, folder=tmp_path)) < 2


def test_loads_a_shipped_preset_from_another_directory(python: Path, tmp_path: Path) -> None:
    script = (
        "from model_zoo import presets\n"
        "preset = presets.get(presets.names(fetched=False)[0])\n"
        "presets.checked_file(presets.weights_dir(), preset.weights)\n"
        "print(presets.weights_dir(), presets.spec_of(preset.name).spec_id == preset.spec_id)"
    )
    folder, same = run(python, "-c", script, folder=tmp_path).split()
    assert Path(folder).is_relative_to(python.parent.parent)
    assert same == "True"

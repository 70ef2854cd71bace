"""Importing the packages and asking for help stay cheap: no framework is loaded until a model is built."""

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import hw_model

FRAMEWORKS = {
    "ai_edge_litert", "grpc", "h5py", "jax", "keras", "optuna", "scipy", "tensorflow",
    "tensorflow_datasets", "tensorflow_model_optimization", "tf_keras", "tokenizers", "torch",
}  # fmt: skip

# Runs the statement it is given, whatever exit it takes, and prints what was loaded by then.
PROBE = """
import contextlib, io, json, sys
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    exec(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_by(statement: str, folder: Path) -> set[str]:
    """Top-level modules a fresh interpreter holds after `statement`."""
    done = subprocess.run(
        [sys.executable, "-c", PROBE, statement],
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "statement",
    [
        "import hw_model",
        "import model_zoo",
        "import model_zoo; model_zoo.list_models('mobilenet*')",
        "import pipelines",
        "import pipelines.cli",
        "import pipelines.cli; pipelines.cli.main(['--help'])",
        "import pipelines.cli; pipelines.cli.main(['list'])",
    ],
)
def test_loads_no_framework(statement: str, tmp_path: Path) -> None:
    assert not loaded_by(statement, tmp_path) & FRAMEWORKS


def test_the_probe_sees_a_framework(tmp_path: Path) -> None:
    assert "h5py" in loaded_by("import h5py", tmp_path)


def test_every_module_of_the_cost_model_needs_numpy_alone(tmp_path: Path) -> None:
    modules = [m.name for m in pkgutil.walk_packages(hw_model.__path__, "hw_model.")]
    wanted = "; ".join(
        f"import {name}"
        for name in modules
        if not name.endswith("__main__") and not name.startswith("hw_model.service.")
    )
    foreign = loaded_by(wanted, tmp_path) - loaded_by("import numpy", tmp_path)
    foreign -= sys.stdlib_module_names | {"hw_model"}
    assert not {name for name in foreign if not name.startswith("_")}

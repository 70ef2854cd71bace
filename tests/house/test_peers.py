"""What the comparison tells its peers of a network is the network."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from hw_model.graph import to_inference
from model_zoo.registry import spec_of


@pytest.fixture
def peers(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, imported as when it is run."""
    monkeypatch.syspath_prepend(str(root / "benchmarks"))
    return importlib.import_module("peers")


@pytest.mark.parametrize("name", ["mobilenet_edgetpu_v2_tiny", "efficientnet_edgetpu_s"])
def test_layers_hold_all_multiply_adds(peers: ModuleType, name: str) -> None:
    layers = peers.layers_of(name)
    counted = sum(
        one["ox"] * one["oy"] * one["fx"] * one["fy"] * one["cout"] * (one["cin"] // one["groups"])
        for one in layers
    )
    graph = to_inference(spec_of(name).graph(), group_form="native")
    assert counted == sum(one["macs"] for one in layers)
    assert counted == pytest.approx(graph.macs, rel=0.005)
    assert {peers.shape_of(one) for one in layers} == set(peers.ours_by_shape([name], "analytical"))


def test_a_process_is_measured_and_stopped(peers: ModuleType, tmp_path: Path) -> None:
    ran = peers.run(["/bin/sh", "-c", "echo said; exit 3"], 10, tmp_path)
    assert (ran.code, ran.ended, ran.output) == (3, "failed", "said\n")
    endless = peers.run(["/bin/sh", "-c", "while :; do :; done"], 1, tmp_path)
    assert endless.ended == "timed out"
    assert endless.cpu_s <= 2


def test_memory_is_that_of_the_process(root: Path, tmp_path: Path) -> None:
    """Asked from a small process, as the scripts are: a child counts its parent's memory until it has started."""
    code = "import process, pathlib; print(process.run(['/bin/true'], 9, pathlib.Path()).peak_mb)"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(root / "benchmarks")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < float(found.stdout) < 100

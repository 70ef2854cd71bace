"""What the comparison tells its peers of a network is the network."""

import importlib
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
    assert 0 < ran.peak_mb < 100
    endless = peers.run(["/bin/sh", "-c", "while :; do :; done"], 1, tmp_path)
    assert endless.ended == "timed out"
    assert endless.cpu_s <= 2

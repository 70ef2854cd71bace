"""Trace files: what viewers need is there, tracks do not overlap, and the last event ends at the latency."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from hw_model import load_target
from hw_model.cost.simulator import Simulator
from hw_model.errors import EnvironmentFault
from hw_model.io.trace import write_trace
from hw_model.mapping.timeline import LANES
from model_zoo.registry import spec_of


def test_a_trace_shows_the_whole_inference(tmp_path: Path) -> None:
    target, graph = load_target("coral_usb"), spec_of("mobilenet_edgetpu_v2_l").graph()
    write_trace(graph, target, tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    tracks = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert len(set(tracks.values())) == len(LANES)
    spans = [event for event in events if event["ph"] == "X"]
    assert {event["tid"] for event in spans} <= set(tracks)
    assert {event["cat"] for event in spans} >= {"array", "parameters", "instructions"}
    for tid in tracks:
        own = sorted((e["ts"], e["ts"] + e["dur"]) for e in spans if e["tid"] == tid)
        assert all(a[1] <= b[0] + 1e-6 for a, b in pairwise(own))
    end_us = max(event["ts"] + event["dur"] for event in spans)
    report = Simulator(target).report(graph)
    assert end_us == pytest.approx(report.latency_ms * 1e3)
    stem = [event for event in spans if event["name"] == "stem_conv2d" and event["cat"] == "array"]
    assert [event["args"]["slab"] for event in stem] == [
        f"{n + 1} of {len(stem)}" for n in range(len(stem))
    ]
    assert "channel sets" in stem[0]["args"]["cores"]


def test_a_trace_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match="trace.json"):
        write_trace(
            spec_of("mobilenet_edgetpu_v2_s").graph(),
            load_target("pixel6"),
            tmp_path / "file" / "trace.json",
        )

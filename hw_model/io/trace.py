"""The timeline of a simulated inference as a trace file that Perfetto (ui.perfetto.dev) and chrome://tracing open."""

import json
import os
from typing import Any

from hw_model.cost.simulator import Simulator
from hw_model.files import write_text
from hw_model.graph import Graph
from hw_model.io.text import megabytes
from hw_model.mapping.program import Program
from hw_model.mapping.timeline import LANES, NO_UNIT, Event, Timeline
from hw_model.targets.target import Target

LANE_NAMES = {
    "host": "host",
    "instructions": "instructions in",
    "activations_in": "activations in",
    "parameters": "parameters in",
    "array": "array",
    "activations_out": "activations out",
}
_MODEL_EVENTS = {"host": "call of the driver", "instructions": "instruction stream"}


def write_trace(graph: Graph, target: Target, path: str | os.PathLike[str]) -> None:
    """Simulates a graph and writes its timeline; one track for each resource, microseconds as they are predicted.

    Raises:
        SpecError: an operation whose smallest tile does not fit the target's activation memory.
        EnvironmentFault: the file cannot be written.
    """
    program, timeline = Simulator(target).timeline(graph)
    write_text(path, json.dumps(trace(program, timeline), allow_nan=False) + "\n")


def trace(program: Program, timeline: Timeline) -> dict[str, Any]:
    """The timeline in the Trace Event Format."""
    tracks = [_label("process_name", 0, f"{program.graph.name} on {program.target.title}")]
    for track, lane in enumerate(LANES, start=1):
        tracks.append(_label("thread_name", track, LANE_NAMES[lane]))
        tracks.append({**_label("thread_sort_index", track, ""), "args": {"sort_index": track}})
    events = [_event(program, event) for event in timeline.events]
    return {"traceEvents": tracks + events, "displayTimeUnit": "ns"}


def _label(what: str, track: int, text: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": 1, "tid": track, "args": {"name": text}}


def _event(program: Program, event: Event) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if event.moved_bytes:
        details["moved"] = megabytes(event.moved_bytes)
    if event.unit == NO_UNIT:
        name = _MODEL_EVENTS[event.lane]
    else:
        unit = program.units[event.unit]
        name = unit.op.name
        details["kind"] = unit.op.kind
        if unit.tiling.slabs > 1:
            details["slab"] = f"{event.slab + 1} of {unit.tiling.slabs}"
        if event.lane == "array" and unit.tiling.work.placement is not None:
            spot = unit.tiling.work.placement
            details["cores"] = (
                f"{spot.row_splits} rows x {spot.column_splits} columns x {spot.channel_splits} channel sets"
            )
    return {
        "name": name,
        "cat": event.lane,
        "ph": "X",
        "pid": 1,
        "tid": LANES.index(event.lane) + 1,
        "ts": event.start_us,
        "dur": event.duration_us,
        "args": details,
    }

"""A network's latency as a function of a target's nuisance constants alone: what a fit evaluates thousands of times."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from hw_model.cost.analytical import calls, ceiling_cycles, model_terms
from hw_model.cost.host import spared_in
from hw_model.cost.rows import executed
from hw_model.cost.work import Mapped, Work, mapped_as, work_of
from hw_model.graph import Graph
from hw_model.targets.target import Target

#: What a file may mark as fitted: scales and rates that no data sheet tells.
SCALES = (
    "overhead.mapping_efficiency", "overhead.pointwise_ratio", "overhead.depthwise_ratio",
    "overhead.argmax_ratio", "overhead.op_us", "overhead.inference_us", "link.parameter_mb_per_s",
    "link.input_mb_per_s", "link.output_mb_per_s",
)  # fmt: skip
_KINDS: tuple[Mapped, ...] = ("spatial", "pointwise", "depthwise", "argmax", "moved")


def scales_of(target: Target) -> dict[str, float]:
    """The present value of each constant that can be fitted."""
    return {path: float(getattr(getattr(target, part), name)) for path, part, name in _split()}


def with_scales(target: Target, scales: Mapping[str, float]) -> Target:
    """The target with other values for some of those constants."""
    parts: dict[str, dict[str, float]] = {}
    for path, value in scales.items():
        part, _, name = path.partition(".")
        parts.setdefault(part, {})[name] = value
    changed = {part: replace(getattr(target, part), **values) for part, values in parts.items()}
    return replace(target, **changed)


def _split() -> list[tuple[str, str, str]]:
    return [(path, *path.split(".")) for path in SCALES]  # type: ignore[misc]


class Profile:
    """Counted work of a network on a target, ready to be timed under any scales; says what the evaluator says."""

    def __init__(self, target: Target, graph: Graph) -> None:
        run = list(calls(graph, target))
        works = [work_of(target, kind, inputs) for kind, inputs in run]
        cycles = np.array([max(ceiling_cycles(work.ceilings)) for work in works])
        full_us = cycles / target.array.clock_mhz
        kinds = np.array([_KINDS.index(mapped_as(kind)) for kind, _ in run])
        streamed_bytes = np.array(_streamed(target, works), dtype=np.float64)
        # What streams nothing is as long as its work, kind by kind; only the rest is compared one by one.
        streams = streamed_bytes > 0
        self._cached_us = np.bincount(kinds[~streams], full_us[~streams], len(_KINDS))
        self._full_us, self._kinds = full_us[streams], kinds[streams]
        self._streamed_bytes = streamed_bytes[streams]
        host = [work for work in works if work.on_host]
        self._starts = sum(not (work.free or work.on_host) for work in works)
        terms = model_terms(target, graph, 0)
        # Over the link's input direction: the input, the first instructions, what the host hands back.
        self._inbound_bytes = terms.input_bytes + target.link.instruction_bytes_base
        self._inbound_bytes += sum(work.output_bytes for work in host)
        self._outbound_bytes = terms.output_bytes + sum(work.input_bytes for work in host)
        moved = sum(work.input_bytes + work.output_bytes for work in host)
        self._host_us = len(host) * target.host.dispatch_us + moved / target.host.mb_per_s
        for spared in spared_in(executed(graph, target), target).values() if len(host) > 1 else ():
            self._inbound_bytes -= spared.inbound_bytes
            self._outbound_bytes -= spared.outbound_bytes
            self._host_us -= spared.calls * target.host.dispatch_us

    def latency_ms(self, scales: Mapping[str, float]) -> float:
        """What the analytical evaluator would say of a target with these values of all `SCALES`."""
        spatial = scales["overhead.mapping_efficiency"]
        pointwise = spatial * scales["overhead.pointwise_ratio"]
        depthwise = spatial * scales["overhead.depthwise_ratio"]
        reached = np.array([spatial, pointwise, depthwise, scales["overhead.argmax_ratio"], 1.0])
        busy_us = float((self._cached_us / reached).sum())
        if self._full_us.size:
            stream_us = self._streamed_bytes / scales["link.parameter_mb_per_s"]
            busy_us += float(np.maximum(self._full_us / reached[self._kinds], stream_us).sum())
        busy_us += self._starts * scales["overhead.op_us"] + scales["overhead.inference_us"]
        busy_us += self._inbound_bytes / scales["link.input_mb_per_s"]
        busy_us += self._outbound_bytes / scales["link.output_mb_per_s"]
        return (busy_us + self._host_us) / 1e3


def _streamed(target: Target, works: list[Work]) -> list[int]:
    """Bytes each operation streams at every inference: whole layers, first come, as the evaluator has it."""
    room = target.memory.parameter_bytes
    result = []
    for work in works:
        fits = work.parameter_bytes <= room
        room -= work.parameter_bytes if fits else 0
        result.append(0 if fits else work.parameter_bytes * work.passes)
    return result

"""The measurements behind `paper_relations.py`: each takes one evaluator on one target and returns named values."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache, cached_property
from statistics import fmean, geometric_mean

import numpy as np
import relation_graphs as graphs
from record import load

from hw_model import load_target
from hw_model.calibrate.correlate import correlate
from hw_model.calibrate.published import data_set
from hw_model.calibrate.reference_nets import reference_net
from hw_model.cost import CostReport, Evaluator, evaluator_for
from hw_model.errors import SpecError
from hw_model.graph import Graph, ops
from model_zoo import create_spec
from model_zoo.registry import entries, match, spec_of
from model_zoo.spec import BlockKind, Stack
from pipelines.search.block_analyzer import BlockCost, BlockMeter, Place

Values = dict[str, float]
SEGMENTERS = {
    **{size: f"deeplabv3plus_mobilenet_edgetpu_v2_{size}" for size in ("xs", "s", "m")},
    **{f"auto_{size}": f"autoseg_edgetpu_{size}" for size in ("xs", "s")},
}


class Costs:
    """One evaluator on one target."""

    def __init__(self, target: str, evaluator: str, *, native_groups: bool = False) -> None:
        self.name, self.evaluator = target, evaluator
        self.target = load_target(target)
        if native_groups:
            self.target = replace(self.target, group_form="native")

    @cached_property
    def _evaluator(self) -> Evaluator:
        return evaluator_for(self.target, self.evaluator)

    @cached_property
    def _meter(self) -> BlockMeter:
        return BlockMeter(self.target, self.evaluator)

    @cached_property
    def native(self) -> "Costs":
        """The same target if its compiler ran group convolutions as they are."""
        return Costs(self.name, self.evaluator, native_groups=True)

    def on(self, target: str) -> "Costs":
        """The same evaluator on another target."""
        return Costs(target, self.evaluator)

    def report(self, graph: Graph) -> CostReport:
        """The cost of a network."""
        return self._evaluator.report(graph)

    def us(self, graph: Graph) -> float:
        """Time of a graph's operations, without what starts and ends an inference."""
        return sum(row.time_us for row in self._evaluator.rows(graph))

    def op_us(self, kind: ops.OpType, size: int, channels: int) -> float:
        """Time of one operation."""
        return self.us(graphs.single(kind, size, channels))

    def block(
        self,
        kind: BlockKind,
        size: int,
        channels: int,
        expansion: int = 4,
        group: int | None = None,
    ) -> BlockCost:
        """A 3x3 bottleneck of the zoo that keeps its channels."""
        stack = Stack(kind=kind, kernel=3, expansion=expansion, group_size=group, filters=channels)
        return self._meter.cost(stack, Place(height=size, width=size, channels=channels))

    def published(self) -> tuple[list[CostReport], list[float]]:
        """Reports of the networks with a published latency on this target, and these latencies."""
        rows = data_set(self.name)
        return [self.report(network(row.model)) for row in rows], [row.latency_ms for row in rows]


@cache
def network(name: str) -> Graph:
    """A published network."""
    return spec_of(name).graph() if name in entries() else reference_net(name)


def _kernels(costs: Costs, size: int, channels: int, filters: int) -> Values:
    small, large = (costs.op_us(graphs.conv(filters, k), size, channels) for k in (3, 5))
    return {"small_us": small, "large_us": large, "ratio": large / small}


def kernel_deep(costs: Costs) -> Values:
    """3x3 and 5x5 where multiplying sets the time."""
    return _kernels(costs, 56, 120, 64)


def kernel_shallow(costs: Costs) -> Values:
    """3x3 and 5x5 where emptying the lanes sets the time of the 3x3."""
    return _kernels(costs, 26, 4, 128)


def fused_both_ways(costs: Costs) -> Values:
    """Fused against depthwise bottleneck: a shape where it wins and one where it loses."""
    fused, plain = (costs.block(kind, 112, 16, 8) for kind in ("fused", "dw"))
    late, late_plain = (costs.block(kind, 14, 256, 4) for kind in ("fused", "dw"))
    return {
        "shallow": fused.latency_us / plain.latency_us,
        "shallow_params": fused.params / plain.params,
        "deep": late.latency_us / late_plain.latency_us,
    }


def depthwise_per_mac(costs: Costs) -> Values:
    """Time per multiply-add, depthwise against full."""
    start_us, found = costs.target.overhead.op_us, []
    for size, channels in ((56, 64), (28, 128), (14, 512)):
        full = costs.op_us(graphs.conv(channels, 3), size, channels) - start_us
        depthwise = costs.op_us(graphs.depthwise(), size, channels) - start_us
        found.append(depthwise / full * channels)
    return {"least": min(found), "most": max(found)}


def group_against_depthwise(costs: Costs) -> Values:
    """The best pairs of a group and a depthwise bottleneck with the same input."""
    values: Values = {}
    for prefix, each in (("", costs), ("native_", costs.native)):
        pairs = [pair for size in (28, 56, 112) for pair in _pairs(each, size)]
        more = [latency for latency, work, _ in pairs if work >= 4]
        half = [work for latency, work, _ in pairs if latency <= 0.5]
        values |= {f"{prefix}four_times": min(more), f"{prefix}at_half": max(half)}
        if not prefix:
            equal = [pair for pair in pairs if pair[2]]
            latency, work, _ = min(equal, key=lambda pair: max(4 / pair[1], pair[0] / 0.5))
            values |= {"equal_latency": latency, "equal_ratio": work}
    return values


def _pairs(costs: Costs, size: int) -> Iterable[tuple[float, float, bool]]:
    """Latency ratio, the smaller of the ratios of parameters and multiply-adds, whether expansions are equal."""
    for channels in (4, 8, 16, 24, 32, 64, 128):
        plain, grouped = [], []
        if size * size * channels > 112 * 112 * 32:
            continue
        for expansion in (2, 3, 4, 6, 8, 12, 16):
            plain.append(costs.block("dw", size, channels, expansion))
            for group in (16, 32, 64, 128, 256, 512):
                try:
                    grouped.append(costs.block("group_fused", size, channels, expansion, group))
                except SpecError:
                    continue
        for a in plain:
            for b in grouped:
                work = min(b.params / a.params, b.macs / a.macs)
                equal = a.stack.expansion == b.stack.expansion
                yield b.latency_us / a.latency_us, work, equal


def group_utilization(costs: Costs) -> Values:
    """Utilization of group bottlenecks with more and more groups, as a share of the fused one's."""
    fused = costs.block("fused", 28, 128).utilization
    sizes = (256, 128, 64, 32)
    found = [costs.block("group_fused", 28, 128, 4, group) for group in sizes]
    shares = [block.utilization / fused for block in found]
    return {
        "few": shares[0],
        "many": shares[-1],
        "falls": float(shares == sorted(shares, reverse=True)),
        "small_latency": found[3].latency_us / found[2].latency_us,
    }


def fused_by_depth(costs: Costs) -> Values:
    """Fused against depthwise bottlenecks from the first to the last resolution."""
    found = [
        costs.block("fused", *place).latency_us / costs.block("dw", *place).latency_us
        for place in ((56, 48), (28, 64), (14, 128), (7, 256))
    ]
    return {
        "first": found[0],
        "last": found[-1],
        "growth": found[-1] / found[0],
        "rises": float(found == sorted(found)),
    }


def group_ends(costs: Costs) -> Values:
    """A native group convolution from one group to single channels."""
    channels, size = 256, 28
    native = costs.native
    times = [native.op_us(graphs.conv(channels, 3, 2**n), size, channels) for n in range(9)]
    steps = [before / after for before, after in zip(times, times[1:], strict=False)]
    return {
        "full": times[0] / native.op_us(graphs.conv(channels, 3), size, channels),
        "depthwise": times[-1] / native.op_us(graphs.depthwise(), size, channels),
        "least": min(steps),
        "most": max(steps),
    }


def explained_variance(costs: Costs) -> Values:
    """R2 over the published tables, and how far predictions lie above measurements on average."""
    values: Values = {}
    for prefix, each in (("", costs), ("coral_", costs.on("coral_usb"))):
        reports, measured = each.published()
        predicted = [report.latency_ms for report in reports]
        values[f"{prefix}r2"] = float(np.corrcoef(predicted, measured)[0, 1] ** 2)
        ratios = [a / b for a, b in zip(predicted, measured, strict=True)]
        values[f"{prefix}bias"] = fmean(ratios) - 1
    return values


def evaluator_agreement(costs: Costs) -> Values:
    """What the comparison of the evaluators recorded."""
    rows = {row["target"]: row for row in load("simulator_agreement")["rows"]}
    named = {"coral_us": costs.name, "pixel6_us": "pixel6", "pixel4_us": "pixel4"}
    faster = rows[costs.name]["simulator_ms"] / rows[costs.name]["analytical_ms"]
    return {key: rows[name]["rmse_us"] for key, name in named.items()} | {"faster": faster}


def efficientnet_against(costs: Costs) -> Values:
    """Larger networks, in latencies of EfficientNet-EdgeTPU-S."""
    small = costs.report(network("efficientnet_edgetpu_s")).latency_ms
    return {
        key: costs.report(network(name)).latency_ms / small
        for key, name in (("resnet", "resnet50_v1_299"), ("inception", "inception_v4_299"))
    }


def more_work_faster(costs: Costs) -> Values:
    """MobileNetEdgeTPU against MobileNetV3-Large minimalistic."""
    ours = costs.report(network("mobilenet_edgetpu_v1_dm1p0"))
    other = costs.report(graphs.mobilenet_v3_minimalistic())
    macs, latency = ours.macs / other.macs, ours.latency_ms / other.latency_ms
    return {"macs": macs, "latency": latency, "per_mac": latency / macs}


def slow_extras(costs: Costs) -> Values:
    """Bottlenecks with swish or squeeze-excite, in times of one with ReLU."""
    plain = costs.us(graphs.bottleneck("relu"))
    return {
        extra: costs.us(graphs.bottleneck(extra)) / plain for extra in ("swish", "squeeze_excite")
    }


def published_order(costs: Costs) -> Values:
    """Predicted against published latencies."""
    reports, measured = costs.published()
    found = correlate([report.latency_ms for report in reports], measured)
    return {"spearman": found.spearman, "mape": found.mape}


def fused_argmax(costs: Costs) -> Values:
    """Argmax at 512 px, in latencies of the same network with its argmax fused at 256 and at 128 px."""
    values: Values = {}
    for short, name in SEGMENTERS.items():
        full, half, quarter = (
            costs.report(create_spec(name, output=output).graph()).latency_ms
            for output in ("argmax", "fused_argmax_256", "fused_argmax_128")
        )
        values |= {short: full / half, f"{short}_128": full / quarter}
    return values | {"falls": float(values["xs"] > values["s"] > values["m"])}


def _energy_spearman(reports: Sequence[CostReport]) -> float:
    pairs = [(report.active_energy_mj, report.latency_ms) for report in reports]
    return correlate(*zip(*pairs, strict=True)).spearman


def energy_order(costs: Costs) -> Values:
    """Rank correlation of active energy with latency."""
    segmenters = [costs.report(network(name)) for name in match("*", task="segmentation")]
    return {
        "spearman": _energy_spearman(costs.published()[0]),
        "pixel4": _energy_spearman(costs.on("pixel4").published()[0]),
        "coral": _energy_spearman(costs.on("coral_usb").published()[0]),
        "segmenters": _energy_spearman(segmenters),
    }


def shared_keys(costs: Costs) -> Values:
    """Attention with keys of its own for each head, in times of attention with shared ones."""
    early, late = (
        [costs.us(graphs.attention(*sizes, shared=shared)) for shared in (False, True)]
        for sizes in ((576, 192, 8, 48), (144, 512, 8, 64))
    )
    both = (early[0] + late[0]) / (early[1] + late[1])
    return {"early": early[0] / early[1], "late": late[0] / late[1], "both": both}


def mean_utilization(costs: Costs) -> Values:
    """Mean utilization over published networks, and that of an LSTM layer."""
    coral, _ = costs.on("coral_usb").published()
    return {
        "mean": fmean(report.utilization for report in costs.published()[0]),
        "lstm": costs.report(graphs.lstm_gates()).utilization,
        "coral": fmean(report.utilization for report in coral),
        "coral_on_chip": fmean(r.utilization for r in coral if not r.streamed_bytes),
    }


def smallest_group(costs: Costs) -> Values:
    """Group bottlenecks of small groups, in times of one with groups twice as large."""
    values: Values = {}
    for prefix, each in (("", costs), ("native_", costs.native)):
        us = [each.block("group_fused", 28, 128, 4, group).latency_us for group in (16, 32, 64)]
        values |= {f"{prefix}sixteen": us[0] / us[1], f"{prefix}thirty_two": us[1] / us[2]}
    return values


def dual_block(costs: Costs) -> Values:
    """The block whose group convolution projects, in times of the one whose group convolution expands."""
    found = []
    for size, channels in ((56, 32), (28, 64), (14, 128), (7, 256)):
        for groups in (2, 4, 8):
            dual, plain = (
                costs.us(graphs.group_block(size, channels, groups, dual=dual))
                for dual in (True, False)
            )
            found.append(dual / plain)
    return {"mean": geometric_mean(found), "least": min(found), "most": max(found)}


def late_reuse(costs: Costs) -> Values:
    """A fused bottleneck late in a network against one early in it."""
    early, late = costs.block("fused", 28, 96), costs.block("fused", 7, 384)
    return {
        "reuse": (early.macs / early.params) / (late.macs / late.params),
        "utilization": late.utilization / early.utilization,
        "latency": late.latency_us / costs.block("dw", 7, 384).latency_us,
    }

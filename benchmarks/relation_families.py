"""Measurements behind `paper_relations.py` on detection and language networks, and variants of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from relation_measures import Costs, Values, network

from hw_model.graph import Graph
from model_zoo import create_spec
from model_zoo.registry import spec_of
from model_zoo.spec import ModelSpec, NodeBackbone
from model_zoo.spec.nodes import Layer


def _with_layers(name: str, change: Callable[[Layer], Layer]) -> Graph:
    """A detector of the zoo with each layer of its backbone as `change` has it."""
    spec = spec_of(name)
    assert isinstance(spec, ModelSpec)
    assert isinstance(spec.backbone, NodeBackbone)
    nodes = tuple(
        replace(node, layers=tuple(map(change, node.layers))) for node in spec.backbone.nodes
    )
    return replace(spec, backbone=replace(spec.backbone, nodes=nodes)).graph()


def without_groups(costs: Costs) -> Values:
    """SpaghettiNets with depthwise or fused layers for their GC-IBN, in latencies of the published ones."""
    values: Values = {}
    for kind in ("dw", "fused"):
        found = []
        for size in ("s", "m", "l"):
            name = f"spaghettinet_edgetpu_{size}"

            def changed(layer: Layer, kind: str = kind) -> Layer:
                return replace(layer, kind=kind, groups=None) if layer.groups else layer

            graph = _with_layers(name, changed)
            ours, other = costs.report(network(name)), costs.report(graph)
            found.append((other.latency_ms / ours.latency_ms, other.macs / ours.macs))
        latencies, works = zip(*found, strict=True)
        values |= {f"{kind}_least": min(latencies), f"{kind}_most": max(latencies)}
        values |= {f"{kind}_macs_least": min(works), f"{kind}_macs_most": max(works)}
    # MobileDet has no GC-IBN, and 2.2 mAP less than SpaghettiNet-M by the published figures.
    mobiledet, middle = (
        costs.report(network(name)).latency_ms
        for name in ("ssdlite_mobiledet_edgetpu", "spaghettinet_edgetpu_m")
    )
    return values | {"mobiledet": mobiledet / middle}


def _depthwise_only(layer: Layer, expand: int) -> Layer:
    if layer.kind not in ("fused", "tucker"):
        return layer
    wider = layer.expansion * expand
    return replace(layer, kind="dw", expansion=wider, in_ratio=None, out_ratio=None)


def regular_convolutions(costs: Costs) -> Values:
    """MobileDet with depthwise blocks for its full convolutions: as wide inside, and wide enough for equal work."""
    name = "ssdlite_mobiledet_edgetpu"
    ours, values = costs.report(network(name)), Values()
    for prefix, expand in (("same", 1), ("equal", 3)):
        other = costs.report(_with_layers(name, partial(_depthwise_only, expand=expand)))
        values |= {
            prefix: other.latency_ms / ours.latency_ms,
            f"{prefix}_macs": other.macs / ours.macs,
        }
    return values


def language_utilization(costs: Costs) -> Values:
    """MobileBERT-EdgeTPU against MobileBERT at two lengths: the best ratio of utilizations, and latencies."""
    values: Values = {}
    for length in (384, 128):
        base, *found = (
            costs.report(create_spec(f"mobilebert_{name}", sequence_length=length).graph())
            for name in ("baseline", "edgetpu_xs", "edgetpu_s", "edgetpu_m")
        )
        ratios = [report.utilization / base.utilization for report in found]
        values |= {f"least_{length}": min(ratios), f"most_{length}": max(ratios)}
        latencies = zip(("xs", "s", "m"), found, strict=True)
        values |= {f"{size}_{length}": r.latency_ms / base.latency_ms for size, r in latencies}
    return values

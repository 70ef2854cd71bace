"""Costing by parts: the same figures as one report after another, whatever the architecture and the target."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hw_model import list_targets, load_target
from hw_model.cost import Analytical, batch
from hw_model.cost.batch import PartCoster, SpecCost, cost_many, coster_for
from hw_model.errors import SpecError, UnknownNameError
from hw_model.graph import Builder, Graph, GraphBuilder, to_inference
from model_zoo.create import create_spec
from model_zoo.registry import entries, spec_of
from model_zoo.spec import ModelSpec, one_of
from pipelines.search.spaces import space_entry

FIELDS = SpecCost._fields[:-1]


def population(count: int) -> list[ModelSpec]:
    """Random networks of the classification space."""
    space = space_entry("mobilenet_edgetpu_v2").make(image_size=224, channels=3, num_classes=1001)
    rng = np.random.default_rng(7)
    return [space.bind(rng.integers(0, space.cardinalities).tolist()) for _ in range(count)]


def same(found: SpecCost, evaluator: Analytical, spec: Any) -> None:
    graph = spec if isinstance(spec, Graph) else spec.graph()
    report = evaluator.report(graph)
    for name in FIELDS:
        assert getattr(found, name) == getattr(report, name), name
    assert found.weights == graph.param_count


@pytest.fixture
def no_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test whose specs are not costed by parts."""
    monkeypatch.setattr(batch, "_plain", lambda *_: pytest.fail("took the plain way"))


@pytest.mark.parametrize("name", list_targets())
@pytest.mark.usefixtures("no_plain_way")
def test_equals_reports_on_a_random_population(name: str) -> None:
    target = load_target(name)
    evaluator, cost = Analytical(target), PartCoster(Analytical(target))
    for spec in population(200):
        same(cost(spec), evaluator, spec)


@pytest.mark.parametrize("memory_bytes", [0, 1 << 16, 1 << 20, 1 << 40])
@pytest.mark.parametrize("group_form", ["split", "native"])
@pytest.mark.usefixtures("no_plain_way")
def test_equals_reports_at_any_memory_and_group_form(memory_bytes: int, group_form: Any) -> None:
    target = load_target("coral_usb")
    target = replace(
        target, group_form=group_form, memory=replace(target.memory, parameter_bytes=memory_bytes)
    )
    # Networks that read text have several operations this target leaves to the host.
    evaluator, cost = Analytical(target), PartCoster(Analytical(target))
    for name in (name for name, entry in entries().items() if entry.task != "answering"):
        same(cost(spec_of(name)), evaluator, spec_of(name))
        backbone = create_spec(name, backbone=True)
        same(cost(backbone), evaluator, backbone)


def test_arrays_hold_one_entry_per_spec_in_order() -> None:
    chosen = population(5)
    arrays = cost_many(chosen, target="pixel6")
    one = coster_for(load_target("pixel6"))
    assert arrays.latency_ms.tolist() == [one(spec).latency_ms for spec in chosen]
    assert arrays.weights.tolist() == [spec.graph().param_count for spec in chosen]
    assert (arrays.energy_mj.dtype, arrays.macs.dtype) == (np.float64, np.int64)


def test_nobody_to_cost() -> None:
    arrays = cost_many([], target="pixel6")
    assert arrays.latency_ms.shape == arrays.macs.shape == (0,)


def test_graphs_take_the_plain_way() -> None:
    graph = spec_of("mobilenet_edgetpu_v2_tiny").graph()
    evaluator = Analytical(load_target("coral_usb"))
    for each in (graph, to_inference(graph)):
        same(PartCoster(evaluator)(each), evaluator, each)


class Spec:
    """A network that says everything by `lower`, as specs do."""

    def __init__(self, lower: Any) -> None:
        self.lower = lower

    def graph(self) -> Graph:
        graph: Graph = self.lower(GraphBuilder())
        return graph


def loose(b: Builder[Any, Any]) -> Any:
    """Operations outside of parts."""
    x = b.part("stem", b.input((1, 8, 8, 3)), lambda b, x: b.conv(x, 8, 3, name="conv"))
    return b.finish(b.activation(x, "relu", name="relu"), name="loose")


def merging(b: Builder[Any, Any]) -> Any:
    """A part that begins with what merges into the part before it."""
    x = b.part("stem", b.input((1, 8, 8, 3)), lambda b, x: b.conv(x, 8, 3, name="conv"))
    x = b.part("relu", x, lambda b, x: b.activation(x, "relu", name="relu"))
    return b.finish(x, name="merging")


def integers(b: Builder[Any, Any]) -> Any:
    """A network that is quantized already."""
    image = b.input((1, 8, 8, 3), dtype="int8")
    x = b.part("stem", image, lambda b, x: b.conv(x, 8, 3, bias=True, name="conv"))
    return b.finish(x, name="integers")


@pytest.mark.parametrize("lower", [loose, merging, integers])
def test_lowerings_that_cannot_be_cut_into_parts(lower: Any) -> None:
    evaluator = Analytical(load_target("coral_usb"))
    same(PartCoster(evaluator)(Spec(lower)), evaluator, Spec(lower))


def test_open_choices_and_unknown_names_are_refused() -> None:
    spec = spec_of("mobilenet_edgetpu_v2_tiny")
    stem = replace(spec.backbone.stem, kernel=one_of(3, 5))
    space = replace(spec, backbone=replace(spec.backbone, stem=stem))
    with pytest.raises(SpecError, match="open choices"):
        cost_many([space])
    with pytest.raises(UnknownNameError):
        cost_many([spec], evaluator="guess")


def test_memory_of_parts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "CACHE_LIMIT", 8)
    evaluator = Analytical(load_target("pixel6"))
    cost = PartCoster(evaluator)
    for spec in population(3):
        same(cost(spec), evaluator, spec)
        assert len(cost.parts) <= 8


def test_threads_share_what_is_remembered() -> None:
    cost = PartCoster(Analytical(load_target("pixel6")))
    chosen = population(40)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(cost, chosen))
    assert found == [PartCoster(Analytical(load_target("pixel6")))(spec) for spec in chosen]


def test_other_evaluators_are_asked_for_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    target = replace(load_target("pixel6"), name="other")
    evaluator = type("Other", (Analytical,), {})(target)
    monkeypatch.setattr(batch, "evaluator_for", lambda *_: evaluator)
    spec = spec_of("mobilenet_edgetpu_v2_tiny")
    found = coster_for(target, "other")
    assert not isinstance(found, PartCoster)
    same(found(spec), evaluator, spec)

"""From a spec back to a space: the genotype of a published network, and the key that equal networks share."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, islice, product
from typing import Any

from hw_model.errors import UsageError
from model_zoo.spec import (
    MaskedLmHead,
    ModelSpec,
    Node,
    NodeBackbone,
    OneOf,
    Space,
    Spec,
    Stack,
    TextSpec,
)
from model_zoo.spec.base import field_names
from model_zoo.spec.nodes import STEM
from pipelines.search.spaces.plan import ANY, PlanSpace

Point = dict[str, Any]
#: Ways to read a spec into a space that are looked at; published networks take the first.
MOST_TRIED = 10_000


def genotype_of(space: Space[Any], spec: Spec) -> tuple[int, ...]:
    """A genotype that binds to `spec`, but for what has no effect in it.

    Blocks may fit several slots, and a pruned space may replace what stands in one of them: all ways are tried.

    Raises:
        UsageError: the spec is no point of the space.
    """
    spec = _effective(spec)
    value: Any = spec
    if isinstance(space, PlanSpace) and isinstance(spec, ModelSpec):
        value = space.plan_of(spec)
    found = _matches(space.template, value, "", {})
    for point in islice(chain.from_iterable(_completed(space, p) for p in found), MOST_TRIED):
        genotype = space.encode(point)
        if space.bind(genotype) == spec:
            return genotype
    raise UsageError(f"The space holds no network equal to spec {spec.spec_id}")


def _completed(space: Space[Any], point: Point) -> Iterator[Point]:
    """Points of a space with these choices made.

    What has no effect takes its first value, but a group size nobody shows may be any: it decides what a
    pruned space takes for dominated.
    """
    first = {choice.path: choice.values[0] for choice in space.choices}
    sizes = [c for c in space.choices if c.path not in point and c.path.endswith("group_size")]
    for values in product(*(choice.values for choice in sizes)):
        chosen = {choice.path: size for choice, size in zip(sizes, values, strict=True)}
        yield {**first, **chosen, **point}


def _effective(spec: Spec) -> Spec:
    """The spec with what has no effect as spaces have it: how masked words would be scored, without them."""
    if not isinstance(spec, TextSpec) or isinstance(spec.head, MaskedLmHead):
        return spec
    return replace(spec, encoder=replace(spec.encoder, projected_logits=False))


def canonical_key(spec: Spec) -> str:
    """Equal for specs that are the same network, however their blocks are gathered in stacks, and whichever of
    its two maps a node names first."""
    parts: tuple[Any, ...]
    if isinstance(spec, TextSpec):
        parts = (_effective(spec),)
    elif isinstance(spec.backbone, NodeBackbone):
        parts = (spec.family, spec.input, spec.backbone.stem, _nodes(spec.backbone), spec.head)
    else:
        blocks = [
            (b.kind, b.kernel, b.stride, b.mid_filters, b.filters, b.residual, b.group_size)
            for b in spec.stacked.blocks()
        ]
        parts = (spec.input, spec.stacked.stem, blocks, spec.stacked.drop_connect, spec.head)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _nodes(backbone: NodeBackbone) -> list[Any]:
    """All there is to the nodes but their names, and the outputs."""
    place = {name: index for index, name in enumerate((STEM, *(n.name for n in backbone.nodes)))}
    nodes = [
        (n.filters, n.level, n.layers, sorted((edge.kind, place[edge.source]) for edge in n.edges))
        for n in backbone.nodes
    ]
    return [nodes, [place[name] for name in backbone.outputs]]


def _matches(template: Any, value: Any, path: str, point: Point) -> Iterator[Point]:
    """Every set of choices under which `template` is `value`, on top of those already made."""
    if value is ANY:
        yield point
    elif isinstance(template, OneOf):
        name = template.name or path
        if value in template.values and point.get(name, value) == value:
            yield {**point, name: value}
    elif isinstance(template, Node):
        if type(template) is type(value):
            yield from _fields_match(template, value, path, field_names(type(template)), point)
    elif isinstance(template, tuple) and isinstance(value, tuple):
        yield from _items_match(template, value, path, 0, point)
    elif template == value:
        yield point


def _fields_match(
    template: Node, value: Any, path: str, names: Sequence[str], point: Point
) -> Iterator[Point]:
    if not names:
        yield point
        return
    name, *rest = names
    inner = getattr(value, name)
    # A block that is not grouped has no group size, whatever the choice for it is.
    if name == "group_size" and inner is None:
        yield from _fields_match(template, value, path, rest, point)
        return
    where = f"{path}.{name}" if path else name
    for found in _matches(getattr(template, name), inner, where, point):
        yield from _fields_match(template, value, path, rest, found)


def _items_match(
    template: tuple[Any, ...], value: tuple[Any, ...], path: str, position: int, point: Point
) -> Iterator[Point]:
    """Items in order; a stack that may be absent is tried as present first."""
    if position == len(template):
        if not value:
            yield point
        return
    item, where = template[position], f"{path}[{position}]"
    if value:
        for here in _matches(item, value[0], where, point):
            yield from _items_match(template, value[1:], path, position + 1, here)
    if isinstance(item, Stack) and isinstance(item.repeats, OneOf):
        for absent in _matches(item.repeats, 0, f"{where}.repeats", point):
            yield from _items_match(template, value, path, position + 1, absent)

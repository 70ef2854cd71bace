"""From a spec back to a space: the genotype of a published network, and the key that equal networks share."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from hw_model.errors import UsageError
from model_zoo.spec import ModelSpec, Node, OneOf, Space, Stack
from pipelines.search.spaces.autoseg_edgetpu import AutoSegSpace, plan_of

Point = dict[str, Any]


def genotype_of(space: Space[ModelSpec], spec: ModelSpec) -> tuple[int, ...]:
    """A genotype that binds to `spec`; choices that have no effect there take their first value.

    Raises:
        UsageError: the spec is no point of the space.
    """
    value = plan_of(spec) if isinstance(space, AutoSegSpace) else spec
    point = _match(space.template, value, "", {})
    if point is not None:
        free = {choice.path: choice.values[0] for choice in space.choices}
        genotype = space.encode({**free, **point})
        if space.bind(genotype) == spec:
            return genotype
    raise UsageError(f"The space holds no network equal to spec {spec.spec_id}")


def canonical_key(spec: ModelSpec) -> str:
    """Equal for specs that are the same network, however their blocks are gathered in stacks."""
    blocks = [
        (b.kind, b.kernel, b.stride, b.mid_filters, b.filters, b.residual, b.group_size)
        for b in spec.stacked.blocks()
    ]
    parts = (spec.input, spec.stacked.stem, blocks, spec.stacked.drop_connect, spec.head)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _match(template: Any, value: Any, path: str, point: Point) -> Point | None:
    """The choices under which `template` is `value`, on top of those already made; None if there are none."""
    if isinstance(template, OneOf):
        return _choose(template, value, path, point)
    if isinstance(template, Node):
        return _match_node(template, value, path, point)
    if isinstance(template, tuple) and isinstance(value, tuple):
        return _match_tuple(template, value, path, 0, point)
    return point if template == value else None


def _choose(leaf: OneOf, value: Any, path: str, point: Mapping[str, Any]) -> Point | None:
    name = leaf.name or path
    if value not in leaf.values or point.get(name, value) != value:
        return None
    return {**point, name: value}


def _match_node(template: Node, value: Any, path: str, point: Point) -> Point | None:
    if type(template) is not type(value):
        return None
    found: Point | None = point
    for field in fields(template):
        inner = getattr(value, field.name)
        # A block that is not grouped has no group size, whatever the choice for it is.
        if field.name == "group_size" and inner is None:
            continue
        if found is not None:
            where = f"{path}.{field.name}" if path else field.name
            found = _match(getattr(template, field.name), inner, where, found)
    return found


def _match_tuple(
    template: tuple[Any, ...], value: tuple[Any, ...], path: str, position: int, point: Point
) -> Point | None:
    """Items in order; a stack that may be absent is tried as present first."""
    if position == len(template):
        return point if not value else None
    item, where = template[position], f"{path}[{position}]"
    if value:
        here = _match(item, value[0], where, point)
        if here is not None:
            rest = _match_tuple(template, value[1:], path, position + 1, here)
            if rest is not None:
                return rest
    if isinstance(item, Stack) and isinstance(item.repeats, OneOf):
        absent = _match(item.repeats, 0, f"{where}.repeats", point)
        if absent is not None:
            return _match_tuple(template, value, path, position + 1, absent)
    return None

"""Which choices of a space are never useful on a target: finding them, and leaving them out of a search.

Two things are found: values that no block of a stack ever needs, which leave their choice, and blocks that are
dominated while the widths around them are so and so, which become the block that dominates them. Either way
every network made of undominated blocks alone stays in the space.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from hw_model.errors import UsageError
from hw_model.targets import Target
from model_zoo.spec import ModelSpec, Node, OneOf, Space, Stack
from pipelines.search.block_analyzer import Place
from pipelines.search.domination import BlockChoice, Options, WorthMeter, options_at
from pipelines.search.prune_file import (
    Context,
    Dominated,
    PrunedChoice,
    Pruning,
    Value,
    blocks_id,
    new_pruning,
)
from pipelines.search.spaces.mobilenet_edgetpu_v2 import EdgeTpuSpace

GENES = ("kind", "kernel", "expansion")


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Stacks of a space that are alike: same choices, same map, same widths around them."""

    stacks: tuple[int, ...]
    template: Stack
    height: int
    width: int
    #: (channels in, filters out, repeats) that can meet here.
    contexts: tuple[tuple[int, int, int], ...]

    def values(self, name: str) -> tuple[Any, ...]:
        """The values of one field of the stack."""
        return _values(getattr(self.template, name))

    def choices(self) -> Iterator[BlockChoice]:
        """Every block that can be chosen."""
        genes = (self.values(name) for name in (*GENES, "group_size"))
        for kind, kernel, expansion, size in product(*genes):
            yield BlockChoice(kind=kind, kernel=kernel, expansion=expansion, group_size=size)

    def stack(self, choice: BlockChoice, filters: int, repeats: int) -> Stack:
        """The chosen stack."""
        grouped = choice.kind == "group_fused"
        return replace(
            self.template,
            kind=choice.kind,
            kernel=choice.kernel,
            expansion=choice.expansion,
            group_size=choice.group_size if grouped else None,
            filters=filters,
            repeats=repeats,
        )

    def path(self, index: int, name: str) -> str:
        """The path of a field's choice, which is its shared name if it has one."""
        leaf = getattr(self.template, name)
        shared = leaf.name if isinstance(leaf, OneOf) else None
        return shared or f"backbone.stacks[{index}].{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All options of a slot in one context."""

    slot: Slot
    context: tuple[int, int, int]
    options: Options

    def pruned(self, choice: BlockChoice, group_size: int | None) -> bool:
        """Whether nothing is lost without this choice; an impossible group is a fused block anyway."""
        if choice not in self.options.worth:
            return True
        return self.options.dominator(choice, (group_size,)) is not None


def slots_of(template: ModelSpec) -> tuple[Slot, ...]:
    """The stacks of a space with a choice of kind, alike ones together."""
    stride = template.stacked.stem.stride
    height, width = (-(-side // stride) for side in (template.input.height, template.input.width))
    found: dict[tuple[Any, ...], list[int]] = {}
    sources: list[Any] = [template.stacked.stem.filters]
    for index, stack in enumerate(template.stacked.stacks):
        if isinstance(stack.kind, OneOf):
            contexts = tuple(
                (channels, filters, repeats)
                for channels, filters in _widths(sources, stack.filters)
                for repeats in _values(stack.repeats)
                if repeats
            )
            found.setdefault((stack, height, width, contexts), []).append(index)
        height, width = -(-height // _one(stack.stride)), -(-width // _one(stack.stride))
        may_be_absent = 0 in _values(stack.repeats)
        sources = [*(sources if may_be_absent else ()), stack.filters]
    return tuple(
        Slot(stacks=tuple(stacks), template=stack, height=high, width=wide, contexts=contexts)
        for (stack, high, wide, contexts), stacks in found.items()
    )


def _widths(sources: list[Any], filters: Any) -> list[tuple[int, int]]:
    """(channels in, filters out): equal where both are the same shared choice."""
    pairs = [
        (channels, chosen)
        for source in sources
        for channels in _values(source)
        for chosen in _values(filters)
        if channels == chosen or not _shared(source, filters)
    ]
    return list(dict.fromkeys(pairs))


def _shared(left: Any, right: Any) -> bool:
    both = isinstance(left, OneOf) and isinstance(right, OneOf)
    return both and left.name is not None and left.name == right.name


def _values(leaf: Any) -> tuple[Any, ...]:
    return leaf.values if isinstance(leaf, OneOf) else (leaf,)


def _one(value: Any) -> int:
    """A stride, which no space leaves open."""
    assert isinstance(value, int), "the analyzer needs to know every map's size"
    return value


def work_of(space: Space[ModelSpec]) -> int:
    """How many blocks `find_pruning` costs."""
    return sum(len(s.contexts) * len(list(s.choices())) for s in slots_of(space.template))


def find_pruning(
    space: Space[ModelSpec],
    *,
    space_name: str,
    target: Target,
    evaluator: str = "analytical",
    advance: Callable[[], object] = lambda: None,
) -> Pruning:
    """What is never useful in a space on a target; `advance` is called for each of `work_of` blocks."""
    meter = WorthMeter(target, evaluator)
    tables = []
    for slot in slots_of(space.template):
        place = Place(height=slot.height, width=slot.width, channels=0)
        for channels, filters, repeats in slot.contexts:
            stacks = {choice: slot.stack(choice, filters, repeats) for choice in slot.choices()}
            options = options_at(replace(place, channels=channels), stacks, meter, advance)
            tables.append(Table(slot=slot, context=(channels, filters, repeats), options=options))
    kept_sizes = _kept_sizes(tables)
    kept = {**kept_sizes, **_kept_values(tables, kept_sizes)}
    return new_pruning(
        target=target,
        evaluator_id=meter.evaluator_id,
        declared_error=meter.declared_error,
        space=space_name,
        blocks_id=blocks_id(space.template),
        choices=tuple(
            PrunedChoice(path=path, kept=values, pruned=_without(choice.values, values))
            for choice in space.choices
            for path, values in ((choice.path, kept.get(choice.path, choice.values)),)
            if len(values) < len(choice.values)
        ),
        contexts=tuple(_context(table, kept) for table in tables),
    )


def pruned_space(space: Space[ModelSpec], pruning: Pruning) -> Space[ModelSpec]:
    """The space without what the analyzer found useless; published networks may no longer be points of it.

    Raises:
        UsageError: this kind of space cannot leave blocks out.
    """
    if not isinstance(space, EdgeTpuSpace):
        raise UsageError(f"A {type(space).__name__} cannot be pruned; search it whole")
    kept = {choice.path: choice.kept for choice in pruning.choices}
    better = {
        (
            (stack, context.channels, context.filters, context.repeats, size),
            (row.kind, row.kernel, row.expansion),
        ): (row.by_kind, row.by_kernel, row.by_expansion)
        for context in pruning.contexts
        for row in context.dominated
        for stack in context.stacks
        for size in row.group_sizes
    }
    return EdgeTpuSpace(_narrowed(space.template, "", kept), better)


def _narrowed(value: Any, path: str, kept: Mapping[str, tuple[Value, ...]]) -> Any:
    """A template with fewer values in some of its choices."""
    if isinstance(value, OneOf):
        return OneOf(kept.get(value.name or path, value.values), value.name)
    if isinstance(value, tuple):
        return tuple(_narrowed(item, f"{path}[{i}]", kept) for i, item in enumerate(value))
    if not isinstance(value, Node):
        return value
    prefix = f"{path}." if path else ""
    fields = dataclasses.fields(value)
    return replace(
        value, **{f.name: _narrowed(getattr(value, f.name), prefix + f.name, kept) for f in fields}
    )


def _without(values: tuple[Value, ...], kept: tuple[Value, ...]) -> tuple[Value, ...]:
    return tuple(value for value in values if value not in kept)


def _kept_sizes(tables: list[Table]) -> dict[str, tuple[Value, ...]]:
    """Group sizes worth keeping, by shared choice: one goes when another one serves all its blocks better."""
    by_path: dict[str, list[Table]] = {}
    for table in tables:
        for index in table.slot.stacks:
            by_path.setdefault(table.slot.path(index, "group_size"), []).append(table)
    kept: dict[str, tuple[Value, ...]] = {}
    for path, sharing in by_path.items():
        sizes = list(sharing[0].slot.values("group_size"))
        for size in list(sizes):
            others = [other for other in sizes if other != size]
            if any(_serves(other, size, sharing) for other in others):
                sizes = others
        kept[path] = tuple(sizes)
    return kept


def _serves(other: int, size: int, tables: list[Table]) -> bool:
    """Whether networks with groups of `other` have something better for every block with groups of `size`."""
    return all(
        table.pruned(choice, other)
        for table in tables
        for choice in table.slot.choices()
        if choice.kind == "group_fused" and choice.group_size == size
    )


def _kept_values(
    tables: list[Table], kept_sizes: Mapping[str, tuple[Value, ...]]
) -> dict[str, tuple[Value, ...]]:
    """Kinds, kernels and expansions that some block needs, by choice."""
    kept: dict[str, tuple[Value, ...]] = {}
    for slot in dict.fromkeys(table.slot for table in tables):
        here = [table for table in tables if table.slot is slot]
        sizes = kept_sizes[slot.path(slot.stacks[0], "group_size")]
        needed = [
            choice
            for table in here
            for choice in slot.choices()
            if choice.group_size in sizes and not table.pruned(choice, choice.group_size)
        ]
        impossible = any(
            choice not in table.options.worth for table in here for choice in slot.choices()
        )
        for name in GENES:
            used = {getattr(choice, name) for choice in needed}
            if "group_fused" in used and impossible:
                used.add("fused")
            values = tuple(value for value in slot.values(name) if value in used)
            kept.update({slot.path(index, name): values for index in slot.stacks})
    return kept


def _context(table: Table, kept: Mapping[str, tuple[Value, ...]]) -> Context:
    """One context as the file has it; what cannot be chosen any more is counted but not listed."""
    slot, first = table.slot, table.slot.stacks[0]
    sizes = kept[slot.path(first, "group_size")]
    rows: dict[tuple[Any, ...], list[int | None]] = {}
    pruned = 0
    for choice in table.options.worth:
        by = table.options.dominator(choice, (choice.group_size,))
        gone = choice.kind == "group_fused" and choice.group_size not in sizes
        pruned += gone or by is not None
        open_still = choice.group_size in sizes and all(
            getattr(choice, name) in kept[slot.path(first, name)] for name in GENES
        )
        if by is not None and open_still:
            row = (choice.kind, choice.kernel, choice.expansion, by.kind, by.kernel, by.expansion)
            rows.setdefault(row, []).append(choice.group_size)
    channels, filters, repeats = table.context
    return Context(
        stacks=slot.stacks,
        height=slot.height,
        width=slot.width,
        stride=slot.template.stride,
        channels=channels,
        filters=filters,
        repeats=repeats,
        choices=len(table.options.worth),
        pruned=pruned,
        dominated=tuple(
            Dominated(
                kind=row[0],
                kernel=row[1],
                expansion=row[2],
                group_sizes=tuple(found),
                by_kind=row[3],
                by_kernel=row[4],
                by_expansion=row[5],
            )
            for row, found in rows.items()
        ),
    )

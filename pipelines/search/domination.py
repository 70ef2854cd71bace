"""When a block is never useful: another one at the same place has at least as much of everything, and is faster.

A choice is dominated at a place when another choice there, open to the same network, has at least its
parameters, its multiply-adds and its kernel, and is faster by more than the evaluator may err: its latency
times (1 + e) is below the other's times (1 - e), with e the declared error. It must be so three times: with
the parameters kept on the chip, with them streamed while the block works, and with them streamed while
nothing else goes on, as where they push another layer's parameters off the chip.
"""

import contextlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

from hw_model.cost import Evaluator, evaluator_for
from hw_model.errors import SpecError
from hw_model.targets import Target
from model_zoo.spec import BlockKind, Stack
from pipelines.search.block_analyzer import Place, Sweep, stack_graph

RULE = (
    "Dominated: another block at the same place, with at least the parameters, multiply-adds and kernel, "
    "is faster by more than the evaluator's declared error on both, with its parameters kept on the chip, "
    "streamed while it works, and streamed with nothing else going on."
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class BlockChoice:
    """What a search chooses for a stack; `group_size` is the gene's value, also where no block is grouped."""

    kind: BlockKind
    kernel: int
    expansion: int
    group_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What a block has and what it takes, in the three cases of parameters kept, streamed, and in the way."""

    params: int
    macs: int
    kernel: int
    latencies_us: tuple[float, float, float]

    def beats(self, other: "Worth", error: float) -> bool:
        """Whether `other` is dominated by this."""
        return (
            self.params >= other.params
            and self.macs >= other.macs
            and self.kernel >= other.kernel
            and all(
                mine * (1 + error) < its * (1 - error)
                for mine, its in zip(self.latencies_us, other.latencies_us, strict=True)
            )
        )


class WorthMeter:
    """Costs blocks with room for all parameters and with room for none; every network lies between."""

    def __init__(self, target: Target, evaluator: str) -> None:
        self._link = target.link
        self._kept, self._streamed = (_with_room(target, evaluator, size) for size in (1 << 40, 0))
        self.evaluator_id = self._kept.evaluator_id
        self.declared_error = 0.0
        self._known: dict[tuple[Stack, Place], Worth] = {}

    def worth(self, stack: Stack, place: Place) -> Worth:
        """Raises `SpecError` when the groups of the stack do not divide the channels."""
        known = self._known.get((stack, place))
        if known is None:
            graph = stack_graph(stack, place)
            kept, streamed = self._kept.report(graph), self._streamed.report(graph)
            self.declared_error = kept.declared_error
            terms = kept.model_terms
            ends_us = terms.total_us - terms.instruction_us
            kept_us, streamed_us = (r.latency_ms * 1e3 - ends_us for r in (kept, streamed))
            moving_us = kept.parameter_bytes / self._link.parameter_mb_per_s
            known = self._known[stack, place] = Worth(
                params=graph.param_count,
                macs=kept.macs,
                kernel=stack.kernel,
                latencies_us=(kept_us, streamed_us, kept_us + moving_us),
            )
        return known


def _with_room(target: Target, evaluator: str, size: int) -> Evaluator:
    memory = replace(target.memory, parameter_bytes=size)
    return evaluator_for(replace(target, memory=memory), evaluator)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The choices at one place with the same widths around; impossible groups are not among them."""

    worth: Mapping[BlockChoice, Worth]
    error: float

    def dominator(
        self, choice: BlockChoice, group_sizes: Collection[int | None]
    ) -> BlockChoice | None:
        """The fastest undominated choice that dominates this one, where the group size gene is one of these."""
        mine = self.worth[choice]
        found = {
            other: worth
            for other, worth in self.worth.items()
            if other.group_size in group_sizes and worth.beats(mine, self.error)
        }
        best = [
            other
            for other, worth in found.items()
            if not any(third.beats(worth, self.error) for third in found.values())
        ]
        return min(best, key=lambda other: (found[other].latencies_us[0], other), default=None)


def options_at(
    place: Place,
    stacks: Mapping[BlockChoice, Stack],
    meter: WorthMeter,
    advance: Callable[[], object] = lambda: None,
) -> Options:
    """Costs what every choice stands for at a place; `advance` is called once for each."""
    worth: dict[BlockChoice, Worth] = {}
    for choice, stack in stacks.items():
        with contextlib.suppress(SpecError):
            worth[choice] = meter.worth(stack, place)
        advance()
    return Options(worth=worth, error=meter.declared_error)


#: Dominated choices of a sweep, each with the better one.
Useless = Mapping[tuple[Place, Stack], Stack]


def dominated_in(sweep: Sweep) -> Useless:
    """The dominated choices of a sweep, each with the fastest undominated one that dominates it."""
    meter = WorthMeter(sweep.target, sweep.evaluator)
    found: dict[tuple[Place, Stack], Stack] = {}
    for place in sweep.grid.places:
        stacks = {_choice(cost.stack): cost.stack for cost in sweep.at(place)}
        options = options_at(place, stacks, meter)
        sizes = {choice.group_size for choice in stacks}
        for choice, stack in stacks.items():
            by = options.dominator(choice, sizes)
            if by is not None:
                found[place, stack] = stacks[by]
    return found


def _choice(stack: Stack) -> BlockChoice:
    return BlockChoice(
        kind=stack.kind,
        kernel=stack.kernel,
        expansion=stack.expansion,
        group_size=stack.group_size,
    )

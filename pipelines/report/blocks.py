"""The block analyzer's page: latency against parameters, heat maps, and what is never useful where."""

from collections.abc import Callable

from pipelines.report.chart import Chart, Dot, Line, draw
from pipelines.report.heatmap import Cell, HeatMap, draw_map
from pipelines.report.markup import Html, el, join, table
from pipelines.report.page import Section, figures, legend, note
from pipelines.search.block_analyzer import KIND_WORDS, BlockCost, Place, Sweep, choice_label
from pipelines.search.domination import Useless
from pipelines.search.prune_file import Pruning

_DOT = {"dw": "dot kind-dw", "fused": "dot kind-fused", "group_fused": "dot kind-gc"}


def block_sections(sweep: Sweep, useless: Useless, pruning: Pruning | None = None) -> list[Section]:
    """All sections of the page."""
    sections = [
        Section(title="What was analyzed", body=_summary(sweep, useless)),
        Section(title="Latency against parameters", body=_charts(sweep, useless)),
        Section(
            title="Latency against the depthwise block",
            body=_map(
                sweep,
                "Latency over that of the depthwise block of the same kernel and expansion. Below 1 is faster.",
                lambda cost: _relative(sweep, cost),
                lambda value: f"{value:.2f}",
                middle=1.0,
            ),
        ),
        Section(
            title="Latency",
            body=_map(sweep, "Microseconds.", lambda c: c.latency_us, _short),
        ),
        Section(
            title="Energy",
            body=_map(
                sweep,
                "Microjoules, idle power subtracted. Counted events times assumed prices: it serves to compare.",
                lambda c: c.energy_uj,
                _short,
            ),
        ),
        Section(
            title="Utilization",
            body=_map(
                sweep,
                "Multiply-adds done, in percent of what the whole array could do in the time.",
                lambda c: c.utilization * 100,
                lambda value: f"{value:.0f}" if value >= 10 else f"{value:.1f}",
            ),
        ),
        Section(title="Never useful here", body=_useless(sweep, useless)),
    ]
    if pruning is not None:
        sections.append(Section(title="What a search leaves out", body=_pruned(pruning)))
    return sections


def _summary(sweep: Sweep, useless: Useless) -> Html:
    shown = figures(
        (
            (f"{len(sweep.costs):,}", "blocks costed"),
            (f"{len(sweep.grid.places)}", "shapes, height x width x channels"),
            (f"{len(useless) / max(len(sweep.costs), 1):.0%}", "of the blocks never useful"),
            (f"{sweep.declared_error:.1%}", "declared latency error of the evaluator"),
        )
    )
    return join(
        (
            shown,
            note(
                f"{sweep.target.title}, evaluator {sweep.evaluator_id}, stride {sweep.grid.stride}. Every block "
                "keeps the channels it gets and stands alone: its latency leaves out the transfer of image and "
                "result and the fixed time of an inference. Parameters stay on the chip where they fit. The "
                "declared error is that of whole networks; a single block may be off by more."
            ),
        )
    )


def _charts(sweep: Sweep, useless: Useless) -> Html:
    keys = legend(
        [(_DOT[kind], words) for kind, words in KIND_WORDS.items()]
        + [("line2", "same GC-IBN, other group sizes"), ("line", "most parameters for the latency")]
    )
    parts: list[Html] = [
        note(
            "Up is slower, right has more parameters. Larger dots have larger kernels, faded ones are "
            "never useful. Point at one for details."
        ),
        keys,
    ]
    for place in sweep.grid.places:
        costs = sweep.at(place)
        chart = Chart(
            x_label="parameters",
            y_label="latency, µs",
            alt=f"latency against parameters of every block at {place}",
            dots=tuple(_dot(cost, useless) for cost in costs),
            lines=(*_families(costs), Line(points=_front(costs), kind="line", steps=True)),
            x_log=True,
            y_log=True,
            x_format=_count,
        )
        parts += [el("h3", str(place)), draw(chart)]
    return join(parts)


def _dot(cost: BlockCost, useless: Useless) -> Dot:
    over = " over" if (cost.place, cost.stack) in useless else ""
    return Dot(
        x=float(cost.params),
        y=cost.latency_us,
        title=_details(cost),
        kind=_DOT[cost.stack.kind] + over,
        radius=2.5 + 0.7 * cost.stack.kernel,
    )


def _families(costs: tuple[BlockCost, ...]) -> list[Line]:
    """GC-IBN of one kernel and expansion, by group size."""
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for cost in costs:
        if cost.stack.kind == "group_fused":
            key = (cost.stack.kernel, cost.stack.expansion)
            found.setdefault(key, []).append((float(cost.params), cost.latency_us))
    return [Line(points=tuple(sorted(p)), kind="line2") for p in found.values() if len(p) > 1]


def _front(costs: tuple[BlockCost, ...]) -> tuple[tuple[float, float], ...]:
    """Blocks with more parameters than every faster one."""
    front: list[tuple[float, float]] = []
    for cost in sorted(costs, key=lambda c: (c.latency_us, -c.params)):
        if not front or cost.params > front[-1][0]:
            front.append((float(cost.params), cost.latency_us))
    return tuple(front)


def _details(cost: BlockCost) -> str:
    return (
        f"{cost.label} at {cost.place}: {cost.latency_us:.1f} µs, {cost.params:,} parameters, "
        f"{cost.macs / 1e6:,.1f} M multiply-adds, {cost.energy_uj:.1f} µJ, {cost.utilization:.0%} of peak. "
        f"{cost.why}"
    )


def _map(
    sweep: Sweep,
    text: str,
    value: Callable[[BlockCost], float | None],
    show: Callable[[float], str],
    *,
    middle: float | None = None,
) -> Html:
    """One heat map: a row for each choice, a column for each shape."""
    by_label = {(cost.place, cost.label): cost for cost in sweep.costs}
    labels = dict.fromkeys(
        choice_label(s) for p in sweep.grid.places for s in sweep.grid.stacks(p.channels)
    )
    why = {
        (place, choice_label(stack)): problem for (place, stack), problem in sweep.illegal.items()
    }

    def cell(place: Place, label: str) -> Cell | None:
        cost = by_label.get((place, label))
        number = None if cost is None else value(cost)
        if cost is None or number is None:
            return None
        return Cell(value=number, text=show(number), title=_details(cost))

    rows = tuple((label, tuple(cell(p, label) for p in sweep.grid.places)) for label in labels)
    heat = HeatMap(
        corner="block",
        columns=tuple(str(place) for place in sweep.grid.places),
        rows=tuple(row for row in rows if any(row[1])),
        middle=middle,
    )
    holes = "A dash: the groups do not divide the channels. " if why else ""
    scale = "" if middle is not None else "Each shape has its own colours. "
    return join((note(f"{text} {scale}{holes}"), draw_map(heat)))


def _relative(sweep: Sweep, cost: BlockCost) -> float | None:
    for other in sweep.costs:
        same = (other.place, other.stack.kernel, other.stack.expansion) == (
            cost.place,
            cost.stack.kernel,
            cost.stack.expansion,
        )
        if same and other.stack.kind == "dw":
            return cost.latency_us / other.latency_us
    return None


def _useless(sweep: Sweep, useless: Useless) -> Html:
    costs = {(cost.place, cost.stack): cost for cost in sweep.costs}
    rows = []
    for (place, stack), by in useless.items():
        mine, other = costs[place, stack], costs[place, by]
        rows.append(
            (
                str(place),
                choice_label(stack),
                choice_label(by),
                f"{other.latency_us / mine.latency_us:.2f}",
                f"{other.params / mine.params:.2f}",
                f"{other.macs / mine.macs:.2f}",
            )
        )
    headings = ("shape", "block", "better", "its latency", "parameters", "multiply-adds")
    details = el(
        "details",
        el("summary", f"All {len(rows)} dominated blocks"),
        table(headings, rows, numeric=(3, 4, 5)),
    )
    return join((note(RULE_IN_SHORT), _by_choice(sweep, useless), details if rows else None))


RULE_IN_SHORT = (
    "A block is never useful at a shape when another one there has at least its parameters, multiply-adds and "
    "kernel and is faster by more than the evaluator's declared error, with its parameters kept on the chip, "
    "streamed while it works, and streamed with nothing else going on. Whether the better block also trains to a "
    "better network is not known here."
)


def _by_choice(sweep: Sweep, useless: Useless) -> Html:
    """How many blocks of each kind and group size are dominated, by shape."""
    kinds: dict[str, dict[Place, list[bool]]] = {}
    for cost in sweep.costs:
        size = f" {cost.stack.group_size}" if cost.stack.group_size else ""
        name = KIND_WORDS[cost.stack.kind] + size
        gone = (cost.place, cost.stack) in useless
        kinds.setdefault(name, {}).setdefault(cost.place, []).append(gone)
    rows = [
        (
            name,
            *(
                f"{sum(found[place])} of {len(found[place])}" if place in found else "–"
                for place in sweep.grid.places
            ),
        )
        for name, found in kinds.items()
    ]
    columns = [str(place) for place in sweep.grid.places]
    return table(["dominated", *columns], rows, numeric=range(1, len(columns) + 1))


def _pruned(pruning: Pruning) -> Html:
    rows = [
        (el("code", choice.path), _list(choice.pruned), _list(choice.kept))
        for choice in pruning.choices
    ]
    places: dict[str, list[int]] = {}
    for context in pruning.contexts:
        name = f"{context.height}x{context.width}, stride {context.stride}, stacks {_list(context.stacks)}"
        counts = places.setdefault(name, [0, 0])
        counts[0] += context.pruned
        counts[1] += context.choices
    return join(
        (
            figures(
                (
                    (f"{pruning.pruned_share:.1%}", f"of the block choices of {pruning.space} go"),
                    (f"{len(pruning.choices)}", "choices lose values altogether"),
                )
            ),
            table(("choice", "never useful", "kept"), rows)
            if rows
            else note("No choice loses a value altogether."),
            table(
                ("where", "choices", "dominated"),
                [
                    (name, f"{all_:,}", f"{gone / all_:.0%}")
                    for name, (gone, all_) in places.items()
                ],
                numeric=(1, 2),
            ),
            note(
                "Dominated blocks become the block that dominates them, for the widths around them."
            ),
        )
    )


def _list(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _count(value: float) -> str:
    return (
        f"{value / 1e6:g} M"
        if value >= 1e6
        else f"{value / 1e3:g} k"
        if value >= 1e3
        else f"{value:g}"
    )

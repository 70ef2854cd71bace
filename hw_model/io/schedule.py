"""Layers assigned to several accelerators, as text and as one page with a strip of calls over time."""

import os
from html import escape

from hw_model.files import write_text
from hw_model.io.html import page, section
from hw_model.io.svg import picture, tag, text, tooltip
from hw_model.io.text import megabytes
from hw_model.mapping.assign import Assignment, Segment

#: One colour per accelerator, told apart by colour-blind readers too (Okabe and Ito); they repeat after eight.
COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c", "#b5a800",
)  # fmt: skip
_WIDTH = 1000.0
_LEFT = 150.0
NOTE = (
    "One accelerator works at a time. A call reads its inputs from host memory and leaves its outputs there; "
    "parameters stay on each chip as they would for the whole network."
)


def format_schedule(schedule: Assignment) -> str:
    """The answer, the calls in order, and each accelerator alone."""
    names = ", ".join(single.target_name for single in schedule.alone)
    calls = len(schedule.segments)
    lines = [
        f"{schedule.graph_name} on {names}: {calls} call{'s' if calls > 1 else ''}",
        f"  latency  {schedule.latency_ms:.3g} ms",
        f"  energy   {schedule.energy_mj:.3g} mJ",
        f"  {verdict(schedule)}",
        f"  by       evaluator {', '.join(schedule.evaluator_ids)}; {schedule.objective} is what was minimized",
        "",
        "Calls",
        *_calls(schedule),
        "",
        "Each accelerator alone",
        *(
            f"  {single.target_name:<16} {single.latency_ms:9.3f} ms {single.energy_mj:9.3f} mJ   {single.error_words}"
            for single in schedule.alone
        ),
        "",
        NOTE,
    ]
    return "\n".join(lines) + "\n"


def verdict(schedule: Assignment) -> str:
    """The gain over the best single accelerator, in a sentence."""
    best = schedule.best_alone
    alone = (
        f"{best.latency_ms:.3g} ms"
        if schedule.objective == "latency"
        else f"{best.energy_mj:.3g} mJ"
    )
    if len(schedule.segments) == 1:
        return f"best on {best.target_name} alone: no cut pays for its transfers"
    return f"{schedule.gain:.2f} times better than {best.target_name} alone ({alone})"


def _calls(schedule: Assignment) -> list[str]:
    width = max(len(_range(segment)) for segment in schedule.segments)
    width = min(max(width, 10), 60)
    head = (
        f"  {'accelerator':<16} {'operations':<{width}} {'count':>5} {'ms':>9} {'transfer':>9} "
        f"{'mJ':>9} {'in':>9} {'out':>9}"
    )
    return [head] + [
        f"  {one.target_name:<16} {_cut(_range(one), width):<{width}} {one.operations:5d} {one.latency_ms:9.3f} "
        f"{one.transfer_ms:9.3f} {one.energy_mj:9.3f} {megabytes(one.input_bytes):>9} "
        f"{megabytes(one.output_bytes):>9}"
        for one in schedule.segments
    ]


def _range(segment: Segment) -> str:
    return segment.first if segment.operations == 1 else f"{segment.first} to {segment.last}"


def _cut(words: str, width: int) -> str:
    return words if len(words) <= width else words[: width - 1] + "…"


def write_schedule_html(schedule: Assignment, path: str | os.PathLike[str]) -> None:
    """Writes the page; raises `EnvironmentFault` when it cannot."""
    write_text(path, render_schedule(schedule))


def render_schedule(schedule: Assignment) -> str:
    """The page as text; it loads nothing from anywhere."""
    title = escape(f"{schedule.graph_name} on several accelerators")
    cards = (
        (f"{schedule.latency_ms:.3g} ms", "latency of one inference"),
        (f"{schedule.energy_mj:.3g} mJ", "energy of one inference"),
        (str(len(schedule.segments)), "calls"),
        (f"{schedule.gain:.2f}x", f"{schedule.objective} against the best single accelerator"),
    )
    shown = "".join(
        f'<div class="card"><b>{escape(figure)}</b><span>{escape(words)}</span></div>'
        for figure, words in cards
    )
    body = (
        f"<h1>{title}</h1><p>{escape(', '.join(schedule.evaluator_ids))} · {escape(verdict(schedule))}</p>"
        f'<div class="cards">{shown}</div>'
        + section("Calls over time", NOTE, _strip(schedule))
        + section("Calls", _errors(schedule), _table(schedule))
    )
    return page(title, body)


def _errors(schedule: Assignment) -> str:
    each = (f"{single.target_name} {single.error_words}" for single in schedule.alone)
    return f"Latencies: {'; '.join(each)}."


def _strip(schedule: Assignment) -> str:
    """A lane for each accelerator with its calls, the pale part spent on transfers; below, each one alone."""
    whole = max(schedule.latency_ms, *(single.latency_ms for single in schedule.alone))
    scale = (_WIDTH - _LEFT - 90) / whole
    colours = {single.target_name: COLOURS[i % 8] for i, single in enumerate(schedule.alone)}
    parts: list[str] = []
    lanes = {single.target_name: 10.0 + 30 * row for row, single in enumerate(schedule.alone)}
    for name, y in lanes.items():
        parts.append(text(_LEFT - 10, y + 16, name, text_anchor="end"))
        parts.append(tag("line", x1=_LEFT, x2=_WIDTH, y1=y + 26, y2=y + 26, class_="grid"))
    for one in schedule.segments:
        y, x = lanes[one.target_name], _LEFT + one.start_ms * scale
        hint = (
            f"{_range(one)}: {one.latency_ms:.3f} ms, {one.transfer_ms:.3f} of it transfers; "
            f"{megabytes(one.input_bytes)} in, {megabytes(one.output_bytes)} out"
        )
        for start, span, opacity in (
            (0.0, one.transfer_ms, 0.4),
            (one.transfer_ms, one.latency_ms - one.transfer_ms, 1.0),
        ):
            parts.append(
                tag(
                    "rect",
                    tooltip(hint),
                    x=x + start * scale,
                    y=y,
                    width=max(span * scale, 0.5),
                    height=22,
                    fill=colours[one.target_name],
                    fill_opacity=opacity,
                )
            )
    y = 20.0 + 30 * len(lanes)
    bars = [("together", schedule.latency_ms, "#5c5c5c")]
    bars += [
        (f"{single.target_name} alone", single.latency_ms, colours[single.target_name])
        for single in schedule.alone
    ]
    for label, milliseconds, colour in bars:
        size = milliseconds * scale
        parts.append(text(_LEFT - 10, y + 12, label, text_anchor="end", class_="soft"))
        parts.append(tag("rect", x=_LEFT, y=y, width=max(size, 0.5), height=14, rx=3, fill=colour))
        parts.append(text(_LEFT + size + 8, y + 12, f"{milliseconds:.3f} ms", class_="soft"))
        y += 22
    return picture(_WIDTH, y + 4, parts, "calls of each accelerator over time")


def _table(schedule: Assignment) -> str:
    head = (
        '<tr><th>Accelerator</th><th>Operations</th><th class="n">Count</th><th class="n">ms</th>'
        '<th class="n">Transfer ms</th><th class="n">mJ</th><th class="n">In</th><th class="n">Out</th></tr>'
    )
    rows = "".join(
        f"<tr><td>{escape(one.target_name)}</td><td>{escape(_range(one))}</td>"
        f'<td class="n">{one.operations}</td><td class="n">{one.latency_ms:.3f}</td>'
        f'<td class="n">{one.transfer_ms:.3f}</td><td class="n">{one.energy_mj:.3f}</td>'
        f'<td class="n">{megabytes(one.input_bytes)}</td><td class="n">{megabytes(one.output_bytes)}</td></tr>'
        for one in schedule.segments
    )
    return f"<table>{head}{rows}</table>"

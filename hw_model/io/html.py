"""A cost report as one self-contained page: figures, roofline, time per layer, energy, table, and every assumption."""

import math
import os
from html import escape

from hw_model.cost import CostReport, OpRow
from hw_model.files import write_text
from hw_model.io.svg import LogAxis, picture, tag, text, tooltip
from hw_model.io.text import (
    BINDING_WORDS,
    megabytes,
    millions,
    shape_text,
    time_by_binding_us,
    two_digits,
)

#: Colours tell the ceilings apart for colour-blind readers too (Okabe and Ito).
COLOURS = {
    "mac_array": "#0072b2", "activation_fetch": "#d55e00", "output_drain": "#e69f00",
    "parameter_broadcast": "#009e73", "on_chip_exchange": "#56b4e9", "parameter_streaming": "#cc79a7",
    "activation_spill": "#7b4173", "overhead": "#8c8c8c", "host": "#c00000", "none": "#bbbbbb", "model": "#5c5c5c",
}  # fmt: skip
STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#667080;--line:#dfe3e8;--card:#fff;--page:#f5f6f8}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaed;--soft:#9aa4b2;--line:#363c45;--card:#1e2227;--page:#14171a}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,Segoe UI,Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:28px 20px 60px}h1{font-size:24px;margin:0}h2{font-size:17px;margin:0 0 4px}
p{margin:2px 0 10px;color:var(--soft)}section{background:var(--card);border:1px solid var(--line);border-radius:10px;
padding:18px 20px;margin-top:18px;overflow-x:auto}.cards{display:flex;gap:14px;flex-wrap:wrap;margin-top:18px}
.card{flex:1 1 150px;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 16px}
.card b{display:block;font-size:24px;line-height:1.25}.card span{color:var(--soft);font-size:13px}
svg{width:100%;height:auto;display:block}svg text{fill:var(--ink);font-size:12px}svg .soft{fill:var(--soft)}
svg .grid{stroke:var(--line)}table{border-collapse:collapse;width:100%;font-size:13px}
th,td{text-align:left;padding:4px 8px;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--soft);font-weight:600}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
td.why{color:var(--soft)}.key{display:inline-flex;align-items:center;gap:6px;margin:0 14px 4px 0;font-size:13px}
.key i{width:11px;height:11px;border-radius:3px;display:inline-block}summary{cursor:pointer;font-weight:600}
.flag{color:#d55e00}
"""


def write_html(report: CostReport, path: str | os.PathLike[str]) -> None:
    """Writes the page; raises `EnvironmentFault` when it cannot."""
    write_text(path, render_html(report))


def render_html(report: CostReport) -> str:
    """The page as text; it loads nothing from anywhere."""
    title = escape(f"{report.graph_name} on {report.target_name}")
    body = "".join(
        (
            f"<h1>{title}</h1><p>{escape(report.target.title)} · {escape(report.evaluator_id)} · "
            f"target {report.target_id}</p>",
            *(f'<p class="flag">Warning: {escape(line)}</p>' for line in report.warnings),
            _cards(report),
            section("Where the time goes", "Time under each ceiling.", _shares(report)),
            section(
                "Roofline",
                "Each dot is an operation. Below the slope it waits for on-chip memory, below the flat roof "
                "for multipliers; far below both, it is small or fills the array badly. Rest on a dot to see why.",
                _legend(report) + _roofline(report),
            ),
            section("Time per layer", "In execution order.", _legend(report) + _layers(report)),
            section("Energy", _energy_note(report), _energy(report)),
            section("Operations", "", _table(report)),
            section("What this is computed from", "", _constants(report)),
        )
    )
    return page(title, body)


def page(title: str, body: str) -> str:
    """A whole page around its body; both are HTML already."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def section(title: str, note: str, content: str) -> str:
    """A part of a page under a heading; `content` is HTML already."""
    paragraph = f"<p>{escape(note)}</p>" if note else ""
    return f"<section><h2>{escape(title)}</h2>{paragraph}{content}</section>"


def _cards(report: CostReport) -> str:
    streamed = f"{megabytes(report.streamed_bytes)} streamed each time"
    cards = (
        (f"{report.latency_ms:.3g} ms", f"latency, {report.error_words}"),
        (f"{report.energy_mj:.3g} mJ", f"energy, {report.active_energy_mj:.3g} mJ of it active"),
        (millions(report.macs), "multiply-adds"),
        (f"{report.utilization:.0%}", f"of {report.target.peak_gmacs_per_s:,.0f} GMAC/s peak"),
        (megabytes(report.parameter_bytes), f"parameters, {streamed}"),
    )
    inner = "".join(
        f'<div class="card"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in cards
    )
    return f'<div class="cards">{inner}</div>'


def _legend(report: CostReport) -> str:
    used = {row.binding for row in report.rows}
    return "".join(
        f'<span class="key"><i style="background:{COLOURS[name]}"></i>{escape(words)}</span>'
        for name, words in BINDING_WORDS.items()
        if name in used and name != "none"
    )


def _hint(row: OpRow) -> str:
    return (
        f"{row.name} ({row.kind}, {shape_text(row)}): {row.time_us:.1f} us, {row.utilization:.0%} of peak, "
        f"{row.energy_pj / 1e6:.2f} uJ. {row.why}"
    )


def _shares(report: CostReport) -> str:
    parts: list[str] = []
    y, width = 4.0, 1000.0
    times = time_by_binding_us(report)
    longest = max(times.values())
    for name, us in times.items():
        size = 560 * us / longest
        parts += [
            text(230.0, y + 15, BINDING_WORDS[name], text_anchor="end"),
            tag("rect", x=240.0, y=y, width=max(size, 1.0), height=20, rx=3, fill=COLOURS[name]),
            text(
                248 + size,
                y + 15,
                f"{us / 1e3:.3f} ms, {us / 10 / report.latency_ms:.0f} %",
                class_="soft",
            ),
        ]
        y += 26
    return picture(width, y + 2, parts, "time under each ceiling")


def _roofline(report: CostReport) -> str:
    dots = [
        (row, row.macs / row_bytes(row), row.macs / row.time_us / 1e3)
        for row in report.rows
        if row.macs and row.time_us
    ]
    if not dots:
        return "<p>No operation multiplies.</p>"
    peak = report.target.peak_gmacs_per_s
    x = LogAxis(
        low=10 ** math.floor(math.log10(min(dot[1] for dot in dots))),
        high=10 ** math.ceil(math.log10(max(dot[1] for dot in dots) * 1.01)),
        start=70.0,
        end=980.0,
    )
    y = LogAxis(
        low=10 ** math.floor(math.log10(min(dot[2] for dot in dots))),
        high=10 ** math.ceil(math.log10(peak * 1.01)),
        start=390.0,
        end=34.0,
    )
    parts = _grid(x, y) + _roofs(report, x, y)
    longest = max(row.time_us for row, _, _ in dots)
    for row, intensity, rate in sorted(dots, key=lambda dot: -dot[0].time_us):
        parts.append(
            tag(
                "circle",
                tooltip(_hint(row)),
                cx=x.at(intensity),
                cy=y.at(rate),
                r=3.5 + 9 * math.sqrt(row.time_us / longest),
                fill=COLOURS[row.binding],
                fill_opacity=0.65,
            )
        )
    return picture(1000.0, 440.0, parts, "roofline of all operations")


def row_bytes(row: OpRow) -> int:
    """Bytes an operation cannot avoid: activations in and out, parameters once."""
    level = row.bytes_by_level
    return level["activations_in"] + level["activations_out"] + level["parameter_memory"]


def _grid(x: LogAxis, y: LogAxis) -> list[str]:
    parts: list[str] = []
    for value in x.decades():
        at = x.at(value)
        parts.append(tag("line", x1=at, x2=at, y1=y.start, y2=y.end, class_="grid"))
        parts.append(text(at, y.start + 18, f"{value:g}", text_anchor="middle", class_="soft"))
    for value in y.decades():
        at = y.at(value)
        parts.append(tag("line", x1=x.start, x2=x.end, y1=at, y2=at, class_="grid"))
        parts.append(text(x.start - 8, at + 4, f"{value:,g}", text_anchor="end", class_="soft"))
    parts.append(
        text(x.end, y.start + 38, "multiply-adds per byte", text_anchor="end", class_="soft")
    )
    parts.append(text(x.start, y.end - 18, "GMAC/s", text_anchor="end", class_="soft"))
    return parts


def _roofs(report: CostReport, x: LogAxis, y: LogAxis) -> list[str]:
    """The peak, the part of it that mapping reaches, and the slope of the on-chip memories together."""
    array = report.target.array
    peak = report.target.peak_gmacs_per_s
    reached = peak * report.target.overhead.mapping_efficiency
    drained = array.cores * array.lanes_per_core / array.drain_cycles
    fetched = array.cores * array.activation_fetch_bytes_per_cycle
    per_cycle = drained + fetched + array.parameter_broadcast_bytes_per_cycle
    slope = per_cycle * array.clock_mhz * report.target.overhead.mapping_efficiency / 1e3
    parts = []
    for level, label, dash in (
        (peak, "peak", "2 4"),
        (reached, "reached by compiled networks", "0"),
    ):
        left, at = x.at(max(x.low, level / slope)), y.at(level)
        parts.append(
            tag("line", x1=left, x2=x.end, y1=at, y2=at, stroke="#888", stroke_dasharray=dash)
        )
        parts.append(text(left + 6, at - 5, f"{label}, {level:,.0f}", class_="soft"))
    low = max(x.low, y.low / slope)
    corner = min(x.high, reached / slope)
    parts.append(
        tag(
            "line",
            x1=x.at(low),
            y1=y.at(low * slope),
            x2=x.at(corner),
            y2=y.at(corner * slope),
            stroke="#888",
        )
    )
    label = f"on-chip memories, {slope:,.0f} GB/s"
    parts.append(text(x.at(low) + 10, y.at(low * slope) - 4, label, class_="soft"))
    return parts


def _layers(report: CostReport) -> str:
    rows = [row for row in report.rows if row.time_us]
    longest = max((row.time_us for row in rows), default=1.0)
    step = 930 / max(1, len(rows))
    parts: list[str] = []
    for share in (0.25, 0.5, 0.75, 1.0):
        at = 220 - 200 * share
        parts.append(tag("line", x1=50.0, x2=985.0, y1=at, y2=at, class_="grid"))
        parts.append(text(44.0, at + 4, f"{longest * share:.0f}", text_anchor="end", class_="soft"))
    for index, row in enumerate(rows):
        height = max(1.0, 200 * row.time_us / longest)
        parts.append(
            tag(
                "rect",
                tooltip(_hint(row)),
                x=52 + index * step,
                y=220 - height,
                width=max(step - 1.5, 1.0),
                height=height,
                rx=1.5,
                fill=COLOURS[row.binding],
            )
        )
    parts.append(text(44.0, 10.0, "us", text_anchor="end", class_="soft"))
    return picture(1000.0, 230.0, parts, "time of each operation in execution order")


def _energy_note(report: CostReport) -> str:
    low_mj, high_mj = report.energy_interval_mj
    return (
        "Counted events times assumed prices: good for comparing networks, not measured on a device. "
        f"Over the ranges of those prices it is {two_digits(low_mj)} to {two_digits(high_mj)} mJ. "
        f"Idle power alone is {report.energy_mj - report.active_energy_mj:.3g} mJ."
    )


def _energy(report: CostReport) -> str:
    parts: list[str] = []
    y = 4.0
    energies = report.energy_by_component_mj
    most = max(energies.values()) or 1.0
    for name, millijoules in sorted(energies.items(), key=lambda item: -item[1]):
        if not millijoules:
            continue
        size = 560 * millijoules / most
        label = f"{millijoules:.3g} mJ, {millijoules / report.energy_mj:.0%}"
        parts += [
            text(230.0, y + 15, name.replace("_", " "), text_anchor="end"),
            tag("rect", x=240.0, y=y, width=max(size, 1.0), height=20, rx=3, fill="#009e73"),
            text(248 + size, y + 15, label, class_="soft"),
        ]
        y += 26
    return picture(1000.0, y + 2, parts, "energy by component")


def _table(report: CostReport) -> str:
    head = (
        '<tr><th>Operation</th><th>Kind</th><th>Output</th><th class="n">us</th><th class="n">Peak</th>'
        '<th class="n">uJ</th><th>Bound by</th><th>Why</th></tr>'
    )
    rows = "".join(
        f"<tr><td>{escape(row.name)}</td><td>{row.kind}</td><td>{shape_text(row)}</td>"
        f'<td class="n">{row.time_us:.1f}</td><td class="n">{row.utilization:.0%}</td>'
        f'<td class="n">{row.energy_pj / 1e6:.2f}</td><td>{BINDING_WORDS[row.binding]}</td>'
        f'<td class="why">{escape(row.why)}</td></tr>'
        for row in report.rows
    )
    return f"<details><summary>All {len(report.rows)} operations</summary><table>{head}{rows}</table></details>"


def _constants(report: CostReport) -> str:
    head = '<tr><th>Constant</th><th class="n">Value</th><th>Unit</th><th>Kind</th><th>Source</th></tr>'
    rows = ""
    for constant in report.target.constants:
        value = constant.value
        shown = ", ".join(value) if isinstance(value, tuple) else f"{value:,g}"
        if constant.low != constant.high:
            shown += f" ({constant.low:,g} to {constant.high:,g})"
        kind = "fitted" if constant.fitted else "assumed" if constant.assumption else "published"
        flag = ' class="flag"' if kind == "assumed" else ""
        rows += (
            f'<tr><td>{constant.path}</td><td class="n">{escape(shown)}</td><td>{constant.unit}</td>'
            f"<td{flag}>{kind}</td><td>{escape(constant.source)}</td></tr>"
        )
    count = sum(constant.assumption for constant in report.target.constants)
    return (
        f"<details><summary>{len(report.target.constants)} constants, {count} of them assumptions</summary>"
        f"<table>{head}{rows}</table></details>"
    )

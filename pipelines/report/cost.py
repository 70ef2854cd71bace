"""Cost of a model on a target as a section: the answer, where the time goes, and why the slowest layers are slow."""

from hw_model.cost import CostReport, OpRow
from hw_model.io.html import COLOURS
from hw_model.io.text import BINDING_WORDS, megabytes, shape_text, time_by_binding_us
from pipelines.report.chart import BOTTOM, LEFT, RIGHT, TOP, WIDTH, ticks
from pipelines.report.markup import Html, el, join, table
from pipelines.report.page import Section, figures, note
from pipelines.utilization import HEADINGS, use_by_part

SLOWEST = 5
_HEIGHT = 250.0


def cost_section(report: CostReport, *, title: str = "", slowest: int = SLOWEST) -> Section:
    """The section for one report."""
    return Section(
        title=title or f"Cost on {report.target_name}",
        body=join(
            (
                cost_figures(report),
                el("h3", "Where the time goes"),
                time_bars(report),
                parts_table(report),
                el("h3", "Each layer, in execution order"),
                layer_chart(report),
                el("h3", "The slowest, and why"),
                slowest_table(report, slowest),
                note(
                    f"{report.target.title}, evaluator {report.evaluator_id}. Latency is {report.error_words}; "
                    "energy is not calibrated on a device and serves to compare."
                ),
                *(note(f"Warning: {line}") for line in report.warnings),
            )
        ),
    )


def cost_figures(report: CostReport) -> Html:
    """Latency, energy and size as large numbers."""
    streamed = (
        f"parameters, {megabytes(report.streamed_bytes)} streamed each time"
        if report.streamed_bytes
        else "parameters, all kept on the chip"
    )
    return figures(
        (
            (f"{report.latency_ms:.3g} ms", "latency of one inference"),
            (
                f"{report.energy_mj:.3g} mJ",
                f"energy, {report.active_energy_mj:.3g} mJ of it active",
            ),
            (f"{report.macs / 1e6:,.1f} M", f"multiply-adds, at {report.utilization:.0%} of peak"),
            (megabytes(report.parameter_bytes), streamed),
        )
    )


def time_bars(report: CostReport) -> Html:
    """Time under each ceiling as bars with their figures."""
    times = time_by_binding_us(report)
    longest = max(times.values(), default=1.0)
    rows = []
    for name, us in times.items():
        bar = el(
            "svg",
            el("rect", width=f"{100 * us / longest:.1f}%", height=14, rx=2, fill=COLOURS[name]),
            class_="hbar",
            aria_hidden="true",
        )
        share = f"{us / 10 / report.latency_ms:.0f} %"
        rows.append((BINDING_WORDS[name], bar, f"{us / 1e3:.3f} ms", share))
    return table(("", "", "time", "share"), rows, numeric=(2, 3))


def parts_table(report: CostReport) -> Html:
    """Time and utilization of each transformer block and its parts; nothing for networks without such blocks."""
    uses = use_by_part(report)
    if not uses:
        return join(())
    rows = [
        (el("span", f"– {use.part}", class_="note") if use.part else use.name, *use.figures())
        for use in uses
    ]
    return join(
        (
            el("h3", "Each block"),
            note(
                "Blocks in a row that cost the same stand together; time and work are those of one."
            ),
            table(HEADINGS, rows, numeric=(1, 2, 3, 4)),
        )
    )


def layer_chart(report: CostReport) -> Html:
    """One bar per operation, coloured by what bounds it; the pointer shows name and reason."""
    rows = [row for row in report.rows if row.time_us > 0]
    if not rows:
        return note("No operation takes time.")
    longest = max(row.time_us for row in rows)
    floor = _HEIGHT - BOTTOM + 20
    scale = (floor - TOP) / (longest * 1.04)
    step = (WIDTH - LEFT - RIGHT) / len(rows)
    parts: list[Html] = []
    for value in ticks(0.0, longest * 1.04, 4):
        y = floor - value * scale
        parts.append(el("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(el("text", f"{value:g}", x=LEFT - 8, y=y + 4, class_="tick end"))
    for index, row in enumerate(rows):
        height = max(row.time_us * scale, 1.0)
        parts.append(
            el(
                "rect",
                el("title", hint(row)),
                x=LEFT + index * step,
                y=floor - height,
                width=max(step - 1.0, 0.8),
                height=height,
                fill=COLOURS[row.binding],
            )
        )
    middle = (TOP + floor) / 2
    parts.append(
        el(
            "text",
            "time, µs",
            x=15,
            y=middle,
            class_="label mid",
            transform=f"rotate(-90 15 {middle:g})",
        )
    )
    parts.append(el("text", "first layer", x=LEFT, y=floor + 20, class_="tick"))
    parts.append(el("text", "last layer", x=WIDTH - RIGHT, y=floor + 20, class_="tick end"))
    svg = el(
        "svg",
        join(parts),
        viewBox=f"0 0 {WIDTH:g} {_HEIGHT:g}",
        class_="chart",
        role="img",
        aria_label="time of each operation in execution order",
    )
    used = {row.binding for row in rows}
    keys = [
        el("li", el("i", style=f"background:{COLOURS[name]}"), words)
        for name, words in BINDING_WORDS.items()
        if name in used
    ]
    return join((el("ul", join(keys), class_="legend"), el("div", svg, class_="scroll")))


def hint(row: OpRow) -> str:
    """What the pointer shows on an operation."""
    return f"{row.name} ({row.kind}, {shape_text(row)}): {row.time_us:.1f} µs. {row.why}"


def slowest_table(report: CostReport, count: int) -> Html:
    """The operations that take most time, with their reasons in words."""
    rows = [
        (
            el("code", row.name),
            row.kind,
            shape_text(row),
            f"{row.time_us:.1f}",
            f"{row.time_us / 10 / report.latency_ms:.0f} %",
            el("span", row.why, class_="note"),
        )
        for row in report.slowest(count)
    ]
    return table(("layer", "kind", "output", "µs", "share", "why"), rows, numeric=(3, 4))

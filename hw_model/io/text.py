"""A cost report as text: the answer first, then where the time goes, then the slowest operations and why."""

from collections.abc import Iterable

from hw_model.cost import CostReport, OpRow

#: What the ceilings are called where people read them.
BINDING_WORDS = {
    "mac_array": "multipliers",
    "activation_fetch": "activation fetch",
    "output_drain": "output drain",
    "parameter_broadcast": "parameter broadcast",
    "on_chip_exchange": "on-chip exchange",
    "parameter_streaming": "parameter streaming",
    "activation_spill": "activations off the chip",
    "overhead": "starting operations",
    "host": "host operations",
    "none": "nothing",
    "model": "input, output, instructions, call",
}
BAR_WIDTH = 28


def time_by_binding_us(report: CostReport) -> dict[str, float]:
    """Microseconds spent under each ceiling, largest first; `model` is what belongs to no operation."""
    total: dict[str, float] = {"model": report.model_terms.total_us}
    for row in report.rows:
        total[row.binding] = total.get(row.binding, 0.0) + row.time_us
    return dict(sorted(((k, v) for k, v in total.items() if v > 0), key=lambda item: -item[1]))


def format_report(report: CostReport, *, slowest: int | None = 8) -> str:
    """The report for a terminal; `slowest=None` shows every operation in execution order."""
    lines = [*_summary(report), "", "Where the time goes", *_time_bars(report), ""]
    if slowest is None:
        lines += ["All operations", *_op_table(report, report.rows)]
    elif slowest:
        lines += [
            f"Slowest {slowest} operations, and why",
            *_op_table(report, report.slowest(slowest)),
        ]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _summary(report: CostReport) -> list[str]:
    streamed = (
        f", {megabytes(report.streamed_bytes)} streamed each time" if report.streamed_bytes else ""
    )
    idle_mj = report.energy_mj - report.active_energy_mj
    low_mj, high_mj = report.energy_interval_mj
    return [
        f"{report.graph_name} on {report.target.title}",
        f"  latency  {report.latency_ms:.3g} ms   {report.error_words}",
        f"  energy   {report.energy_mj:.3g} mJ   {report.active_energy_mj:.3g} active + {idle_mj:.3g} idle; "
        f"{two_digits(low_mj)} to {two_digits(high_mj)} over the ranges of its prices, not measured: compare, "
        "do not quote",
        f"  work     {millions(report.macs)} multiply-adds at {report.utilization:.0%} of peak, "
        f"{megabytes(report.parameter_bytes)} of parameters{streamed}",
        f"  by       evaluator {report.evaluator_id}, target {report.target_name} ({report.target_id})",
        *(f"  warning  {line}" for line in report.warnings),
    ]


def _time_bars(report: CostReport) -> list[str]:
    parts = time_by_binding_us(report)
    top = max(parts.values(), default=1.0)
    return [
        f"  {BINDING_WORDS[name]:<34} {us / 1e3:8.3f} ms {us / 10 / report.latency_ms:5.1f} %  "
        + "#" * max(1, round(BAR_WIDTH * us / top))
        for name, us in parts.items()
    ]


def _op_table(report: CostReport, rows: Iterable[OpRow]) -> list[str]:
    rows = tuple(rows)
    width = min(44, max((len(row.name) for row in rows), default=9))
    head = f"  {'operation':<{width}} {'kind':<16} {'output':<16} {'us':>8} {'share':>6} {'peak':>5}  bound by"
    lines = [head]
    for row in rows:
        lines.append(
            f"  {_shortened(row.name, width):<{width}} {row.kind:<16} {shape_text(row):<16} "
            f"{row.time_us:8.1f} {row.time_us / 10 / report.latency_ms:5.1f}% {row.utilization:5.0%}  "
            f"{BINDING_WORDS[row.binding]}"
        )
        if row.binding != "none":
            lines.append(f"      {row.why}")
    return lines


def shape_text(row: OpRow) -> str:
    """Output shape without the batch, such as `56x56x128`."""
    return "x".join(str(size) for size in row.output_shapes[0][1:]) or "1"


def two_digits(value: float) -> str:
    """A rough figure, never with an exponent."""
    return f"{float(f'{value:.2g}'):,.15g}"


def megabytes(count: int) -> str:
    """Bytes as people say them."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def millions(count: int) -> str:
    """A count as people say it."""
    return f"{count / 1e6:,.0f} M" if count >= 1e8 else f"{count / 1e6:.3g} M"


def _shortened(name: str, width: int) -> str:
    return name if len(name) <= width else "…" + name[1 - width :]

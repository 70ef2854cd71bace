"""`edgezoo cost`: latency and energy of one inference on a target, and why the slow layers are slow."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hw_model.errors import UsageError
from pipelines.cli.answer import Answer, table
from pipelines.cli.options import (
    add_cost_service,
    add_evaluator,
    add_json,
    add_model,
    add_output,
    add_size,
    add_target,
    add_text,
)
from pipelines.cli.references import graph_of, is_tflite, parse_size

if TYPE_CHECKING:
    from hw_model.cost import CostReport
    from hw_model.graph import Graph


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `cost`."""
    add_model(parser, also=", or .tflite file")
    add_target(parser)
    add_evaluator(parser)
    add_cost_service(parser)
    add_size(parser)
    add_output(parser)
    add_text(parser)
    parser.add_argument(
        "--top", metavar="N", type=int, default=8, help="slowest operations to show (default: 8)"
    )
    parser.add_argument("--all", action="store_true", help="show every operation in order")
    parser.add_argument(
        "--html", metavar="OUT.html", help="also write a page: roofline, time per layer, energy"
    )
    parser.add_argument(
        "--trace",
        metavar="OUT.json",
        help="also write the simulator's timeline, for Perfetto or chrome://tracing",
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="show where activations lie on the chip, and what does not fit",
    )
    parser.add_argument(
        "--memory-svg", metavar="OUT.svg", help="also write that as a picture; implies --memory"
    )
    parser.add_argument(
        "--schedule",
        metavar="T,T,...",
        help="assign the layers to several targets (names, .toml files, or the first word of names, such as mensa) "
        "instead of --target",
    )
    parser.add_argument(
        "--objective",
        choices=("latency", "energy"),
        help="what a schedule makes small (default: latency)",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Costs the model; the page is written before anything is printed."""
    from hw_model.io.html import write_html
    from hw_model.io.text import format_report
    from pipelines.utilization import HEADINGS, use_by_part

    if args.top < 0:
        raise UsageError(f"--top must be at least 0. Received: {args.top}")
    size = parse_size(args.input_size)
    changed = (size, args.num_classes, args.output, args.head, args.sequence_length)
    if is_tflite(args.model) and any(changed):
        raise UsageError(
            "A .tflite file has its size, classes, output and head; leave --input-size, --num-classes, --output, "
            "--head and --sequence-length out"
        )
    if args.trace and (args.evaluator != "simulator" or args.schedule):
        raise UsageError(
            "--trace needs --evaluator simulator and one target: others have no timeline"
        )
    if args.cost and (args.trace or args.schedule):
        raise UsageError("--trace and --schedule are computed here; leave --cost out")
    graph = graph_of(
        args.model,
        size=size,
        num_classes=args.num_classes,
        output=args.output,
        head=args.head,
        sequence_length=args.sequence_length,
    )
    if args.schedule:
        if args.memory or args.memory_svg:
            raise UsageError("--memory needs one target: leave --schedule out")
        return _schedule(graph, args)
    if args.objective:
        raise UsageError("--objective belongs to --schedule")
    report = _report(graph, args)
    text = format_report(report, slowest=None if args.all else args.top).rstrip()
    uses = use_by_part(report)
    if uses:
        rows = [(f"  {use.part}" if use.part else use.name, *use.figures()) for use in uses]
        text += f"\n\nBlock by block\n{table(HEADINGS, rows)}"
    if args.html:
        write_html(report, args.html)
        text += f"\n\nPage written to {args.html}"
    if args.trace:
        from hw_model.io.trace import write_trace

        write_trace(graph, report.target, args.trace)
        text += f"\n\nTimeline written to {args.trace}; open it at ui.perfetto.dev"
    data = {"model": args.model, **report.to_dict(), "parts": [asdict(use) for use in uses]}
    if args.memory or args.memory_svg:
        from hw_model.io.memory_map import show_memory

        memory, data["memory"] = show_memory(graph, report.target, picture=args.memory_svg)
        text += f"\n{memory.rstrip()}"
    return Answer(text=text, data=data)


def _report(graph: "Graph", args: argparse.Namespace) -> "CostReport":
    target = _target(args.target)
    if not args.cost:
        from hw_model import estimate

        return estimate(graph, target=target, evaluator=args.evaluator)
    from hw_model.service import connect

    with connect(args.cost, target=target, evaluator=args.evaluator) as client:
        return client.report_with_rows(graph)


def _schedule(graph: "Graph", args: argparse.Namespace) -> Answer:
    from hw_model.io.schedule import format_schedule, write_schedule_html
    from hw_model.mapping.assign import assign, targets_named

    schedule = assign(
        graph,
        targets_named(args.schedule),
        objective=args.objective or "latency",
        evaluator=args.evaluator,
    )
    text = format_schedule(schedule).rstrip()
    if args.html:
        write_schedule_html(schedule, args.html)
        text += f"\n\nPage written to {args.html}"
    return Answer(text=text, data={"model": args.model, **schedule.to_dict()})


def _target(name: str) -> str | Path:
    return Path(name) if name.endswith(".toml") else name

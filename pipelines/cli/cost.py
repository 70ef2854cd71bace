"""`edgezoo cost`: latency and energy of one inference on a target, and why the slow layers are slow."""

import argparse
from pathlib import Path

from hw_model.errors import UsageError
from pipelines.cli.answer import Answer
from pipelines.cli.options import add_evaluator, add_json, add_model, add_size, add_target
from pipelines.cli.references import graph_of, is_tflite, parse_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `cost`."""
    add_model(parser, also=", or .tflite file")
    add_target(parser)
    add_evaluator(parser)
    add_size(parser)
    parser.add_argument(
        "--top", metavar="N", type=int, default=8, help="slowest operations to show (default: 8)"
    )
    parser.add_argument("--all", action="store_true", help="show every operation in order")
    parser.add_argument(
        "--html", metavar="OUT.html", help="also write a page: roofline, time per layer, energy"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Costs the model; the page is written before anything is printed."""
    from hw_model import estimate
    from hw_model.io.html import write_html
    from hw_model.io.text import format_report

    if args.top < 0:
        raise UsageError(f"--top must be at least 0. Received: {args.top}")
    size = parse_size(args.input_size)
    if is_tflite(args.model) and (size or args.num_classes):
        raise UsageError(
            "A .tflite file has its size and classes; leave --input-size and --num-classes out"
        )
    graph = graph_of(args.model, size=size, num_classes=args.num_classes)
    report = estimate(graph, target=_target(args.target), evaluator=args.evaluator)
    text = format_report(report, slowest=None if args.all else args.top).rstrip()
    if args.html:
        write_html(report, args.html)
        text += f"\n\nPage written to {args.html}"
    return Answer(text=text, data={"model": args.model, **report.to_dict()})


def _target(name: str) -> str | Path:
    return Path(name) if name.endswith(".toml") else name

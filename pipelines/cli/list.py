"""`edgezoo list`: what there is to choose from, and what it costs."""

import argparse
from typing import Any

from hw_model.errors import UnknownNameError, UsageError
from pipelines.cli.answer import Answer, table
from pipelines.cli.options import add_json, add_target


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `list`."""
    parser.add_argument(
        "pattern", nargs="?", default="*", help="names to show, such as 'mobilenet*' (default: all)"
    )
    parser.add_argument("--family", metavar="F", help="only this family")
    parser.add_argument("--pretrained", action="store_true", help="presets, which have weights")
    add_target(parser, default=None)
    parser.add_argument("--max-latency", metavar="MS", type=float, help="at most this many ms on T")
    parser.add_argument("--max-energy", metavar="MJ", type=float, help="at most this many mJ on T")
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Names with sizes, and with latency and energy where a target is given."""
    from model_zoo import list_models
    from model_zoo.spec import FAMILIES, TEXT_FAMILIES

    families = (*FAMILIES, *TEXT_FAMILIES)
    if args.family is not None and args.family not in families:
        raise UnknownNameError("family", args.family, families)
    if args.target is None and (args.max_latency is not None or args.max_energy is not None):
        raise UsageError("--max-latency and --max-energy need a --target, such as --target pixel6")
    names = list_models(
        args.pattern,
        family=args.family,
        pretrained=args.pretrained,
        max_latency_ms=args.max_latency,
        max_energy_mj=args.max_energy,
        target=args.target,
    )
    rows = [_row(name, args.target, pretrained=args.pretrained) for name in names]
    return Answer(text=_text(rows, args), data=rows)


def _row(name: str, target: str | None, *, pretrained: bool) -> dict[str, Any]:
    from model_zoo import presets, registry

    spec = presets.spec_of(name) if pretrained else registry.spec_of(name)
    graph = spec.graph()
    row: dict[str, Any] = {
        "name": name,
        "family": spec.family,
        "input": list(spec.input.shape),
        "classes": spec.num_classes,
        "params": graph.param_count,
        "macs": graph.macs,
    }
    if pretrained:
        preset = presets.get(name)
        headline = preset.metrics[0].name if preset.metrics else ""
        row["metric"] = headline
        row["float"] = preset.metric(headline)
        row["int8"] = preset.metric(headline, "int8")
    if target is not None:
        from hw_model import estimate

        report = estimate(graph, target=target)
        row |= {"target": target, "latency_ms": report.latency_ms, "energy_mj": report.energy_mj}
    return row


_COLUMNS = {
    "name": "name",
    "input": "input",
    "classes": "classes",
    "params": "params",
    "macs": "MACs",
    "metric": "metric",
    "float": "float",
    "int8": "int8",
    "latency_ms": "ms",
    "energy_mj": "mJ",
}


def _text(rows: list[dict[str, Any]], args: argparse.Namespace) -> str:
    if not rows:
        what = "preset" if args.pretrained else "model"
        return f"No {what} matches {args.pattern!r} and the limits given."
    keys = [key for key in _COLUMNS if key in rows[0]]
    body = [[_cell(key, row[key]) for key in keys] for row in rows]
    shown = table([_COLUMNS[key] for key in keys], body)
    if args.target:
        shown += f"\n\nLatency and energy of one int8 inference on {args.target}, predicted."
    return shown


def _cell(key: str, value: Any) -> Any:
    if key == "input":
        return "×".join(map(str, value))
    if key in ("float", "int8") and value is not None:
        return f"{100 * value:.2f} %"
    if key in ("latency_ms", "energy_mj"):
        return f"{value:.3f}"
    return value

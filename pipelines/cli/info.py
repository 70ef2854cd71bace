"""`edgezoo info`: one architecture or preset as a table, with our figures and, apart from them, published ones."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.cli.answer import Answer, facts, metric_text, table
from pipelines.cli.options import add_json, add_model, add_output, add_size, add_text
from pipelines.cli.references import parse_size, spec_of

if TYPE_CHECKING:
    from model_zoo.presets import Preset
    from model_zoo.spec import Spec
    from pipelines.report.architecture import ArchitectureRow
    from pipelines.report.published import PublishedFigure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `info`."""
    add_model(parser)
    add_size(parser)
    add_output(parser)
    add_text(parser)
    parser.add_argument(
        "--spec", action="store_true", help="print the spec as JSON, to edit and use as spec.json"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Blocks, parameters, multiply-adds; a preset's origin and metrics; published figures."""
    from pipelines.report.architecture import architecture
    from pipelines.report.published import published_figures

    spec = spec_of(
        args.model,
        size=parse_size(args.input_size),
        num_classes=args.num_classes,
        output=args.output,
        head=args.head,
        sequence_length=args.sequence_length,
    )
    if args.spec:
        from hw_model import codec

        return Answer(text=spec.to_json(indent=2), data=codec.to_data(spec))
    graph = spec.graph()
    rows = architecture(spec, graph)
    preset = _preset(args.model)
    published = published_figures(args.model) if preset is None else ()
    data = {
        "name": args.model,
        "family": spec.family,
        "spec_id": spec.spec_id,
        "input": list(spec.input.shape),
        "classes": spec.num_classes,
        "params": graph.param_count,
        "trainable_params": graph.trainable_count,
        "macs": graph.macs,
        "rows": [asdict(row) for row in rows],
        "preset": None if preset is None else _preset_data(preset),
        "published": [asdict(figure) for figure in published],
    }
    return Answer(text=_text(data, spec, rows, preset, published), data=data)


def _preset(reference: str) -> "Preset | None":
    from model_zoo import presets

    known = reference in presets.names() or Path(reference).is_dir()
    return presets.get(reference) if known else None


def _preset_data(preset: "Preset") -> dict[str, Any]:
    from hw_model import codec

    data: dict[str, Any] = codec.to_data(preset)
    return data


def _text(
    data: dict[str, Any],
    spec: "Spec",
    rows: "tuple[ArchitectureRow, ...]",
    preset: "Preset | None",
    published: "tuple[PublishedFigure, ...]",
) -> str:
    from pipelines.report.architecture import HEADINGS, cells

    head = facts(
        [
            ("name", data["name"]),
            ("family", spec.family),
            ("spec", spec.spec_id),
            ("input", "×".join(map(str, data["input"]))),
            ("classes", data["classes"]),
            ("parameters", f"{data['params']:,} ({data['trainable_params']:,} trainable)"),
            ("multiply-adds", data["macs"]),
        ]
    )
    blocks = table(HEADINGS, [cells(row) for row in rows]) + "\n\n+ has a residual connection"
    parts = [head, blocks]
    if preset is not None:
        parts.append(_preset_text(preset))
    if published:
        lines = [
            (figure.what, f"{figure.value:g} {figure.unit:<2}  {figure.source}")
            for figure in published
        ]
        parts.append("Published by others, not measured here\n" + facts(lines))
    return "\n\n".join(parts)


def _preset_text(preset: "Preset") -> str:
    lines: list[tuple[str, object]] = [
        ("preset", preset.name),
        ("licence", f"{preset.licence} (data: {preset.data_licence})"),
        ("classes", ", ".join(preset.class_names) or "unnamed"),
    ]
    if preset.training is not None:
        run = preset.training
        lines.append(
            (
                "trained",
                f"on {run.dataset} by {run.recipe}, {run.epochs} epochs, {run.wall_time_s / 60:.0f} min "
                f"on {run.hardware}",
            )
        )
    examples = "images" if preset.reading is None else "questions"
    named = [("", metric) for metric in preset.metrics]
    named += [(f", {other.name}", metric) for other in preset.compared for metric in other.metrics]
    for whose, metric in named:
        shown = metric_text(metric.name, metric.value)
        where = f"{metric.images:,} {examples} of {metric.dataset}, {metric.split} split"
        lines.append((f"{metric.name} ({metric.form}{whose})", f"{shown} on {where}"))
    return "Measured by this project\n" + facts(lines)

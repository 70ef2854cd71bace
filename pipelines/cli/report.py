"""`edgezoo report`: one HTML page about a study or a model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.cli.answer import Answer
from pipelines.cli.options import DEFAULT_TARGET, add_json
from pipelines.cli.references import MODEL_HELP, spec_of

if TYPE_CHECKING:
    from pipelines.report import Section

STUDY_FILE = "study.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `report`."""
    parser.add_argument("subject", metavar="STUDY|MODEL", help=f"study folder, or {MODEL_HELP}")
    parser.add_argument(
        "--out", metavar="FILE.html", default="report.html", help="(default: report.html)"
    )
    parser.add_argument(
        "--target", metavar="T", help=f"for a model: what to cost it on (default: {DEFAULT_TARGET})"
    )
    parser.add_argument(
        "--against",
        metavar="STUDY",
        help="for a study: draw this one's convergence too, such as a random one",
    )
    parser.add_argument(
        "--data",
        metavar="SRC",
        help="for a model with weights: show what it sees in test images of this data set",
    )
    parser.add_argument(
        "--image-size",
        metavar="HxW",
        help="size that images of a folder or of tfds are read at when they differ",
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Writes the page and names it."""
    from hw_model.errors import UsageError
    from pipelines.report import write

    is_study = (Path(args.subject) / STUDY_FILE).is_file()
    if args.against and not is_study:
        raise UsageError(f"--against needs a study to compare with. Received: {args.subject!r}")
    if args.target and is_study:
        raise UsageError("A study has its target; leave --target out")
    if args.data and is_study:
        raise UsageError("--data is for a model; the report of a study trains and tests nothing")
    title, lead, sections = _study(args) if is_study else _model(args)
    path = write(args.out, title, lead, sections, footer=_footer(args.subject))
    data = {"path": str(path), "title": title, "sections": [section.title for section in sections]}
    return Answer(text=f"Page written to {path} ({path.stat().st_size:,} bytes)", data=data)


def _study(args: argparse.Namespace) -> "tuple[str, str, list[Section]]":
    from pipelines.report import study_sections
    from pipelines.search import open_study

    study = open_study(args.subject)
    against = open_study(args.against) if args.against else None
    config = study.manifest.config
    lead = f"The best architecture within {study.budget} on {config.target}, and how it was found."
    name = study.folder.path.resolve().name
    return f"Search study {name}", lead, study_sections(study, against=against)


def _model(args: argparse.Namespace) -> "tuple[str, str, list[Section]]":
    from model_zoo import presets
    from pipelines.report import model_sections

    spec = spec_of(args.subject)
    known = args.subject in presets.names() or Path(args.subject).is_dir()
    preset = presets.get(args.subject) if known else None
    name = preset.name if preset else Path(args.subject).name
    target = args.target or DEFAULT_TARGET
    sections = model_sections(name, spec, target=target, preset=preset)
    if args.data:
        sections.append(_predictions(args))
    return name, f"What it is and what one inference costs on {target}.", sections


def _predictions(args: argparse.Namespace) -> "Section":
    """What the model sees in some test images."""
    from pipelines.cli.references import load, load_images
    from pipelines.predict import predictor_of
    from pipelines.report.predictions import predictions_section

    dataset = load_images(args, args.subject)
    model = load(args.subject)
    return predictions_section(model, predictor_of(model, name=args.subject), dataset)


def _footer(subject: str) -> str:
    return f"Made by edgezoo report {subject}. Latency and energy are predictions."

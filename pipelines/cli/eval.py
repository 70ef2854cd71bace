"""`edgezoo eval`: the metrics of a model or `.tflite` file on a data set."""

import argparse
import sys
from typing import TYPE_CHECKING

from hw_model.errors import UnknownNameError, UsageError
from pipelines.cli.answer import Answer, facts, metric_text
from pipelines.cli.options import add_data, add_json, add_model
from pipelines.cli.references import is_tflite, load, parse_size, require_file

if TYPE_CHECKING:
    from pipelines.data import ImageDataset, Split


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `eval`."""
    add_model(parser, also=", or .tflite file")
    add_data(parser)
    parser.add_argument("--split", default="test", help="which images (default: test)")
    parser.add_argument(
        "--like", metavar="PRESET", help="prepare images for a .tflite file as this preset does"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """The metrics on all images of the split."""
    from pipelines.data import load_dataset
    from pipelines.tasks import METRIC_WORDS

    dataset = load_dataset(
        args.data, download=args.download, image_size=parse_size(args.image_size)
    )
    if args.split not in dataset.splits:
        raise UnknownNameError(f"split of {dataset.name}", args.split, dataset.splits)
    split = dataset.splits[args.split]
    file = is_tflite(args.model)
    form = "int8" if file else "float"
    metrics = (
        _evaluate_file(args, split) if file else _evaluate_model(args.model, dataset, args.split)
    )
    data = {
        "model": args.model,
        "form": form,
        "dataset": dataset.name,
        "split": args.split,
        "images": len(split),
        **metrics,
    }
    shown = [
        ("model", f"{args.model} ({form})"),
        ("images", f"{len(split):,} of {dataset.name}, {args.split} split"),
        *((METRIC_WORDS[key], metric_text(key, value)) for key, value in metrics.items()),
    ]
    return Answer(text=facts(shown), data=data)


def _evaluate_file(args: argparse.Namespace, split: "Split") -> dict[str, float]:
    from hw_model.io import read_header
    from pipelines.cli import sidecar
    from pipelines.export import evaluate_tflite

    path = require_file(args.model)
    read_header(path)  # a damaged file is named as such before anything is asked about it
    return evaluate_tflite(path, split, sidecar.read(path, args.like).preprocessing)


def _evaluate_model(reference: str, dataset: "ImageDataset", split: str) -> dict[str, float]:
    from pipelines.tasks import TASKS, evaluate

    model = load(reference)
    if getattr(model, "weights_origin", "") == "random":
        raise UsageError(
            f"{reference} is an architecture without weights; name a preset, a weights folder or a .keras file"
        )
    classes = TASKS[dataset.task].classes_of(model)
    if classes != dataset.num_classes:
        raise UsageError(
            f"{reference} answers with {model.output_shape}, {dataset.name} has {dataset.num_classes} classes "
            f"for {dataset.task}; they must agree"
        )
    return evaluate(model, dataset.splits[split], verbose=int(sys.stderr.isatty()))

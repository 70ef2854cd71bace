"""`edgezoo eval`: the metrics of a model or `.tflite` file on a data set."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from hw_model.errors import UnknownNameError, UsageError
from pipelines.cli.answer import Answer, facts, metric_text, table
from pipelines.cli.options import add_data, add_json, add_model
from pipelines.cli.references import is_tflite, load, parse_size, require_file

if TYPE_CHECKING:
    from pathlib import Path

    from model_zoo.preprocessing import Preprocessing
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
    form = "int8" if is_tflite(args.model) else "float"
    metrics, by_class = _measured(args, dataset, split)
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
    text = facts(shown)
    if by_class:
        data["iou"] = by_class
        rows = [
            (name, "–" if iou is None else f"{100 * iou:.1f} %") for name, iou in by_class.items()
        ]
        text += f"\n\n{table(('class', 'IoU'), rows)}"
    return Answer(text=text, data=data)


def _measured(
    args: argparse.Namespace, dataset: "ImageDataset", split: "Split"
) -> tuple[dict[str, float], dict[str, float | None]]:
    """The metrics of the data's task, and for segmentation those of each class; None for one that never occurs."""
    from pipelines.data import MaskSplit
    from pipelines.export import evaluate_tflite
    from pipelines.tasks import evaluate
    from pipelines.tasks.segment import score_file, score_model

    show = sys.stderr.isatty()
    if is_tflite(args.model):
        path, preprocessing = _file(args)
        if not isinstance(split, MaskSplit):
            return evaluate_tflite(path, split, preprocessing), {}
        score = score_file(path, split, preprocessing)
    else:
        model = _model(args.model, dataset)
        if not isinstance(split, MaskSplit):
            return evaluate(model, split, verbose=int(show)), {}
        score = score_model(model, split, progress=show)
    shares = zip(dataset.class_names, score.iou.tolist(), strict=False)
    return score.metrics(), {name: None if iou != iou else iou for name, iou in shares}


def _file(args: argparse.Namespace) -> "tuple[Path, Preprocessing]":
    """An existing, whole `.tflite` file, and how images are prepared for it."""
    from hw_model.io import read_header
    from pipelines.cli import sidecar

    path = require_file(args.model)
    read_header(path)  # a damaged file is named as such before anything is asked about it
    return path, sidecar.read(path, args.like).preprocessing


def _model(reference: str, dataset: "ImageDataset") -> Any:
    """A model with weights, for the classes of the data."""
    from pipelines.tasks import TASKS

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
    return model

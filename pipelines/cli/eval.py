"""`edgezoo eval`: the metrics of a model or `.tflite` file on a data set."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from hw_model.errors import UnknownNameError, UsageError
from pipelines.cli import texts
from pipelines.cli.answer import Answer, facts, metric_text, table
from pipelines.cli.options import add_data, add_json, add_model
from pipelines.cli.references import is_tflite, load, load_images, require_file

if TYPE_CHECKING:
    from pathlib import Path

    from model_zoo.preprocessing import Preprocessing
    from pipelines.data import ImageDataset, Split
    from pipelines.data.text import TextDataset

#: Shares of each class by key, in words.
_WORDS = {"iou": "IoU", "class_ap": "AP", "class_ap50": "AP50"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `eval`."""
    add_model(parser, also=", or .tflite file")
    add_data(parser)
    parser.add_argument("--split", default="test", help="which images (default: test)")
    parser.add_argument(
        "--like",
        metavar="PRESET",
        help="prepare images, or read text, for a .tflite file as this preset does",
    )
    texts.add_vocabulary(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """The metrics on all images of the split."""
    from pipelines.tasks import METRIC_WORDS

    if texts.is_text(args.data):
        return _of_text(args)
    dataset = load_images(args, args.model)
    if args.split not in dataset.splits:
        raise UnknownNameError(f"split of {dataset.name}", args.split, dataset.splits)
    split = dataset.splits[args.split]
    form = "int8" if is_tflite(args.model) else "float"
    metrics, by_class = _measured(args, dataset, split)
    names = dataset.class_names
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
        columns = [[_percent(share) for share in shares] for shares in by_class.values()]
        rows = list(zip(names, *columns, strict=False))
        text += f"\n\n{table(('class', *(_WORDS[key] for key in by_class)), rows)}"
        data |= {key: dict(zip(names, shares, strict=False)) for key, shares in by_class.items()}
    return Answer(text=text, data=data)


def _of_text(args: argparse.Namespace) -> Answer:
    """The metrics of a model or file on all questions, or masked words, of the split."""
    from pipelines.export import evaluate_tflite
    from pipelines.tasks import METRIC_WORDS, evaluate, task_of

    form, model = ("int8", None) if is_tflite(args.model) else ("float", load(args.model))
    if model is None:
        known, length = texts.of_file(args.model, args.like)
    else:
        known, length = texts.of_model(args.model, model)
    dataset, reading = texts.load(args, known, length)
    if args.split not in dataset.splits:
        raise UnknownNameError(f"split of {dataset.name}", args.split, dataset.splits)
    split = dataset.splits[args.split]
    show = sys.stderr.isatty()
    if model is None:
        metrics = evaluate_tflite(args.model, split, reading, progress=show)
    else:
        metrics = evaluate(_fitting(args.model, model, dataset), split, reading, verbose=int(show))
    data = {
        "model": args.model,
        "form": form,
        "dataset": dataset.name,
        "split": args.split,
        "examples": len(split),
        **metrics,
    }
    shown = [
        ("model", f"{args.model} ({form})"),
        (task_of(split).EXAMPLES, f"{len(split):,} of {dataset.name}, {args.split} split"),
        *((METRIC_WORDS[key], metric_text(key, value)) for key, value in metrics.items()),
    ]
    return Answer(text=facts(shown), data=data)


def _percent(share: float) -> str:
    return "–" if share != share else f"{100 * share:.1f} %"


def _measured(
    args: argparse.Namespace, dataset: "ImageDataset", split: "Split"
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The metrics of the data's task, and shares for each class by key; NaN for a class that never occurs."""
    from pipelines.data import BoxSplit, MaskSplit
    from pipelines.export import evaluate_tflite
    from pipelines.tasks import detect, evaluate, segment

    show = sys.stderr.isatty()
    if is_tflite(args.model):
        path, preprocessing = _file(args)
    else:
        model = _model(args.model, dataset)
    if isinstance(split, MaskSplit):
        pixels = (
            segment.score_file(path, split, preprocessing)
            if is_tflite(args.model)
            else segment.score_model(model, split, progress=show)
        )
        return pixels.metrics(), {"iou": pixels.iou.tolist()}
    if isinstance(split, BoxSplit):
        boxes, loss = (
            detect.score_file(path, split, preprocessing, num_classes=dataset.num_classes)
            if is_tflite(args.model)
            else detect.score_model(model, split, progress=show)
        )
        by_class = {"class_ap": boxes.per_class_ap, "class_ap50": boxes.per_class_ap50}
        return detect.metrics_of(boxes, loss), {k: v.tolist() for k, v in by_class.items()}
    if is_tflite(args.model):
        return evaluate_tflite(path, split, preprocessing), {}
    return evaluate(model, split, verbose=int(show)), {}


def _file(args: argparse.Namespace) -> "tuple[Path, Preprocessing]":
    """An existing, whole `.tflite` file, and how images are prepared for it."""
    from hw_model.io import read_header
    from pipelines.cli import sidecar

    path = require_file(args.model)
    read_header(path)  # a damaged file is named as such before anything is asked about it
    return path, sidecar.read(path, args.like).preprocessing


def _model(reference: str, dataset: "ImageDataset | TextDataset") -> Any:
    """A model with weights, for the classes of the data."""
    return _fitting(reference, load(reference), dataset)


def _fitting(reference: str, model: Any, dataset: "ImageDataset | TextDataset") -> Any:
    """The model, if it has weights and is for the classes of the data."""
    from pipelines.tasks import TASKS

    if getattr(model, "weights_origin", "") == "random":
        raise UsageError(
            f"{reference} is an architecture without weights; name a preset, a weights folder or a .keras file"
        )
    classes = TASKS[dataset.task].classes_of(model)
    if classes != dataset.num_classes:
        has = f"is no model for {dataset.task}" if classes is None else f"has {classes} classes"
        raise UsageError(
            f"{reference} {has}, {dataset.name} has {dataset.num_classes} classes for {dataset.task}; they must agree"
        )
    return model

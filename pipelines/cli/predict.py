"""`edgezoo predict`: what a model sees in a user's own images, in words or as a picture."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError
from pipelines.cli.answer import Answer, table
from pipelines.cli.options import add_json, add_model
from pipelines.cli.references import is_tflite, load, require_file

if TYPE_CHECKING:
    from pipelines.data.dataset import Images
    from pipelines.predict import Predictor

PICTURE_FOLDER = "predictions"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `predict`."""
    add_model(parser, also=", or .tflite file")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="pictures of any size and format"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help=f"where pictures of a segmentation are written (default: {PICTURE_FOLDER})",
    )
    parser.add_argument(
        "--top", metavar="N", type=int, default=5, help="most classes to name (default: 5)"
    )
    parser.add_argument(
        "--like", metavar="PRESET", help="prepare images for a .tflite file as this preset does"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """One answer per image."""
    from pipelines.predict import read_image

    if args.top < 1:
        raise UsageError(f"--top must be at least 1. Received: {args.top}")
    pictures = [(path, read_image(path)) for path in args.images]
    predictor = _predictor(args)
    stems = [Path(path).stem for path in args.images]
    if predictor.task == "segmentation" and len(set(stems)) < len(stems):
        raise UsageError(
            "Two images have one name, and so would their pictures; ask for one at a time"
        )
    if predictor.task == "classification" and args.out:
        raise UsageError("--out is for pictures of a segmentation; this model names whole images")
    answers = [
        _segment(args, predictor, path, image)
        if predictor.task == "segmentation"
        else _classify(args, predictor, path, image)
        for path, image in pictures
    ]
    return Answer(text="\n\n".join(text for text, _ in answers), data=[data for _, data in answers])


def _predictor(args: argparse.Namespace) -> "Predictor":
    from pipelines.predict import predictor_of, predictor_of_file

    if not is_tflite(args.model):
        return predictor_of(load(args.model), name=args.model)
    from hw_model.io import read_header
    from pipelines.cli import sidecar

    path = require_file(args.model)
    read_header(path)  # a damaged file is named as such before anything is asked about it
    known = sidecar.read(path, args.like)
    return predictor_of_file(path, known.preprocessing, known.class_names)


def _classify(
    args: argparse.Namespace, predictor: "Predictor", path: str, image: "Images"
) -> tuple[str, dict[str, Any]]:
    scores = predictor.scores(image)
    best = sorted(range(len(scores)), key=lambda label: -scores[label])[: args.top]
    rows = [(predictor.name_of(label), f"{100 * scores[label]:.1f} %") for label in best]
    data = [
        {"class": predictor.name_of(label), "probability": float(scores[label])} for label in best
    ]
    return f"{path}\n{table(('class', 'sure'), rows)}", {"image": path, "classes": data}


def _segment(
    args: argparse.Namespace, predictor: "Predictor", path: str, image: "Images"
) -> tuple[str, dict[str, Any]]:
    from PIL import Image

    from hw_model.files import atomic_path
    from pipelines.predict import segmentation_picture, shares

    mask = predictor.mask(image)
    out = Path(args.out or PICTURE_FOLDER) / f"{Path(path).stem}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary:
        Image.fromarray(segmentation_picture(image, mask, predictor)).save(temporary, format="PNG")
    found = shares(mask)[: args.top]
    rows = [(predictor.name_of(label), f"{100 * share:.1f} %") for label, share in found]
    data = [{"class": predictor.name_of(label), "share": share} for label, share in found]
    return (
        f"{path} -> {out}\n{table(('class', 'of the image'), rows)}",
        {"image": path, "picture": str(out), "classes": data},
    )

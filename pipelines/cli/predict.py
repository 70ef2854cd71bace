"""`edgezoo predict`: what a model sees in a user's own images, in words or as a picture."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError
from pipelines.cli.answer import Answer, table
from pipelines.cli.options import add_json, add_model
from pipelines.cli.references import is_tflite, load, require_file

if TYPE_CHECKING:
    from model_zoo.detection import Detections
    from pipelines.data.dataset import Images
    from pipelines.predict import Predictor

PICTURE_FOLDER = "predictions"
#: Classes that are named where nobody says how many.
TOP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `predict`."""
    add_model(parser, also=", or .tflite file")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="pictures of any size and format"
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help=f"where pictures of masks and boxes are written: a folder, or a .png for one image (default: "
        f"{PICTURE_FOLDER})",
    )
    parser.add_argument(
        "--top",
        metavar="N",
        type=int,
        help=f"most classes or objects to name (default: {TOP} classes, every object)",
    )
    parser.add_argument(
        "--threshold",
        metavar="SCORE",
        type=float,
        help="for detection: least score of an object, 0 to 1 (default: 0.3)",
    )
    parser.add_argument(
        "--like", metavar="PRESET", help="prepare images for a .tflite file as this preset does"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """One answer per image."""
    from pipelines.predict import read_image

    if args.top is not None and args.top < 1:
        raise UsageError(f"--top must be at least 1. Received: {args.top}")
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        raise UsageError(f"--threshold must be from 0 to 1. Received: {args.threshold}")
    pictures = [(path, read_image(path)) for path in args.images]
    predictor = _predictor(args)
    if args.threshold is not None and predictor.task != "detection":
        raise UsageError(f"--threshold is for detection; this model is for {predictor.task}")
    stems = [Path(path).stem for path in args.images]
    if predictor.task != "classification" and len(set(stems)) < len(stems):
        raise UsageError(
            "Two images have one name, and so would their pictures; ask for one at a time"
        )
    if len(pictures) > 1 and args.out and _is_picture(Path(args.out)):
        raise UsageError(
            f"One file holds one picture; give --out a folder for {len(pictures)}. Received: {args.out}"
        )
    if predictor.task == "classification" and args.out:
        raise UsageError("--out is for pictures of masks and boxes; this model names whole images")
    answer = {"classification": _classify, "segmentation": _segment, "detection": _detect}
    answers = [answer[predictor.task](args, predictor, path, image) for path, image in pictures]
    return Answer(text="\n\n".join(text for text, _ in answers), data=[data for _, data in answers])


def _is_picture(out: Path) -> bool:
    """Whether --out means a file, not a folder."""
    return out.suffix.lower() == ".png" and not out.is_dir()


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
    best = sorted(range(len(scores)), key=lambda label: -scores[label])[: args.top or TOP]
    rows = [(predictor.name_of(label), f"{100 * scores[label]:.1f} %") for label in best]
    data = [
        {"class": predictor.name_of(label), "probability": float(scores[label])} for label in best
    ]
    return f"{path}\n{table(('class', 'sure'), rows)}", {"image": path, "classes": data}


def _segment(
    args: argparse.Namespace, predictor: "Predictor", path: str, image: "Images"
) -> tuple[str, dict[str, Any]]:
    from pipelines.predict import segmentation_picture, shares

    mask = predictor.mask(image)
    out = _save(args, path, segmentation_picture(image, mask, predictor))
    found = shares(mask)[: args.top or TOP]
    rows = [(predictor.name_of(label), f"{100 * share:.1f} %") for label, share in found]
    data = [{"class": predictor.name_of(label), "share": share} for label, share in found]
    return (
        f"{path} -> {out}\n{table(('class', 'of the image'), rows)}",
        {"image": path, "picture": str(out), "classes": data},
    )


def _detect(
    args: argparse.Namespace, predictor: "Predictor", path: str, image: "Images"
) -> tuple[str, dict[str, Any]]:
    from pipelines.predict import LEAST_SCORE
    from pipelines.report.boxes import LEGIBLE_SIDE, draw_boxes

    threshold = LEAST_SCORE if args.threshold is None else args.threshold
    found = predictor.detections(image).above(threshold).first(args.top)
    picture = draw_boxes(image, found, predictor.class_names, least_side=LEGIBLE_SIDE)
    out = _save(args, path, picture)
    objects = _objects(found, predictor, image)
    data = {"image": path, "picture": str(out), "objects": objects}
    if not objects:
        return f"{path} -> {out}\nNothing with a score of at least {threshold:g}.", data
    rows = [
        (item["class"], f"{100 * item['score']:.1f} %", *map(round, item["box"].values()))
        for item in objects
    ]
    headings = ("class", "score", *objects[0]["box"])
    return f"{path} -> {out}\n{table(headings, rows)}", data


def _objects(found: "Detections", predictor: "Predictor", image: "Images") -> list[dict[str, Any]]:
    """Class, score and box in pixels of the image."""
    height, width = image.shape[:2]
    corners = found.boxes * (height, width, height, width)
    return [
        {
            "class": predictor.name_of(label),
            "score": score,
            "box": dict(zip(("top", "left", "bottom", "right"), corner, strict=True)),
        }
        for label, score, corner in zip(
            found.classes.tolist(), found.scores.tolist(), corners.tolist(), strict=True
        )
    ]


def _save(args: argparse.Namespace, path: str, picture: "Images") -> Path:
    """Writes the picture of an image's answer under the image's name."""
    from PIL import Image

    from hw_model.files import atomic_path

    out = Path(args.out or PICTURE_FOLDER)
    if not _is_picture(out):
        out /= f"{Path(path).stem}.png"
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG")
    return out

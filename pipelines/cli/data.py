"""`edgezoo data`: what a data set holds, and a contact sheet of it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UnknownNameError, UsageError
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.options import SOURCES, add_json, add_reading
from pipelines.cli.references import parse_size

if TYPE_CHECKING:
    from pipelines.data import BoxSplit, ImageDataset, Split

# So many images are counted where they have to be read for it: enough for shares, and seconds.
_COUNTED = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `data`."""
    parser.add_argument("source", metavar="SRC", help=SOURCES)
    add_reading(parser)
    parser.add_argument("--out", metavar="FILE.png", help="write a contact sheet there")
    parser.add_argument(
        "--split", default="train", help="which images the sheet shows (default: train)"
    )
    parser.add_argument(
        "--count", metavar="N", type=int, default=24, help="how many (default: %(default)s)"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Splits and classes; the sheet where asked for."""
    from pipelines.data import load_dataset

    if args.count < 1:
        raise UsageError(f"--count must be at least 1. Received: {args.count}")
    if args.out is not None and Path(args.out).suffix.lower() != ".png":
        raise UsageError(f"--out names a .png file. Received: {args.out!r}")
    dataset = load_dataset(
        args.source, download=args.download, image_size=parse_size(args.image_size)
    )
    if args.split not in dataset.splits:
        raise UnknownNameError(f"split of {dataset.name}", args.split, dataset.splits)
    data = _data(dataset)
    lines = [_text(dataset, data)]
    if args.out is not None:
        _write_sheet(Path(args.out), dataset.splits[args.split], dataset.class_names, args.count)
        data["sheet"] = args.out
        lines.append(f"Contact sheet of {args.split}: {args.out}")
    return Answer(text="\n\n".join(lines), data=data)


def _data(dataset: "ImageDataset") -> dict[str, Any]:
    known = {name: _per_class(split, dataset.num_classes) for name, split in dataset.splits.items()}
    return {
        "name": dataset.name,
        "task": dataset.task,
        "source": dataset.source,
        "licence": dataset.licence,
        "splits": {
            name: {"images": len(split), "shape": list(split.image_shape)} | _counted(split)
            for name, split in dataset.splits.items()
        },
        "classes": [
            {"id": label, "name": name} | {split: values[label] for split, values in known.items()}
            for label, name in enumerate(dataset.class_names)
        ],
    }


def _counted(split: "Split") -> dict[str, int]:
    """Of how many images the objects are counted, where it is objects."""
    from pipelines.data import BoxSplit

    if not isinstance(split, BoxSplit):
        return {}
    known = split.known_objects()
    return {"counted": min(len(split), _COUNTED) if known is None else len(known)}


def _per_class(split: "Split", num_classes: int) -> list[Any]:
    """Images or objects of each class, or its share of the labelled pixels of the first images."""
    import numpy as np
    from tqdm import trange

    from pipelines.data import BoxSplit, LabelSplit, MaskSplit

    if isinstance(split, LabelSplit):
        counts: list[int] = np.bincount(split.labels, minlength=num_classes).tolist()
        return counts
    if isinstance(split, BoxSplit):
        return _objects_per_class(split, num_classes)
    assert isinstance(split, MaskSplit)
    pixels = np.zeros(256, dtype=np.int64)
    for index in trange(min(len(split), _COUNTED), desc="masks", delay=2, disable=None):
        pixels += np.bincount(split.read_pairs([index])[1].ravel(), minlength=256)
    own = pixels[:num_classes]
    shares: list[float] = (own / max(own.sum(), 1)).tolist()
    return shares


def _objects_per_class(split: "BoxSplit", num_classes: int) -> list[int]:
    """Objects of each class, crowds left out: of all images, or of the first where they must be read."""
    import numpy as np
    from tqdm import trange

    found = split.known_objects()
    if found is None:
        first = trange(min(len(split), _COUNTED), desc="objects", delay=2, disable=None)
        found = [split.read_boxed([index])[1][0] for index in first]
    classes = np.concatenate([one.classes[~one.crowd] for one in found])
    counts: list[int] = np.bincount(classes, minlength=num_classes).tolist()
    return counts


def _text(dataset: "ImageDataset", data: dict[str, Any]) -> str:
    pixels = dataset.task == "segmentation"
    described = facts(
        [
            ("data set", f"{dataset.name} ({dataset.task}, {dataset.num_classes} classes)"),
            ("source", dataset.source or None),
            ("licence", dataset.licence or None),
        ]
    )
    splits = table(
        ["split", "images", "size"],
        [
            [name, split["images"], "x".join(map(str, split["shape"]))]
            for name, split in data["splits"].items()
        ],
    )
    classes = table(
        ["id", "class", *data["splits"]],
        [
            [
                row["id"],
                row["name"],
                *(f"{100 * row[name]:.2f} %" if pixels else row[name] for name in data["splits"]),
            ]
            for row in data["classes"]
        ],
    )
    kind = f"Share of the labelled pixels of {_COUNTED} images:" if pixels else "Images:"
    if dataset.task == "detection":
        kind = "Objects, crowds left out:"
        if any(split["counted"] < split["images"] for split in data["splits"].values()):
            kind = f"Objects of the first {_COUNTED} images, crowds left out:"
    return "\n\n".join([described, splits, f"{kind}\n{classes}"])


def _write_sheet(path: Path, split: "Split", class_names: tuple[str, ...], count: int) -> None:
    from hw_model.files import write_bytes
    from pipelines.report.png import encode
    from pipelines.report.sheet import contact_sheet

    write_bytes(path, encode(contact_sheet(split, class_names, count=count)))

"""Puts a trained model into the weights folder that ships: float and int8 file, measured again, with its card.

python -m pipelines.publish RUN --name mobilenet_edgetpu_v2_tiny_fashion_mnist --data fashion_mnist
python -m pipelines.publish RUN --name NAME --data SQUAD --beside alone=OTHER_RUN --beside teacher.json
"""

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hw_model import codec
from hw_model.errors import DataError, EdgeZooError, SpecError, UsageError
from hw_model.files import atomic_path, write_text
from model_zoo import presets
from model_zoo.card import card
from pipelines.data import ImageDataset, load_dataset
from pipelines.data.dataset import Examples
from pipelines.data.text import TextDataset, question_dataset
from pipelines.data.text.sources import is_questions

#: A fixed part of the test images that travels with the package, so that a test can measure again.
EMBEDDED = {"fashion_mnist": "fashion_mnist_small"}
#: Where nothing is embedded, this many test images from the first on are measured alone for the same end.
FIRST_IMAGES = 200
TFLITE_FILE = "model_int8.tflite"
CARD_FILE = "README.md"


def publish(
    run: Path,
    name: str,
    data: str,
    *,
    after: Sequence[Path] = (),
    beside: Sequence[str] = (),
    folder: Path | None = None,
    calibration_count: int | None = None,
) -> presets.Preset:
    """Copies the one preset of weights folder `run` to `folder` under `name`, with an int8 file beside it.

    `after` names the weights folders of the runs whose weights this one started from, the first one first.
    The headline metric of both files, and what the task states beside it, are measured on every split of `data`
    but the training one, and on a part that a test can measure again: what the package embeds of it, or the
    first test examples. `beside` names networks to compare it with: `NAME=RUN` is measured on the splits as well,
    a JSON file holds what was measured of one elsewhere, `{"name": ..., "metrics": [...]}` as in a manifest.

    Raises:
        UsageError: the name has other weights already.
    """
    from pipelines.export import certificate_path, export_int8

    root = folder or presets.weights_dir()
    source, preset = presets.find(run)
    _keep_weights(root, name, preset)
    dataset = question_dataset(data) if is_questions(data) else load_dataset(data)
    tested = _tested(dataset)
    compared = tuple(_compared(other, dataset.name, tested) for other in beside)
    place = root / name
    place.mkdir(parents=True, exist_ok=True)
    for record, file_name in (
        (preset.spec, presets.SPEC_FILE),
        (preset.weights, presets.WEIGHTS_FILE),
    ):
        if record is not None:
            with atomic_path(place / file_name) as temporary:
                shutil.copyfile(presets.checked_file(source, record), temporary)
    model = presets.load_model(run)
    exported = place / TFLITE_FILE
    export_int8(
        model,
        dataset.train,
        exported,
        evaluate_on=dataset.test,
        calibration_count=calibration_count,
    )
    measured = _metrics(model, exported, dataset.name, tested)
    if data in EMBEDDED:
        part = EMBEDDED[data]
        measured += _metrics(model, exported, part, _tested(load_dataset(part)))
    else:
        first: Any = range(min(FIRST_IMAGES, len(dataset.test)))
        few = {f"test[:{FIRST_IMAGES}]": dataset.test.part(first)}
        measured += _metrics(model, exported, dataset.name, few)
    published = replace(
        preset,
        name=name,
        task=dataset.task,
        spec=presets.record(root, f"{name}/{presets.SPEC_FILE}"),
        weights=presets.record(root, f"{name}/{presets.WEIGHTS_FILE}"),
        tflite=presets.record(root, f"{name}/{TFLITE_FILE}"),
        certificate=presets.record(root, f"{name}/{certificate_path(exported).name}"),
        reading=presets.write_reading(root, name, model.preprocessing),
        metrics=tuple(measured),
        compared=compared,
        earlier=tuple(t for earlier in after if (t := presets.get(earlier).training) is not None),
    )
    write_text(place / CARD_FILE, card(published))
    presets.put(root, published)
    return published


def _keep_weights(root: Path, name: str, preset: presets.Preset) -> None:
    """Whoever names a preset gets the same weights for ever: figures and certificates may be renewed, they may not."""
    held = presets.read_manifest(root).presets if (root / presets.MANIFEST).exists() else ()
    for other in held:
        if other.name == name and _sum(other) != _sum(preset):
            raise UsageError(
                f"{name} has other weights in {root}, and a name never changes its own; "
                f"publish these under another, such as {name}.v2"
            )


def _sum(preset: presets.Preset) -> str | None:
    return preset.weights.sha256 if preset.weights else None


def _tested(dataset: ImageDataset | TextDataset) -> dict[str, Examples]:
    """Every split but the training one, by name."""
    return {name: split for name, split in dataset.splits.items() if name != "train"}


def _metrics(
    model: Any, exported: Path | None, data: str, splits: Mapping[str, Examples]
) -> list[presets.Metric]:
    """What the task states of the float model, and of the int8 file if there is one, on every split."""
    from pipelines.export import evaluate_tflite
    from pipelines.tasks import evaluate, task_of

    found = []
    for name, split in splits.items():
        task = task_of(split)
        values = {"float": evaluate(model, split)}
        if exported is not None:
            values["int8"] = evaluate_tflite(exported, split, model.preprocessing)
        found += [
            presets.Metric(
                name=metric,
                value=round(value[metric], 6),
                form=form,
                dataset=data,
                split=name,
                images=len(split),
            )
            for metric in (task.HEADLINE, *task.ALSO_STATED)
            for form, value in values.items()
        ]
    return found


def _compared(other: str, data: str, splits: Mapping[str, Examples]) -> presets.Compared:
    """The figures of another network, measured now or read from a file."""
    name, named, run = other.partition("=")
    if named:
        measured = _metrics(presets.load_model(run), None, data, splits)
        return presets.Compared(name=name, metrics=tuple(measured))
    try:
        return codec.loads(presets.Compared, Path(other).read_bytes())
    except SpecError as error:
        raise DataError(f"{other} holds no figures of a network: {error}") from error
    except OSError as error:
        raise DataError(f"Cannot read the figures {other}: {error.strerror or error}") from error


def main() -> int:
    """Reads the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.publish", description=__doc__)
    parser.add_argument("run", type=Path, help="weights folder a training left")
    parser.add_argument("--name", required=True, help="name the preset gets")
    parser.add_argument("--data", required=True, help="data set it was trained on")
    parser.add_argument(
        "--after",
        type=Path,
        nargs="*",
        default=[],
        metavar="RUN",
        help="runs whose weights it started from, the first one first",
    )
    parser.add_argument(
        "--beside",
        action="append",
        default=[],
        metavar="NAME=RUN",
        help="another network to state the figures of: a run to measure, or a JSON file of figures; may come again",
    )
    parser.add_argument(
        "--samples", type=int, metavar="N", help="calibration examples (default: up to 100)"
    )
    parser.add_argument(
        "--folder", type=Path, help="weights folder to write (default: the one that ships)"
    )
    args = parser.parse_args()
    try:
        preset = publish(
            args.run,
            args.name,
            args.data,
            after=args.after,
            beside=args.beside,
            folder=args.folder,
            calibration_count=args.samples,
        )
    except EdgeZooError as error:
        print(f"publish: error: {error}", file=sys.stderr)
        return error.exit_code
    print(card(preset))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`edgezoo import`: weights that others trained, as a preset of this zoo."""

import argparse
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import DataError, UsageError
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.frameworks import load_keras
from pipelines.cli.options import add_json
from pipelines.cli.references import MODEL_HELP, is_tflite, spec_of

if TYPE_CHECKING:
    from model_zoo.importers.tflite_match import Match
    from model_zoo.preprocessing import Preprocessing
    from model_zoo.spec import Spec
    from model_zoo.text.storage import TextPreprocessor
    from pipelines.data.dataset import Images
    from pipelines.export.agreement import Agreement

#: What is no part of a file's name.
_ENDINGS = r"\.(tflite|safetensors|index|tar|tgz|gz|tar\.gz)$"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `import`."""
    parser.add_argument(
        "source",
        metavar="FILE",
        help="trained .tflite file (float, uint8 or int8), or checkpoint: .safetensors file beside its config.json, "
        "TensorFlow checkpoint by its prefix or folder, tar archive of either, or its URL",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="weights folder to write")
    parser.add_argument("--name", metavar="NAME", help="name of the preset (default: the file's)")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help=f"architecture of the weights: {MODEL_HELP} (default: found by what the file holds; of a .tflite file "
        "whatever its image size, classes and width)",
    )
    parser.add_argument(
        "--images",
        metavar="PATH",
        nargs="+",
        help="of a .tflite file: images or folders of images on which the network's answers are compared with the "
        "file's (default: 8 coloured patterns, or random words)",
    )
    parser.add_argument(
        "--averages",
        action="store_true",
        help="of a TensorFlow checkpoint: the moving averages of the weights in place of the weights",
    )
    parser.add_argument("--sha256", metavar="H", help="of a URL: SHA-256 its file must have")
    parser.add_argument("--licence", metavar="L", help="licence of the weights (default: unknown)")
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Reads the weights, checks them where they can be, and writes the preset."""
    name = args.name or re.sub(_ENDINGS, "", Path(args.source).name)
    if not is_tflite(args.source):
        return _import_checkpoint(args, name)
    if args.averages:
        raise UsageError("--averages is for checkpoints")
    return _import_tflite(args, name)


def _import_checkpoint(args: argparse.Namespace, name: str) -> Answer:
    from model_zoo import registry
    from model_zoo.fetch import fetch, local_path
    from model_zoo.importers.checkpoints import import_checkpoint
    from model_zoo.importers.sources import files_of
    from model_zoo.presets import save_preset, source_of

    if args.images:
        raise UsageError("--images is for .tflite files, which run; a checkpoint is only read")
    named = args.model is None or args.model in registry.entries()
    load_keras()
    model = import_checkpoint(
        args.source,
        args.model if named else spec_of(args.model),
        averages=args.averages,
        sha256=args.sha256,
    )
    place = local_path(args.source)
    files = files_of(fetch(args.source, sha256=args.sha256) if place is None else place)
    source = source_of(*files, origin=args.source if place is None else None)
    preset = save_preset(model, args.out, name, licence=args.licence, source=source)
    data = {
        "preset": preset.name,
        "folder": args.out,
        "architecture": model.name,
        "spec_id": preset.spec_id,
        "num_classes": model.spec.num_classes,
        "averages": args.averages,
    }
    shown = [
        ("preset", f"{preset.name} in {args.out}"),
        ("architecture", f"{model.name}, {preset.param_count:,} parameters"),
        ("weights", "moving averages" if args.averages else "as the file has them"),
        *((f"SHA-256 of {each.path}", each.sha256) for each in source.files),
    ]
    return Answer(text=facts(shown), data=data)


def _import_tflite(args: argparse.Namespace, name: str) -> Answer:
    from model_zoo.fetch import fetch, local_path
    from model_zoo.importers.tflite_match import match_file
    from model_zoo.presets import save_preset, source_of
    from pipelines.export.agreement import USUAL_COUNT

    path = fetch(args.source, sha256=args.sha256)
    images = _images(args.images or [])
    spec = None if args.model is None else spec_of(args.model)
    match = match_file(path, spec, name=args.model)
    if images and match.spec.task in ("answering", "text_classification", "masked_lm"):
        raise UsageError(f"{path} reads text, and no images. Received: --images")
    load_keras()
    model = _build(match, path)
    steps, answers = _compare(model, match, path, images)
    source = source_of(path, origin=None if local_path(args.source) else args.source)
    preset = save_preset(model, args.out, name, licence=args.licence, source=source)
    asked = f"{len(images)} images" if images else f"{USUAL_COUNT} {_usual(match.spec)}"
    worst = max(steps, key=lambda layer: steps[layer])
    data = {
        "preset": preset.name,
        "folder": args.out,
        "architecture": match.name,
        "spec_id": preset.spec_id,
        "compared_on": asked,
        "layer_steps": steps,
        "agreement": [asdict(each) for each in answers],
    }
    shown = [
        ("preset", f"{preset.name} in {args.out}"),
        ("architecture", f"{match.name}, {preset.param_count:,} parameters"),
        ("compared on", asked),
        (
            "layers",
            f"{len(steps)}, off by {steps[worst]:.2f} of the file's steps at most ({worst})",
        ),
    ]
    return Answer(text=f"{facts(shown)}\n\n{_table(answers)}", data=data)


def _usual(spec: "Spec") -> str:
    from model_zoo.spec import ModelSpec

    return "coloured patterns" if isinstance(spec, ModelSpec) else "sequences of random words"


def _table(answers: "tuple[Agreement, ...]") -> str:
    rows = [
        (
            each.output,
            f"{each.agreement_db:.1f} dB",
            f"{each.max_difference:.3g}",
            None if each.same_top is None else f"{100 * each.same_top:.1f} %",
        )
        for each in answers
    ]
    return table(("scores", "agreement", "largest difference", "same best"), rows)


def _compare(
    model: Any, match: "Match", path: Path, images: "list[Images]"
) -> "tuple[dict[str, float], tuple[Agreement, ...]]":
    """How the network answers beside the file: layer by layer, and as a whole.

    Raises:
        DataError: some layer does something else than the file's operator.
    """
    from model_zoo.importers.tflite import layer_tensors, score_tensors
    from pipelines.export import agreement

    if not agreement.same_anchors(path, match.spec):
        raise DataError(
            f"{path} has other anchors than {match.name}: its boxes would lie elsewhere; name its architecture with "
            "--model, such as a spec.json"
        )
    samples = agreement.samples_of(model, images)
    beside = agreement.Beside(path, match.inputs)
    steps = agreement.layer_steps(model, beside, layer_tensors(match), samples)
    worst = max(steps, key=lambda layer: steps[layer])
    if not steps[worst] <= agreement.MOST_STEPS:
        raise DataError(
            f"{path} was read as {match.name}, but {worst} does not do what the file does: it is off by "
            f"{steps[worst]:.1f} of the file's steps, where rounding explains {agreement.MOST_STEPS:g}; nothing was "
            "written"
        )
    return steps, agreement.agreements(model, beside, score_tensors(match), samples)


def _images(paths: list[str]) -> "list[Images]":
    """The pictures named, and those in the folders named, in the order of their names."""
    from pipelines.predict import read_image

    found: list[Path] = []
    for path in map(Path, paths):
        found += (
            sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
        )
    if paths and not found:
        raise DataError(f"There are no images in {', '.join(paths)}")
    return [read_image(path) for path in found]


def _build(match: "Match", path: Path) -> Any:
    """The network, with what lies in the file or beside it: how inputs are read, and names of classes."""
    from model_zoo.importers.tflite import build
    from pipelines.cli import sidecar
    from pipelines.export.questions import reading_in

    reading: Preprocessing | TextPreprocessor | None = reading_in(path)
    names: tuple[str, ...] = ()
    if reading is None:
        try:
            beside = sidecar.read(path)
        except UsageError:
            return build(match)
        reading, names = beside.preprocessing, beside.class_names
    return build(match, preprocessing=reading, class_names=names)

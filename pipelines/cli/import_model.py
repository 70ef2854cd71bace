"""`edgezoo import`: weights that others trained, as a preset of this zoo."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError
from pipelines.cli.answer import Answer
from pipelines.cli.options import add_json
from pipelines.cli.references import is_tflite, require_file, spec_of

if TYPE_CHECKING:
    from model_zoo.spec import Spec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `import`."""
    parser.add_argument(
        "source",
        metavar="FILE",
        help="trained .tflite file (float, uint8 or int8), or checkpoint",
    )
    parser.add_argument("--out", metavar="DIR", required=True, help="weights folder to write")
    parser.add_argument("--name", metavar="NAME", help="name of the preset (default: the file's)")
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="architecture of the weights: model name, preset or spec.json (default: found by the file's "
        "operations, whatever its image size, classes and width)",
    )
    parser.add_argument("--licence", metavar="L", help="licence of the weights (default: unknown)")
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Reads the weights, checks them where they can be, and writes the preset."""
    from model_zoo.presets import save_preset, source_of

    name = args.name or Path(args.source).name.partition(".")[0]
    model, facts = _from_tflite(args) if is_tflite(args.source) else _from_checkpoint(args)
    preset = save_preset(
        model, args.out, name, licence=args.licence, source=source_of(facts.pop("file"))
    )
    data = {"preset": preset.name, "folder": args.out, "spec_id": preset.spec_id, **facts}
    return Answer(text=f"{preset.name} in {args.out}", data=data)


def _from_tflite(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    raise NotImplementedError


def _from_checkpoint(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    from model_zoo.importers.checkpoints import import_checkpoint

    spec = _named_spec(args)
    if spec is None:
        raise UsageError("A checkpoint does not say its architecture; name it with --model")
    return import_checkpoint(args.source, spec), {"file": require_file(args.source)}


def _named_spec(args: argparse.Namespace) -> "Spec | None":
    return None if args.model is None else spec_of(args.model)

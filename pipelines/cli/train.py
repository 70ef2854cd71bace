"""`edgezoo train`: trains an architecture, or fine-tunes a preset, and leaves a preset behind."""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError
from pipelines.cli import texts
from pipelines.cli.answer import Answer, facts, metric_text
from pipelines.cli.frameworks import load_keras
from pipelines.cli.options import add_data, add_json, add_model, add_text
from pipelines.cli.references import (
    is_tflite,
    load,
    load_images,
    parse_size,
    require_file,
    spec_of,
)

if TYPE_CHECKING:
    from model_zoo.presets import Preset
    from model_zoo.text import Vocabulary
    from pipelines.data import ImageDataset
    from pipelines.data.text import TextDataset
    from pipelines.train import Recipe, TrainResult

RUN_FOLDER = "run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train`."""
    add_model(parser)
    add_data(parser)
    parser.add_argument(
        "--recipe",
        metavar="R",
        help="name or .toml file (with --weights: the fine-tuning recipe of the data's task)",
    )
    parser.add_argument(
        "--weights",
        metavar="PRESET",
        help="start from this preset, with a fresh classifier unless the classes are the same",
    )
    parser.add_argument("--out", metavar="DIR", help="weights folder to write (default: runs/NAME)")
    parser.add_argument("--name", help="name of the preset that is written (default: MODEL_DATA)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out exactly")
    parser.add_argument("--epochs", metavar="N", type=int, help="longer or shorter than the recipe")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="(default: 0)")
    parser.add_argument(
        "--input-size", metavar="HxW", help="train at this size (default: the size of the images)"
    )
    parser.add_argument(
        "--width", metavar="F", type=float, default=1.0, help="multiplies every width (default: 1)"
    )
    parser.add_argument(
        "--teacher",
        metavar="REF",
        help="learn from this model too: preset, weights folder, .keras or .tflite file",
    )
    parser.add_argument(
        "--like", metavar="PRESET", help="prepare images for a .tflite teacher as this preset does"
    )
    add_text(parser)
    texts.add_vocabulary(parser)
    add_json(parser)


def resume_hint(args: argparse.Namespace) -> str:
    """How to go on after Ctrl-C; empty before there was anything to go on with."""
    if not getattr(args, "data", None):
        return ""
    return f"every finished epoch is kept; continue with: {_command(args)} --resume"


def _command(args: argparse.Namespace) -> str:
    """The command as typed, but for `--resume`."""
    return f"edgezoo {shlex.join(word for word in args.words if word != '--resume')}"


def run(args: argparse.Namespace) -> Answer:
    """Trains, evaluates on the test split, saves the preset."""
    from pipelines.tasks import TASKS
    from pipelines.train import load_recipe

    if args.recipe is None and args.weights is None:
        from pipelines.train import list_recipes

        raise UsageError(
            f"--recipe is needed; there are {', '.join(list_recipes())}, or a .toml file"
        )
    reading: Any = None
    dataset: ImageDataset | TextDataset
    if texts.is_text(args.data):
        dataset, reading = texts.load(args, texts.of_preset(args.weights), _length(args))
    else:
        dataset = load_images(args, args.weights or args.model)
    recipe = load_recipe(args.recipe or TASKS[dataset.task].FINETUNE_RECIPE)
    if args.epochs is not None:
        if args.epochs < 1:
            raise UsageError(f"--epochs must be at least 1. Received: {args.epochs}")
        recipe = recipe.with_epochs(args.epochs)
    name = args.name or f"{Path(args.model).stem}_{Path(dataset.name).stem}"
    out = Path(args.out or Path("runs") / name)
    model, result = _train(args, dataset, reading, recipe, out)
    words = getattr(reading, "vocabulary", reading)
    preset = _save(args, model, out, name, dataset, result, vocabulary=words)
    return _answer(args, out, preset, result)


def _length(args: argparse.Namespace) -> int:
    """Tokens a network reads at once: as asked, or as its spec says."""
    from model_zoo.spec import text_spec

    spec = text_spec(spec_of(args.weights or args.model, sequence_length=args.sequence_length))
    return spec.input.sequence_length


def _train(
    args: argparse.Namespace,
    dataset: "ImageDataset | TextDataset",
    reading: Any,
    recipe: "Recipe",
    out: Path,
) -> "tuple[Any, TrainResult]":
    from pipelines.data.text import TextDataset
    from pipelines.train import finetune, train

    settings: dict[str, Any] = {
        "run_dir": out / RUN_FOLDER,
        "resume": args.resume,
        "seed": args.seed,
        "preprocessing": reading if dataset.task == "answering" else None,
        "teacher": _teacher(args),
    }
    if args.weights is not None:
        return finetune(_pretrained(args), dataset, recipe, **settings)
    load_keras()
    import keras

    keras.utils.set_random_seed(args.seed)
    if isinstance(dataset, TextDataset):
        model = _fresh_text(args, dataset, getattr(reading, "vocabulary", reading))
    else:
        model = _fresh(args, dataset)
        model.class_names = dataset.class_names
    return model, train(model, dataset, recipe, **settings)


def _teacher(args: argparse.Namespace) -> Any:
    """The teacher --teacher names, with its weights."""
    from pipelines.cli import sidecar
    from pipelines.distill.teachers import read_teacher, teacher_of

    if args.teacher is None:
        return None
    if is_tflite(args.teacher):
        path = require_file(args.teacher)
        return teacher_of(path, preprocessing=sidecar.read(path, args.like).preprocessing)
    load_keras()
    return read_teacher(args.teacher)


def _fresh_text(args: argparse.Namespace, dataset: "TextDataset", vocabulary: Any) -> Any:
    """A text model with random weights for this vocabulary, with the head the data needs."""
    from dataclasses import replace

    from model_zoo import create_model
    from model_zoo.spec import text_spec

    usual = "span" if dataset.task == "answering" else "pretraining"
    spec = text_spec(
        spec_of(args.model, head=args.head or usual, sequence_length=args.sequence_length)
    )
    tables = replace(spec.input, vocabulary_size=len(vocabulary))
    return create_model(replace(spec, input=tables))


def _fresh(args: argparse.Namespace, dataset: "ImageDataset") -> Any:
    """A model with random weights: a named architecture takes the images' shape, a spec keeps its own."""
    from model_zoo import create_model, registry
    from model_zoo.spec import image_spec

    image_spec(spec_of(args.model))  # refuses one that reads text before anything is changed in it
    size = parse_size(args.input_size)
    if args.model in registry.entries():
        height, width, channels = dataset.image_shape
        return create_model(
            args.model,
            num_classes=dataset.num_classes,
            input_shape=(*(size or (height, width)), channels),
            width=args.width,
            strides="fit",
        )
    if args.width != 1.0:
        raise UsageError("--width is for named architectures; a spec has its own widths")
    return create_model(spec_of(args.model, size=size, num_classes=dataset.num_classes))


def _pretrained(args: argparse.Namespace) -> Any:
    """The preset's model, if MODEL names it or its architecture."""
    from model_zoo import presets

    preset = presets.get(args.weights)
    fitting = (preset.name, preset.architecture, args.weights)
    if args.model not in fitting:
        raise UsageError(
            f"--weights {args.weights} holds a {preset.architecture}; train that, or a preset of "
            f"another architecture. Received: {args.model!r}"
        )
    if args.width != 1.0:
        raise UsageError("--width cannot change with --weights: a preset keeps its own widths")
    if args.input_size is not None:
        raise UsageError("--input-size cannot change with --weights: a preset keeps its own size")
    model = load(args.weights)
    if args.sequence_length is not None:
        return model.with_length(args.sequence_length)
    return model


def _save(
    args: argparse.Namespace,
    model: Any,
    out: Path,
    name: str,
    dataset: "ImageDataset | TextDataset",
    result: "TrainResult",
    *,
    vocabulary: "Vocabulary | None",
) -> "Preset":
    from model_zoo import presets
    from pipelines.cli import machine

    metrics = tuple(
        presets.Metric(
            name=metric,
            value=value,
            form="float",
            dataset=dataset.name,
            split="test",
            images=len(dataset.test),
        )
        for metric, value in result.metrics.items()
    )
    training = presets.Training(
        recipe=result.recipe,
        recipe_id=result.recipe_id,
        command=_command(args),
        dataset=dataset.name,
        seed=result.seed,
        epochs=result.epochs,
        wall_time_s=round(result.wall_seconds, 1),
        hardware=machine.hardware(),
        tools=machine.tool_versions(),
    )
    return presets.save_preset(
        model,
        out,
        name,
        data_licence=dataset.licence or "unknown",
        training=training,
        metrics=metrics,
        vocabulary=vocabulary,
    )


def _answer(args: argparse.Namespace, out: Path, preset: "Preset", result: "TrainResult") -> Answer:
    from pipelines.tasks import METRIC_WORDS

    shown = [
        ("preset", f"{out} ({preset.name})"),
        *(
            (f"test {METRIC_WORDS[key]}", metric_text(key, value))
            for key, value in result.metrics.items()
        ),
        ("epochs", result.epochs),
        ("wall time", f"{result.wall_seconds:.0f} s, {result.images_per_second:.0f} examples/s"),
        ("use it as", f"edgezoo eval {out} --data {args.data}"),
    ]
    data = {
        "preset": preset.name,
        "folder": str(out),
        "spec_id": preset.spec_id,
        "metrics": dict(result.metrics),
        "epochs": result.epochs,
        "seed": result.seed,
        "recipe": result.recipe,
        "recipe_id": result.recipe_id,
        "wall_seconds": result.wall_seconds,
        "images_per_second": result.images_per_second,
        "history": list(result.history),
    }
    return Answer(text=facts(shown), data=data)

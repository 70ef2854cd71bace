"""What `edgezoo prune` and `edgezoo cluster` share: the network and its data, the preset, what changed."""

import argparse
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError
from pipelines.cli.answer import Answer, facts, metric_text, table
from pipelines.cli.options import add_data, add_json, add_model
from pipelines.cli.references import load, load_images

if TYPE_CHECKING:
    from pipelines.compress.measure import Size
    from pipelines.compress.methods import Compressed
    from pipelines.compress.quantize import Keep
    from pipelines.data import ImageDataset
    from pipelines.train import Recipe


def add_arguments(parser: argparse.ArgumentParser, *, recipe: str, kept: str) -> None:
    """Options of both verbs; `kept` is what the rounding afterwards leaves alone."""
    add_model(parser)
    add_data(parser)
    parser.add_argument("--out", metavar="DIR", required=True, help="weights folder to write")
    parser.add_argument("--name", help="name of the preset that is written (default: that of DIR)")
    parser.add_argument(
        "--recipe", metavar="R", default=recipe, help="name or .toml file (default: %(default)s)"
    )
    parser.add_argument("--epochs", metavar="N", type=int, help="longer or shorter than the recipe")
    parser.add_argument(
        "--qat-epochs",
        metavar="N",
        type=int,
        default=0,
        help=f"then train on with rounded weights and activations; {kept}, and NAME.tflite is written beside "
        "the preset with the ranges that were learned (default: 0)",
    )
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="(default: 0)")
    add_json(parser)


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """A network before or after."""

    metric: float
    zero_share: float
    most_distinct: int
    weights: "Size"
    int8: "Size"


def run(
    args: argparse.Namespace,
    recipe: "Recipe",
    method: "Callable[..., Compressed]",
    keep: "Keep",
) -> Answer:
    """Compresses, rounds where asked, saves the preset, and measures both networks."""
    from pipelines.compress.bridge import require_images
    from pipelines.compress.quantize import train_rounded, write_file
    from pipelines.tasks import evaluate, task_of
    from pipelines.train import load_recipe

    if args.qat_epochs < 0:
        raise UsageError(f"--qat-epochs must be at least 0. Received: {args.qat_epochs}")
    if args.epochs is not None:
        if args.epochs < 1:
            raise UsageError(f"--epochs must be at least 1. Received: {args.epochs}")
        recipe = recipe.with_epochs(args.epochs)
    model = load(args.model)
    require_images(model)
    if model.weights_origin == "random":
        raise UsageError(
            f"{args.model} has random weights: nothing was loaded or trained. Name a preset or a weights folder"
        )
    dataset = load_images(args, args.model)
    out = Path(args.out)
    name = args.name or out.name
    found = method(model, dataset, recipe, seed=args.seed)
    file = None
    if args.qat_epochs:
        rounding = load_recipe("quantize_aware").with_epochs(args.qat_epochs)
        rounded = train_rounded(found.model, dataset, rounding, keep=keep, seed=args.seed)
        file = out / f"{name}.tflite"
        write_file(rounded, dataset, file)
        _write_sidecar(file, rounded.model)
        found = rounded
    headline = task_of(dataset.test).HEADLINE
    reached = evaluate(found.model, dataset.test)[headline]
    _save(args, found, recipe, dataset, name, reached)
    states = {
        "before": _state(model, dataset, evaluate(model, dataset.test)[headline]),
        "after": _state(found.model, dataset, reached),
    }
    return _answer(args, dataset, recipe, states, file, found)


def _state(model: Any, dataset: "ImageDataset", metric: float) -> State:
    from pipelines.compress import measure
    from pipelines.export import export_int8

    kernels = measure.kernels_of(model)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.tflite"
        export_int8(model, dataset.train, path)
        int8 = measure.size_of(path.read_bytes())
    return State(
        metric=metric,
        zero_share=measure.zero_share(kernels),
        most_distinct=max(measure.distinct(kernels).values()),
        weights=measure.weight_size(model),
        int8=int8,
    )


def _write_sidecar(file: Path, model: Any) -> None:
    from pipelines.cli import sidecar

    names = tuple(model.class_names)
    sidecar.write(file, sidecar.Sidecar(preprocessing=model.preprocessing, class_names=names))


def _save(
    args: argparse.Namespace,
    found: "Compressed",
    recipe: "Recipe",
    dataset: "ImageDataset",
    name: str,
    reached: float,
) -> None:
    from model_zoo import presets
    from pipelines.cli import machine
    from pipelines.tasks import task_of
    from pipelines.train import recipe_id

    metric = presets.Metric(
        name=task_of(dataset.test).HEADLINE,
        value=reached,
        form="float",
        dataset=dataset.name,
        split="test",
        images=len(dataset.test),
    )
    training = presets.Training(
        recipe=recipe.name,
        recipe_id=recipe_id(recipe),
        command=f"edgezoo {shlex.join(args.words)}",
        dataset=dataset.name,
        seed=args.seed,
        epochs=recipe.plan[0].epochs + args.qat_epochs,
        wall_time_s=found.seconds,
        hardware=machine.hardware(),
        tools=machine.tool_versions(),
    )
    presets.save_preset(
        found.model,
        args.out,
        name,
        data_licence=dataset.licence or "unknown",
        training=training,
        metrics=(metric,),
    )


def _answer(
    args: argparse.Namespace,
    dataset: "ImageDataset",
    recipe: "Recipe",
    states: dict[str, State],
    file: Path | None,
    found: "Compressed",
) -> Answer:
    from pipelines.tasks import METRIC_WORDS, task_of

    headline = task_of(dataset.test).HEADLINE
    columns = (
        f"test {METRIC_WORDS[headline]}", "zeros", "weights in a kernel", "weights, bytes", "gzip", "int8, bytes",
        "gzip",
    )  # fmt: skip
    rows = [
        (
            when,
            metric_text(headline, state.metric),
            f"{100 * state.zero_share:.1f} %",
            f"up to {state.most_distinct:,} different",
            state.weights.raw_bytes,
            state.weights.gzip_bytes,
            state.int8.raw_bytes,
            state.int8.gzip_bytes,
        )
        for when, state in states.items()
    ]
    shown = [("preset", args.out), *([("int8 file", file)] if file else [])]
    shown.append(("use it as", f"edgezoo quantize {args.out} --data {args.data} --out FILE.tflite"))
    data = {
        "folder": args.out,
        "file": file and str(file),
        "recipe": recipe.name,
        "metric": headline,
        "losses": list(found.losses),
        **{when: asdict(state) for when, state in states.items()},
    }
    return Answer(text=f"{table(('', *columns), rows)}\n\n{facts(shown)}", data=data)

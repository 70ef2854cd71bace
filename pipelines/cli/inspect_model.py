"""`edgezoo inspect`: which layers 8 bits hurt most, what keeping them in more bits brings and costs, and a policy."""

import argparse
import math
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from hw_model.errors import UsageError
from pipelines.cli import texts
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.options import add_data, add_json, add_model, add_target
from pipelines.cli.quantize import data_of, test_split
from pipelines.cli.references import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.export.inspector import LayerNoise, Step

#: The fewest layers whose metric lies this far from the best at most: a tenth of a point.
WITHIN = 0.001
_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `inspect`."""
    add_model(parser)
    add_data(parser)
    add_target(parser)
    parser.add_argument(
        "--precision",
        choices=("int16", "float32"),
        default="float32",
        help="what layers are kept in: 8-bit weights and 16-bit activations, or floating point (default: %(default)s)",
    )
    parser.add_argument(
        "--most",
        metavar="N",
        type=int,
        default=32,
        help="layers kept at most (default: %(default)s)",
    )
    parser.add_argument(
        "--keep",
        metavar="N",
        type=int,
        help="layers the policy keeps (default: the fewest that come within a tenth of a point of the best)",
    )
    parser.add_argument(
        "--images",
        metavar="N",
        type=int,
        default=500,
        help="images or questions of the test split each file is measured on; 0: signal to noise alone "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--samples", metavar="N", type=int, help="calibration samples (default: up to 100)"
    )
    parser.add_argument("--out", metavar="POLICY.toml", help="policy to write")
    texts.add_vocabulary(parser)
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Ranks the layers, and measures a file for each number of layers kept."""
    from hw_model.targets import load_target
    from pipelines.data.dataset import subset
    from pipelines.export.export import prepare_rounding
    from pipelines.export.inspector import Inspector, chosen, counts_up_to

    _check(args)
    target = load_target(args.target)
    model = load(args.model)
    dataset, reading = data_of(args, model)
    split = subset(test_split(model, dataset, args.model), args.images) if args.images else None
    prepared = prepare_rounding(
        model, dataset.train, target=target, preprocessing=reading, calibration_count=args.samples
    )
    inspector = Inspector(prepared)
    layers = len(inspector.layers)
    if args.keep is not None and args.keep > layers:
        raise UsageError(
            f"--keep must be at most {layers}, the layers there are. Received: {args.keep}"
        )
    counts = {*counts_up_to(min(args.most, layers)), args.keep or 0}
    ranked = inspector.ranking()
    with tempfile.TemporaryDirectory() as folder:
        steps = list(
            inspector.steps(
                inspector.order(ranked),
                args.precision,
                sorted(counts),
                target=target,
                folder=Path(folder),
                split=split,
                preprocessing=reading or model.preprocessing,
            )
        )
    picked = next((step for step in steps if step.kept == args.keep), chosen(steps, within=WITHIN))
    if args.out:
        picked.policy.save(Path(args.out))
    return _answer(args, ranked, steps, picked, 0 if split is None else len(split))


def _check(args: argparse.Namespace) -> None:
    """Refuses what cannot be before anything that takes time."""
    for name, least in (("most", 1), ("keep", 0), ("images", 0), ("samples", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise UsageError(f"--{name} must be at least {least}. Received: {value}")
    if args.out and Path(args.out).suffix != ".toml":
        raise UsageError(f"--out must end in .toml. Received: {args.out!r}")


def _answer(
    args: argparse.Namespace,
    ranked: "Sequence[LayerNoise]",
    steps: "Sequence[Step]",
    picked: "Step",
    images: int,
) -> Answer:
    noise = table(
        ("layer", "operators", "alone, dB", "lost, dB", "with all before, dB"),
        [
            (each.layer, each.operators, each.alone_db, each.lost_db, each.sqnr_db)
            for each in ranked[:_SHOWN]
        ],
    )
    trade = table(
        ("layers kept", "output, dB", "metric, %", "latency, ms", "energy, mJ", "on host", "bytes"),
        [
            (
                step.kept,
                step.output_db,
                None if math.isnan(step.metric) else f"{100 * step.metric:.2f}",
                f"{step.latency_ms:.3f}",
                f"{step.energy_mj:.3f}",
                step.host_operators,
                step.size_bytes,
            )
            for step in steps
        ],
    )
    notes = dict.fromkeys(
        note for step in steps for note in step.notes if not note.startswith("In floating")
    )
    chosen_words = f"{picked.kept} layers in {args.precision}" if picked.kept else "none"
    shown = [
        ("noise", f"{len(ranked)} layers; of the outputs where a layer alone is in 8 bits, first"),
        ("measured on", f"{images:,} of the test split" if images else "signal to noise alone"),
        ("costed for", f"{args.target}, kept layers in {args.precision}"),
        ("order", "each of the layers above with those that read it"),
        ("kept", f"{chosen_words}{f', written to {args.out}' if args.out else ''}"),
        *(("note", note) for note in notes),
    ]
    data = {
        "model": args.model,
        "target": args.target,
        "precision": args.precision,
        "images": images,
        "layers": [asdict(each) for each in ranked],
        "steps": [{**asdict(step), "policy": step.policy.text()} for step in steps],
        "kept": picked.kept,
        "policy": picked.policy.text(),
    }
    return Answer(text=f"{noise}\n\n{trade}\n\n{facts(shown)}", data=data)

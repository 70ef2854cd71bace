"""`edgezoo train-cost-model`: the network behind `--evaluator learned`, for a target of the user's own."""

import argparse
import dataclasses
import os
import shlex
from pathlib import Path

from hw_model.errors import UsageError
from pipelines.cli.answer import Answer, facts
from pipelines.cli.frameworks import load_keras
from pipelines.cli.options import add_json, add_target

SAMPLES = 2400
FOLDER = Path("runs") / "cost_model"
MOST_SAMPLES = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `train-cost-model`."""
    add_target(parser)
    parser.add_argument(
        "--samples",
        metavar="N",
        type=int,
        default=SAMPLES,
        help="random networks to simulate, about one in eight to test with (default: %(default)s)",
    )
    parser.add_argument("--out", metavar="FILE.npz", help="(default: the target's name .npz)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="(default: 0)")
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=min(2, os.cpu_count() or 1),
        help="processes that simulate (default: %(default)s)",
    )
    add_json(parser)


def resume_hint(args: argparse.Namespace) -> str:
    """How to go on after Ctrl-C."""
    if not hasattr(args, "samples"):
        return ""
    return f"samples are kept in {FOLDER}; continue with: edgezoo {shlex.join(args.words)}"


def run(args: argparse.Namespace) -> Answer:
    """Simulates, trains, tests on networks held out, writes the file."""
    from hw_model.cost.learned import FILE_VARIABLE
    from hw_model.cost.learned_file import write_cost_model
    from hw_model.targets import load_target
    from pipelines.cost_model.train import LEAST_SAMPLES, train_cost_model

    if not 1 <= args.workers <= 256:
        raise UsageError(f"--workers is from 1 to 256. Received: {args.workers}")
    if not LEAST_SAMPLES <= args.samples <= MOST_SAMPLES:
        raise UsageError(
            f"--samples is from {LEAST_SAMPLES} to {MOST_SAMPLES}. Received: {args.samples}"
        )
    if not 0 <= args.seed < 1 << 32:
        raise UsageError(f"--seed is from 0 to {(1 << 32) - 1}. Received: {args.seed}")
    target = load_target(args.target)
    out = Path(args.out or f"{target.name}.npz")
    if out.suffix != ".npz":
        raise UsageError(f"--out must end in .npz. Received: {args.out!r}")
    load_keras()
    model = train_cost_model(
        target, samples=args.samples, seed=args.seed, folder=FOLDER, workers=args.workers
    )
    write_cost_model(model, out)
    held = model.about.held_out
    use = f"{FILE_VARIABLE}={shlex.quote(str(out))} edgezoo cost MODEL --target {args.target} --evaluator learned"
    text = facts(
        [
            ("written to", out),
            ("trained on", f"{model.about.samples:,} networks, {model.about.simulator_id}"),
            ("held out", f"{held.specs:,} other networks"),
            ("latency", _shown(held.latency_mape, held.latency_spearman)),
            ("energy", _shown(held.energy_mape, held.energy_spearman)),
            ("use it as", use),
        ]
    )
    data = {"file": str(out), "model_id": model.model_id, **dataclasses.asdict(model.about)}
    return Answer(text=text, data=data)


def _shown(mape: float, spearman: float) -> str:
    return f"mean error {mape:.2%}, rank correlation {spearman:.4f}"

"""The Spaghetti space with and without GC-IBN layers at equal trials and budget, by the AP of the winners.

python benchmarks/search_detection.py

Reruns the ablation of Akin et al. 2022 at a small scale. Short trainings rank the networks by their loss; the winners
of both settings are then trained longer, by one recipe and seed, and judged on the test splits, which no trial
sees. Every trial is kept as it ends: the same command goes on from there.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import Column, save
from search_studies import (
    COLUMNS,
    Row,
    by_seed,
    figures_of,
    final_of,
    options,
    published_ms,
    run_all,
)

from hw_model.cost.batch import coster_for
from hw_model.targets.loader import load_target
from model_zoo.spec import ModelSpec, NodeBackbone
from pipelines.data import load_dataset, subset
from pipelines.search import Budget, QualityConfig, SearchConfig, Study, best
from pipelines.search.wiring import make_space

SETTINGS = {"spaghettinet": "with GC-IBN", "spaghettinet_no_gc": "without"}
SAMPLER = "screened_evolution"
DATA = "composed_scenes_boxes"
SPLITS = ("test", "test_held_out")
#: Random points of a space that are costed to tell how much of it the budget leaves.
DRAWN = 300
DEFAULTS = {
    "out": Path("studies/detection"),
    "trials": 24,
    "seeds": 1,
    # On Pixels small networks cost what their operations' overheads cost, and groups are more operations. Here
    # a layer of four groups costs less than an IBN of the same expansion, as on Pixels at 320 px and full width.
    "target": "coral_devboard",
    # The published S meets it; so do about one random point in seven with GC-IBN and one in five without.
    "budget": "0.33ms",
    # The smallest size with all published levels.
    "image-size": 128,
    "width": 0.25,
    "epochs": 2,
    # No more than stay in memory as they are composed.
    "train-images": 3_000,
    "test-images": 300,
    "repeats": 3,
    "final-epochs": 6,
    "final-images": 12_000,
    "final-test-images": 2_000,
}


def config_of(args: argparse.Namespace, space: str, seed: int) -> SearchConfig:
    """One study; noise is measured once for each seed, by training some of its trials again."""
    data = load_dataset(DATA, image_size=(args.image_size, args.image_size))
    return SearchConfig(
        folder=str(args.out / f"{space}_{seed}"),
        budget=Budget.parse(args.budget),
        space=space,
        target=args.target,
        image_size=args.image_size,
        num_classes=data.num_classes,
        width=args.width,
        sampler=SAMPLER,
        trials=args.trials,
        seed=seed,
        quality=QualityConfig(
            data=DATA,
            recipe="search_detect_short",
            epochs=args.epochs,
            train_images=args.train_images,
            test_images=args.test_images,
            metric="exp_loss",
            repeats=args.repeats if space in list(SETTINGS)[:1] else 0,
        ),
    )


def share_within(config: SearchConfig) -> float:
    """Share of random points of a study's space that meet its budget, in percent."""
    space, cost = make_space(config)[0], coster_for(load_target(config.target))
    shape = (DRAWN, len(space.choices))
    rows = np.random.default_rng(0).integers(0, space.cardinalities, size=shape)
    within = [cost(space.bind(row)).latency_ms <= config.budget.limit for row in rows.tolist()]
    return round(100 * float(np.mean(within)), 1)


def layers_of(spec: ModelSpec) -> dict[str, int]:
    """How many layers of each kind a network has."""
    assert isinstance(spec.backbone, NodeBackbone)
    kinds: list[str] = [layer.kind for node in spec.backbone.nodes for layer in node.layers]
    return {kind: kinds.count(kind) for kind in ("separable", "ibn", "gc_ibn")}


def row_of(config: SearchConfig, study: Study, args: argparse.Namespace) -> Row:
    """What one study found, with AP and AP50, in percent, of its winner after a longer training."""
    from pipelines.tasks import evaluate

    winner = best(study)
    spec = make_space(config)[0].bind(winner.genotype)
    data = load_dataset(DATA, image_size=(config.image_size,) * 2)

    def score(model: Any) -> Row:
        scored = {
            name: evaluate(model, subset(data.splits[name], args.final_test_images))
            for name in SPLITS
        }
        return {
            name: {key: round(100 * metrics[key], 2) for key in ("ap", "ap50")}
            for name, metrics in scored.items()
        }

    final = final_of(
        study,
        data,
        subset(data.train, args.final_images),
        kept=f"final_{winner.key}_{config.seed}",
        epochs=args.final_epochs,
        seed=config.seed,
        score=score,
    )
    return {
        "setting": SETTINGS[config.space],
        **figures_of(config, study),
        "within_budget_percent": share_within(config),
        "winner_params": spec.graph().param_count,
        "winner_macs": spec.graph().macs,
        "winner_layers": layers_of(spec),
        **{
            f"{key}_{name}" if name != SPLITS[0] else key: value
            for name, found in final.items()
            for key, value in found.items()
        },
    }


def notes_of(config: SearchConfig, rows: Sequence[Row], args: argparse.Namespace) -> list[str]:
    """What the figures are and are not, and which setting won for which seed."""
    quality = config.quality
    words = dict(zip(SETTINGS.values(), ("with", "without"), strict=True))
    sizes = [f"spaghettinet_edgetpu_{size}" for size in "sml"]
    costs = published_ms(config, [*sizes, "ssdlite_mobiledet_edgetpu"])
    return [
        f"A trial's quality: e to the minus loss, in percent, of {quality.test_images} scenes held out of the "
        f"training split after {quality.epochs} epochs on {quality.train_images:,} scenes, {config.image_size} px, "
        f"width {config.width:g}, recipe {quality.recipe}; sampler {SAMPLER} in both settings.",
        f"AP and AP50: the winner trained once more, {args.final_epochs} epochs on {args.final_images:,} scenes, "
        f"on {args.final_test_images:,} scenes of each test split, which no trial sees. AP50 of both settings: "
        + by_seed(rows, "setting", "ap50", words),
        "One winner and one final training each: a difference within the noise of either says nothing. noise is the "
        "mean difference between two trainings of the same network with other seeds, in points of the quality.",
        "The paper's finding is of COCO, 320 px, Pixel 6 and a one-shot search; here networks are small, scenes are "
        "composed and trainings short, so a result of the other sign is no refutation.",
        f"Cost is that of the network with its head on {config.target}; published networks at this size and "
        f"width: {costs}. within_budget_percent: of {DRAWN} random points of the space.",
    ]


def record(config: SearchConfig, rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Writes what is known so far."""
    save(
        args.result,
        command="python benchmarks/search_detection.py",
        columns=[
            Column(key="setting", heading="GC-IBN"),
            *COLUMNS,
            Column(key="ap", heading="Winner's AP, %", format=".2f"),
            Column(key="ap50", heading="AP50, %", format=".2f"),
            Column(key="ap50_test_held_out", heading="AP50 held out, %", format=".2f"),
        ],
        rows=rows,
        notes=notes_of(config, rows, args),
    )


def main() -> None:
    """Both settings for every seed."""
    parser = options(__doc__, DEFAULTS)
    parser.add_argument("--result", default="search_detection", help="name of the record")
    run_all(parser.parse_args(), list(SETTINGS), config_of, row_of, record)


if __name__ == "__main__":
    main()

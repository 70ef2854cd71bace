"""A search in the segmentation space against random sampling at equal trials and budget on composed scenes.

python benchmarks/search_segmentation.py

Short trainings rank the networks by their loss; the winners of both are then trained longer, with several seeds, and
judged by the mIoU on the test split, which no trial sees. Every trial is kept as it ends: the same command goes on
from there.
"""

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

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

from pipelines.data import load_dataset
from pipelines.search import Budget, QualityConfig, SearchConfig, Study, best

SAMPLERS = ("screened_evolution", "random")
DATA = "composed_scenes"
SPLITS = {"miou": "test", "miou_held_out": "test_held_out"}
DEFAULTS = {
    "out": Path("studies/segmentation"),
    "trials": 28,
    "seeds": 1,
    # Small networks differ by their operations' overheads alone on Pixels, and by their work here. The published
    # XS meets this budget; one random point in seven does.
    "target": "coral_devboard",
    "budget": "0.22ms",
    # The smallest round size that keeps the published strides: 64 px lose the stem's and cost three times as much.
    "image-size": 72,
    "width": 0.25,
    "epochs": 1,
    "train-images": 7_680,
    "test-images": 300,
    "repeats": 3,
    "finals": 3,
    "final-epochs": 4,
    "final-images": 12_000,
}


def config_of(args: argparse.Namespace, sampler: str, seed: int) -> SearchConfig:
    """One study; noise is measured once for each seed, by training some of its trials again."""
    data = load_dataset(DATA, image_size=(args.image_size, args.image_size))
    return SearchConfig(
        folder=str(args.out / f"{sampler}_{seed}"),
        budget=Budget.parse(args.budget),
        space="autoseg",
        target=args.target,
        image_size=args.image_size,
        num_classes=data.num_classes,
        width=args.width,
        sampler=sampler,
        trials=args.trials,
        seed=seed,
        quality=QualityConfig(
            data=DATA,
            recipe="search_segment_short",
            epochs=args.epochs,
            train_images=args.train_images,
            test_images=args.test_images,
            metric="exp_loss",
            repeats=args.repeats if sampler == SAMPLERS[0] else 0,
        ),
    )


def row_of(config: SearchConfig, study: Study, args: argparse.Namespace) -> Row:
    """What one study found, with the mIoU, in percent, of its winner after longer trainings."""
    from pipelines.tasks import evaluate

    data = load_dataset(DATA, image_size=(config.image_size,) * 2)
    finals = [
        final_of(
            study,
            data,
            data.train.part(range(args.final_images)),
            kept=f"final_{best(study).key}_{seed}",
            epochs=args.final_epochs,
            seed=seed,
            score=lambda model: {
                split: 100 * evaluate(model, data.splits[split])["miou"]
                for split in SPLITS.values()
            },
        )
        for seed in range(args.finals)
    ]
    scores: Row = {}
    for key, split in SPLITS.items():
        values = [final[split] for final in finals]
        scores[key] = round(statistics.mean(values), 2)
        scores[f"{key}_each"] = ", ".join(f"{value:.2f}" for value in values)
    return {"sampler": config.sampler, **figures_of(config, study), **scores}


def notes_of(config: SearchConfig, rows: Sequence[Row], args: argparse.Namespace) -> list[str]:
    """What the figures are and are not, and who won for which seed."""
    quality = config.quality
    words = dict(zip(SAMPLERS, ("by search", "at random"), strict=True))
    sizes = [f"autoseg_edgetpu_{size}" for size in ("xs", "s", "m")]
    costs = published_ms(config, sizes, f"fused_argmax_{config.image_size // 2}")
    return [
        f"A trial's quality: e to the minus loss, in percent, of {quality.test_images} scenes held out of the "
        f"training split after {quality.epochs} epoch on {quality.train_images:,} scenes, {config.image_size} px, "
        f"width {config.width:g}, recipe {quality.recipe}. So early hardly any pixel is right but the background's.",
        f"mIoU: mean of {args.finals} longer trainings of the winner with other seeds, {args.final_epochs} epochs on "
        f"{args.final_images:,} scenes, on the 2,000 scenes of the test split, which no trial sees: "
        + by_seed(rows, "sampler", "miou", words),
        "noise is the mean difference between two trainings of the same network with other seeds; the best "
        "of many noisy values is too high for both samplers.",
        f"Cost is that of the deployed network with a fused argmax on {config.target}; published networks at "
        f"this size and width: {costs}.",
    ]


def record(config: SearchConfig, rows: Sequence[Row], args: argparse.Namespace) -> None:
    """Writes what is known so far."""
    save(
        "search_segmentation",
        command="python benchmarks/search_segmentation.py",
        columns=[
            Column(key="sampler", heading="Sampler"),
            *COLUMNS,
            Column(key="mean", heading="Mean of all", format=".2f"),
            Column(key="miou", heading="Winner's mIoU, %", format=".2f"),
            Column(key="miou_each", heading="Each seed"),
            Column(key="miou_held_out", heading="Held out, %", format=".2f"),
        ],
        rows=rows,
        notes=notes_of(config, rows, args),
    )


if __name__ == "__main__":
    run_all(options(__doc__, DEFAULTS).parse_args(), SAMPLERS, config_of, row_of, record)

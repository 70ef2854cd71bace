"""A search in the segmentation space against random sampling at equal trials and budget, by mIoU on composed scenes.

python benchmarks/search_segmentation.py

Every trial is kept as it ends: the same command goes on where it was interrupted.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from record import Column, save

from hw_model import estimate
from model_zoo import create_spec
from pipelines.cli.frameworks import load_keras
from pipelines.data import load_dataset
from pipelines.search import (
    Budget,
    Candidate,
    QualityConfig,
    SearchConfig,
    Study,
    best,
    resume,
    run_search,
)
from pipelines.search.folder import StudyFolder
from pipelines.search.quality import Outcome, Quality
from pipelines.search.quality.training import TrainedQuality

SAMPLERS = ("screened_evolution", "random")
DATA = "composed_scenes"


class ToldQuality(TrainedQuality):
    """Short trainings, one line for each on standard output.

    A network that another study of the same seed trained is not trained again: its training would be the same.
    """

    def __init__(self, config: SearchConfig, others: Sequence[Study]) -> None:
        super().__init__(config, StudyFolder(config.folder).artifacts)
        self.title = Path(config.folder).name
        self.known = {trial.key: trial for study in others for trial in study.complete}

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        return [self._told(candidate, seed) for candidate in candidates]

    def _told(self, candidate: Candidate, seed: int) -> Outcome:
        known = self.known.get(candidate.key)
        if known is None:
            (outcome,) = super().evaluate([candidate], seed)
        else:
            outcome = Quality(
                value=known.quality or 0.0, seconds=known.seconds, detail=known.quality_detail
            )
        shown = f"mIoU {outcome.value:.4f}" if isinstance(outcome, Quality) else "failed"
        how = f"trained in {outcome.seconds:.0f} s" if known is None else "trained before"
        print(
            f"{time.strftime('%H:%M:%S')} {self.title}: {candidate.key} {shown}, "
            f"{candidate.cost.values[0]:.3f} ms, {how}",
            flush=True,
        )
        return outcome


def config_of(args: argparse.Namespace, sampler: str, seed: int) -> SearchConfig:
    """One study; noise is measured once for each seed, by training some of its trials again."""
    data = load_dataset(DATA, image_size=(args.image_size, args.image_size))
    again = args.repeats if sampler == SAMPLERS[0] else 0
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
            repeats=again,
        ),
    )


def study_of(config: SearchConfig, others: Sequence[Study]) -> Study:
    """The finished study: begun, or continued as far as it is not finished."""
    evaluator = ToldQuality(config, others)
    if not StudyFolder(config.folder).manifest_path.exists():
        return run_search(config, evaluator=evaluator)
    print(f"going on with {config.folder}", flush=True)
    return resume(config.folder, evaluator=evaluator, trials=config.trials)


def noise_of(study: Study) -> float | None:
    """Mean absolute difference, in points of mIoU, between two trainings of one network with other seeds."""
    path = study.folder.path / "repeats.json"
    if not path.exists():
        return None
    again = json.loads(path.read_text(encoding="utf-8"))
    pairs = [(t.quality, again[t.key]) for t in study.complete if t.key in again]
    differences = [abs((first or 0.0) - second) for first, second in pairs]
    return round(100 * float(np.mean(differences)), 2)


def row_of(config: SearchConfig, study: Study) -> dict[str, Any]:
    """What one study found."""
    winner = best(study)
    points = np.asarray([100 * (t.quality or 0.0) for t in study.complete])
    return {
        "sampler": config.sampler,
        "seed": config.seed,
        "trials": len(study.trials),
        "failed": len(study.trials) - len(study.complete),
        "budget_ms": config.budget.limit,
        "winner_ms": round(study.spent(winner, "latency_ms"), 4),
        "best_miou": round(100 * (winner.quality or 0.0), 2),
        "top5_miou": round(float(np.mean(np.sort(points)[-5:])), 2),
        "mean_miou": round(float(np.mean(points)), 2),
        "noise_miou": noise_of(study),
        "hours": round(sum(trial.seconds for trial in study.trials) / 3600, 2),
        "winner": winner.key,
    }


def published_ms(config: SearchConfig) -> dict[str, float]:
    """What the published networks cost at this size and width."""
    size = config.image_size
    return {
        name: round(
            estimate(
                create_spec(
                    name,
                    num_classes=config.num_classes,
                    input_shape=(size, size, 3),
                    width=config.width,
                    strides="fit",
                    output=f"fused_argmax_{size // 2}",
                ),
                target=config.target,
            ).latency_ms,
            3,
        )
        for name in ("autoseg_edgetpu_xs", "autoseg_edgetpu_s", "autoseg_edgetpu_m")
    }


def notes_of(config: SearchConfig, rows: Sequence[dict[str, Any]]) -> list[str]:
    """What the figures are and are not, and who won for which seed."""
    quality = config.quality
    found = {(row["sampler"], row["seed"]): row["best_miou"] for row in rows}
    seeds = sorted({seed for _, seed in found})
    pairs = [
        (seed, *(found[sampler, seed] for sampler in SAMPLERS))
        for seed in seeds
        if all((sampler, seed) in found for sampler in SAMPLERS)
    ]
    compared = [
        f"seed {seed}: {searched:.2f} by search, {drawn:.2f} at random ({searched - drawn:+.2f})"
        for seed, searched, drawn in pairs
    ]
    costs = ", ".join(f"{name} {ms} ms" for name, ms in published_ms(config).items())
    return [
        f"Quality: mIoU of {quality.test_images} scenes held out of the training split after {quality.epochs} "
        f"epoch on {quality.train_images:,} scenes, {config.image_size} px, width {config.width:g}, recipe "
        f"{quality.recipe}; one training each, in percent.",
        "Best mIoU at equal trials: " + ("; ".join(compared) or "not known yet"),
        "noise_miou is the mean difference between two trainings of the same network with other seeds; the best "
        "of many noisy values is too high for both samplers. Trials are far too short for good networks.",
        f"Cost is that of the deployed network with a fused argmax on {config.target}; published networks at "
        f"this size and width: {costs}.",
    ]


def record(config: SearchConfig, rows: Sequence[dict[str, Any]]) -> None:
    """Writes what is known so far."""
    save(
        "search_segmentation",
        command="python benchmarks/search_segmentation.py",
        columns=[
            Column(key="sampler", heading="Sampler"),
            Column(key="seed", heading="Seed"),
            Column(key="trials", heading="Trials"),
            Column(key="budget_ms", heading="Budget, ms", format=".2f"),
            Column(key="winner_ms", heading="Winner, ms", format=".3f"),
            Column(key="best_miou", heading="Best mIoU, %", format=".2f"),
            Column(key="top5_miou", heading="Mean of best five", format=".2f"),
            Column(key="mean_miou", heading="Mean of all", format=".2f"),
        ],
        rows=rows,
        notes=notes_of(config, rows),
    )


def main() -> None:
    """Studies of all seeds, one after the other; results are written after each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("studies/segmentation"))
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=2)
    # Small networks differ by their operations' overheads alone on Pixels, and by their work here. The published
    # XS meets this budget; one random point in seven does.
    parser.add_argument("--target", default="coral_devboard")
    parser.add_argument("--budget", default="0.22ms")
    # The smallest round size that keeps the published strides: 64 px lose the stem's and cost three times as much.
    parser.add_argument("--image-size", type=int, default=72)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--train-images", type=int, default=12_000)
    parser.add_argument("--test-images", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=6)
    args = parser.parse_args()
    load_keras()
    rows = []
    for seed in range(args.seeds):
        studies: list[Study] = []
        for sampler in SAMPLERS:
            config = config_of(args, sampler, seed)
            studies.append(study_of(config, studies))
            rows.append(row_of(config, studies[-1]))
            print(rows[-1], flush=True)
            record(config, rows)


if __name__ == "__main__":
    main()

"""What the benchmarks of searches share: studies that go on where they ended, winners trained longer, their figures."""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from record import Column

from hw_model import estimate
from hw_model.files import write_json
from model_zoo import create_spec
from pipelines.cli.frameworks import load_keras
from pipelines.data import ImageDataset, Split
from pipelines.search import Candidate, SearchConfig, Study, best, resume, run_search
from pipelines.search.folder import StudyFolder
from pipelines.search.quality import Outcome, Quality
from pipelines.search.quality.training import TrainedQuality
from pipelines.search.wiring import make_space

Row = dict[str, Any]
#: Columns of `figures_of` that every table begins with.
COLUMNS = (
    Column(key="seed", heading="Seed"),
    Column(key="trials", heading="Trials"),
    Column(key="budget_ms", heading="Budget, ms", format=".2f"),
    Column(key="winner_ms", heading="Winner, ms", format=".3f"),
    Column(key="best", heading="Best e^-loss, %", format=".2f"),
    Column(key="top5", heading="Mean of best five", format=".2f"),
)


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
        shown = f"e^-loss {outcome.value:.4f}" if isinstance(outcome, Quality) else "failed"
        how = f"trained in {outcome.seconds:.0f} s" if known is None else "trained before"
        print(
            f"{time.strftime('%H:%M:%S')} {self.title}: {candidate.key} {shown}, "
            f"{candidate.cost.values[0]:.3f} ms, {how}",
            flush=True,
        )
        return outcome


def options(doc: str, defaults: Mapping[str, Any]) -> argparse.ArgumentParser:
    """One option for each default, of its type."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for name, value in defaults.items():
        parser.add_argument(f"--{name}", type=type(value), default=value)
    return parser


def run_all(
    args: argparse.Namespace,
    settings: Sequence[str],
    config_of: Callable[[argparse.Namespace, str, int], SearchConfig],
    row_of: Callable[[SearchConfig, Study, argparse.Namespace], Row],
    record: Callable[[SearchConfig, Sequence[Row], argparse.Namespace], None],
) -> None:
    """Studies of all seeds and settings, one after the other; results are written after each."""
    load_keras()
    rows: list[Row] = []
    for seed in range(args.seeds):
        studies: list[Study] = []
        for setting in settings:
            config = config_of(args, setting, seed)
            studies.append(study_of(config, studies))
            rows.append(row_of(config, studies[-1], args))
            print(rows[-1], flush=True)
            record(config, rows, args)


def study_of(config: SearchConfig, others: Sequence[Study]) -> Study:
    """The finished study: begun, or continued as far as it is not finished."""
    evaluator = ToldQuality(config, others)
    if not StudyFolder(config.folder).manifest_path.exists():
        return run_search(config, evaluator=evaluator)
    print(f"going on with {config.folder}", flush=True)
    return resume(config.folder, evaluator=evaluator, trials=config.trials)


def final_of(
    study: Study,
    data: ImageDataset,
    train_split: Split,
    *,
    kept: str,
    epochs: int,
    seed: int,
    score: Callable[[Any], Row],
) -> Row:
    """What `score` says of a winner after a longer training on `train_split`; kept beside the study as `kept`."""
    import keras

    from model_zoo import create_model
    from pipelines.train import load_recipe, train

    path = study.folder.path.parent / f"{kept}.json"
    if not path.exists():
        config = study.manifest.config
        spec = make_space(config)[0].bind(best(study).genotype)
        keras.utils.set_random_seed(seed)
        model = create_model(spec, output="logits" if spec.task == "segmentation" else None)
        train(
            model,
            replace(data, splits={**data.splits, "train": train_split}),
            load_recipe(config.quality.recipe).with_epochs(epochs),
            run_dir=path.parent / kept,
            resume=True,
            seed=seed,
            verbose=2,
        )
        write_json(path, score(model))
    found: Row = json.loads(path.read_text(encoding="utf-8"))
    return found


def figures_of(config: SearchConfig, study: Study) -> Row:
    """What one study found, but for its winner's longer training."""
    winner = best(study)
    points = np.asarray([100 * (t.quality or 0.0) for t in study.complete])
    return {
        "seed": config.seed,
        "trials": len(study.trials),
        "failed": len(study.trials) - len(study.complete),
        "budget_ms": config.budget.limit,
        "winner_ms": round(study.spent(winner, "latency_ms"), 4),
        "best": round(100 * (winner.quality or 0.0), 2),
        "top5": round(float(np.mean(np.sort(points)[-5:])), 2),
        "mean": round(float(np.mean(points)), 2),
        "noise": noise_of(study),
        "hours": round(sum(trial.seconds for trial in study.trials) / 3600, 2),
        "winner": winner.key,
    }


def noise_of(study: Study) -> float | None:
    """Mean absolute difference, in points, between two trainings of one network with other seeds."""
    path = study.folder.path / "repeats.json"
    if not path.exists():
        return None
    again = json.loads(path.read_text(encoding="utf-8"))
    pairs = [(t.quality, again[t.key]) for t in study.complete if t.key in again]
    differences = [abs((first or 0.0) - second) for first, second in pairs]
    return round(100 * float(np.mean(differences)), 2)


def published_ms(config: SearchConfig, names: Sequence[str], output: str | None = None) -> str:
    """What published networks cost at the size and width of a study."""
    size = (config.image_size, config.image_size, config.channels)
    costs = []
    for name in names:
        spec = create_spec(
            name,
            num_classes=config.num_classes,
            input_shape=size,
            width=config.width,
            strides="fit",
            output=output,
        )
        costs.append(f"{name} {round(estimate(spec, target=config.target).latency_ms, 3)} ms")
    return ", ".join(costs)


def by_seed(rows: Sequence[Row], setting: str, figure: str, words: Mapping[str, str]) -> str:
    """One figure of the two settings that `words` names, seed by seed, with their difference."""
    found = {(row[setting], row["seed"]): row[figure] for row in rows}
    (first, in_first), (second, in_second) = words.items()
    said = []
    for seed in sorted({seed for _, seed in found}):
        if (first, seed) in found and (second, seed) in found:
            a, b = found[first, seed], found[second, seed]
            said.append(f"seed {seed}: {a:.2f} {in_first}, {b:.2f} {in_second} ({a - b:+.2f})")
    return "; ".join(said) or "not known yet"

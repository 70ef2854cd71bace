"""Quality by a short training on real data: the task's headline metric on what is held out of the training split."""

import json
import math
import shutil
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hw_model.errors import DataError, EnvironmentFault, UnknownNameError, UsageError
from hw_model.files import write_json
from pipelines.search.config import SearchConfig
from pipelines.search.problem import Candidate, Genotype
from pipelines.search.quality.base import Outcome, Quality, QualityStatement
from pipelines.search.quality.files import check_unchanged
from pipelines.search.quality.texts import part_questions, reading_of
from pipelines.search.ranking import rank_correlation
from pipelines.search.trial import Trial, trial_seed

if TYPE_CHECKING:
    from pipelines.data import ImageDataset, Split
    from pipelines.data.text import TextDataset
    from pipelines.distill import Teacher
    from pipelines.train import Recipe

WEIGHTS_FILE = "model.weights.h5"
#: e to the power of minus the loss: it tells networks apart that have not begun to get things right.
EXP_LOSS = "exp_loss"
_HELD_OUT_SHARE = 0.2
_REPEATS_FILE = "repeats.json"
#: Images of masks and boxes are composed or decoded each time they are read, unless they are no more than this.
_KEPT_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Loaded:
    """What every training of a study shares; `reading` turns texts into inputs."""

    dataset: "ImageDataset | TextDataset"
    recipe: "Recipe"
    space: Any
    reading: Any = None
    teacher: "Teacher | None" = None


class TrainedQuality:
    """Trains every candidate by one recipe. The test split is never looked at, so that what a search
    picks can still be judged by it. A training cut off by a kill goes on at its last epoch."""

    kind = "train"
    batch_limit = 1

    def __init__(self, config: SearchConfig, artifacts: Path) -> None:
        self._config = config
        self._artifacts = artifacts
        quality = config.quality
        taught = f", taught by {Path(quality.teacher).name}" if quality.teacher else ""
        self.name = f"recipe {Path(quality.recipe).stem} on {quality.data}{taught}"
        self._loaded: _Loaded | None = None

    def __getstate__(self) -> dict[str, Any]:
        """A worker process loads the data itself."""
        return {**self.__dict__, "_loaded": None}

    def evaluate(self, candidates: Sequence[Candidate], seed: int) -> list[Outcome]:
        """Trains one after the other."""
        return [self._train(c.genotype, c.key, trial_seed(seed, c.key)) for c in candidates]

    def statement(self, trials: Sequence[Trial]) -> QualityStatement:
        """Trains some trials again with another seed and compares the rankings; those trained again in an
        earlier run of the study are not trained a third time."""
        complete = {t.key: t for t in trials if t.quality_kind == "train" and t.complete}
        again = {key: value for key, value in self._repeated().items() if key in complete}
        wanted = self._config.quality.repeats
        for trial in _spread(complete.values(), wanted) if len(again) < wanted else ():
            value = again.get(trial.key) or self._repeat(trial)
            if value is not None:
                again[trial.key] = value
        pairs = [(complete[key].quality or 0.0, value) for key, value in again.items()]
        correlation = rank_correlation(
            [first for first, _ in pairs],
            [second for _, second in pairs],
            against="the same recipe with another seed",
        )
        return QualityStatement(
            kind=self.kind,
            name=self.name,
            measured_on=f"{len(pairs)} trials trained again" if pairs else "nothing",
            correlation=correlation,
        )

    def _repeated(self) -> dict[str, float]:
        path = self._artifacts.parent / _REPEATS_FILE
        known: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
        return known

    def _repeat(self, trial: Trial) -> float | None:
        """Quality with another seed; None where that training failed, which is no reason to end a study."""
        key = f"{trial.key}-again"
        try:
            value = self._train(trial.genotype, key, trial.seed + 1).value
        except (DataError, EnvironmentFault, UsageError):
            raise
        except Exception:
            return None
        finally:
            shutil.rmtree(self._artifacts / key, ignore_errors=True)
        write_json(self._artifacts.parent / _REPEATS_FILE, {**self._repeated(), trial.key: value})
        return value

    def _train(self, genotype: Genotype, key: str, seed: int) -> Quality:
        import keras

        from model_zoo import create_model
        from pipelines.tasks import TASKS
        from pipelines.train import train

        started = time.perf_counter()
        loaded = self._load()
        dataset = loaded.dataset
        keras.utils.set_random_seed(seed)
        spec = loaded.space.bind(genotype)
        model = create_model(spec, output="logits" if spec.task == "segmentation" else None)
        folder = self._artifacts / key
        result = train(
            model,
            dataset,
            loaded.recipe,
            run_dir=folder / "run",
            preprocessing=loaded.reading or model.preprocessing,
            teacher=loaded.teacher,
            resume=True,
            seed=seed,
            verbose=0,
        )
        Path(result.weights).replace(folder / WEIGHTS_FILE)
        shutil.rmtree(folder / "run", ignore_errors=True)
        keras.backend.clear_session(free_memory=True)
        metric = self._config.quality.metric or TASKS[dataset.task].HEADLINE
        metrics = {**result.metrics, EXP_LOSS: math.exp(-result.metrics["loss"])}
        return Quality(
            value=metrics[metric],
            seconds=time.perf_counter() - started,
            detail={
                "metric": metric,
                "epochs": result.epochs,
                "loss": result.metrics["loss"],
                "recipe_id": result.recipe_id,
                "images": len(dataset.test),
            },
        )

    def _load(self) -> _Loaded:
        if self._loaded is None:
            from pipelines.distill.teachers import read_teacher
            from pipelines.search.spaces import space_entry
            from pipelines.search.wiring import make_space
            from pipelines.train import load_recipe

            config, quality = self._config, self._config.quality
            check_unchanged(quality)
            recipe = load_recipe(quality.recipe)
            if quality.epochs:
                recipe = recipe.with_epochs(quality.epochs)
            reads_text = space_entry(config.space).reads_text
            self._loaded = _Loaded(
                reading=reading_of(config) if reads_text else None,
                dataset=search_data(config),
                recipe=recipe,
                space=make_space(config)[0],
                teacher=read_teacher(quality.teacher) if quality.teacher else None,
            )
        return self._loaded


def search_data(config: SearchConfig) -> "ImageDataset | TextDataset":
    """The training split of the config's data, parted into `train` and, as `test`, what is held out.

    Raises:
        UsageError: the space is for another task or number of classes.
    """
    from pipelines.data import load_dataset, subset
    from pipelines.search.spaces import space_entry

    entry = space_entry(config.space)
    if entry.reads_text:
        return _search_questions(config)
    whole = load_dataset(config.quality.data, image_size=(config.image_size,) * 2)
    _check_metric(config.quality.metric, whole.task)
    entry.check_data(whole.name, whole.task)
    if whole.num_classes != config.num_classes:
        raise UsageError(
            f"Data set {whole.name} has {whole.num_classes} classes; set num_classes to that. "
            f"Received: {config.num_classes}"
        )
    train, held_out = part(whole.train, config.quality.test_images)
    limit = config.quality.train_images
    splits = {"train": subset(train, limit) if limit else train, "test": held_out}
    return replace(whole, splits={name: _kept(split) for name, split in splits.items()})


def _search_questions(config: SearchConfig) -> "TextDataset":
    from pipelines.data import subset
    from pipelines.data.text import QuestionSplit, question_dataset

    whole, quality = question_dataset(config.quality.data), config.quality
    _check_metric(quality.metric, whole.task)
    assert isinstance(whole.train, QuestionSplit)
    count = quality.test_images or max(1, round(len(whole.train) * _HELD_OUT_SHARE))
    train, held_out = part_questions(whole.train, count)
    limit = quality.train_images
    splits = {"train": subset(train, limit) if limit else train, "test": held_out}
    return replace(whole, splits=splits)


def _check_metric(name: str, task: str) -> None:
    from pipelines.tasks import TASKS

    known = [EXP_LOSS, *(key for key in TASKS[task].METRICS if key != "loss")]
    if name and name not in known:
        raise UnknownNameError("metric", name, known)


def _kept(split: "Split") -> "Split":
    """The split with its images in memory where they are few: every trial of a study reads them many times."""
    from pipelines.data import BoxArraySplit, BoxSplit, MaskArraySplit, MaskSplit

    height, width, channels = split.image_shape
    if len(split) * height * width * (channels + 1) > _KEPT_BYTES:
        return split
    if isinstance(split, MaskSplit):
        return MaskArraySplit(*split.read_pairs(range(len(split))))
    if isinstance(split, BoxSplit):
        return BoxArraySplit(*split.read_boxed(range(len(split))))
    return split


def part(split: "Split", held_out: int) -> "tuple[Split, Split]":
    """All but some images of a split, and those: `held_out`, or a fifth where that is 0; the same share
    of each class, always the same images."""
    from pipelines.data import LabelSplit

    count = held_out or max(1, round(len(split) * _HELD_OUT_SHARE))
    if count >= len(split):
        raise UsageError(f"Cannot hold out {count} of {len(split)} training images; take fewer")
    order = np.random.default_rng([1, len(split)]).permutation(len(split))
    if isinstance(split, LabelSplit):
        # Every image's rank within its class, as a share of the class: the lowest of all classes are held out.
        labels = split.labels[order]
        share = np.empty(len(order))
        for label in np.unique(labels):
            (members,) = np.nonzero(labels == label)
            share[members] = (np.arange(len(members)) + 0.5) / len(members)
        order = order[np.argsort(share, kind="stable")]
    return split.part(np.sort(order[count:])), split.part(np.sort(order[:count]))


def _spread(trials: Iterable[Trial], count: int) -> list[Trial]:
    """`count` trials from worst to best, evenly by rank."""
    ordered = sorted(trials, key=lambda t: (t.quality or 0.0, t.key))
    if len(ordered) <= count:
        return ordered
    places = np.linspace(0, len(ordered) - 1, count).round().astype(int)
    return [ordered[place] for place in places.tolist()] if count else []

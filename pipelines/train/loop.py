"""Trains a Keras model by a recipe, with a checkpoint every epoch and exact continuation."""

import dataclasses
import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import EdgeZooError, UsageError
from hw_model.files import atomic_path, write_json, write_text
from pipelines.data.batches import Batches, Preprocess, as_keras, plain_errors
from pipelines.data.dataset import ImageDataset, subset
from pipelines.tasks import (
    Task,
    evaluate,
    input_shape_of,
    is_probabilities,
    preprocessing_of,
    task_of,
)
from pipelines.train import batch_norm, checkpoint
from pipelines.train.freeze import apply_stage
from pipelines.train.logits import linear_output
from pipelines.train.optimizer import exclude_from_decay, keras_schedule, make_optimizer
from pipelines.train.recipe import Recipe, Stage, load_recipe, recipe_id

FINAL_WEIGHTS = "final.weights.h5"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """What a finished run reached; `metrics` are those of the final (averaged) weights on the test split."""

    recipe: str
    recipe_id: str
    dataset: str
    seed: int
    metrics: dict[str, float]
    history: tuple[dict[str, float], ...]
    epochs: int
    wall_seconds: float
    images_per_second: float
    run_dir: str
    weights: str


@dataclass(kw_only=True, slots=True)
class _Run:
    """One call of `train`, and how far it is."""

    model: Any
    dataset: ImageDataset
    recipe: Recipe
    preprocessing: Preprocess
    run_dir: Path
    seed: int
    verbose: int
    history: list[dict[str, float]] = field(default_factory=list)
    earlier_seconds: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def task(self) -> Task:
        return task_of(self.dataset.train)

    @property
    def checkpoint(self) -> Path:
        return self.run_dir / checkpoint.FILE_NAME

    @property
    def seconds(self) -> float:
        return self.earlier_seconds + time.monotonic() - self.started

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the run that continues it."""
        return {
            "recipe_id": recipe_id(self.recipe),
            "seed": self.seed,
            "dataset": self.dataset.name,
        }


def train(
    model: Any,
    dataset: ImageDataset,
    recipe: Recipe | str | Path,
    *,
    run_dir: str | Path,
    preprocessing: Preprocess | None = None,
    resume: bool = False,
    seed: int = 0,
    verbose: int | None = None,
) -> TrainResult:
    """Trains `model` in place and leaves the averaged weights in it and in `run_dir`.

    `preprocessing` turns uint8 (N, H, W, C) into the float32 the model takes; it defaults to the
    model's own. With `resume` the run in `run_dir` continues after its last whole epoch, to the
    weights an uninterrupted run gives.

    Raises:
        UsageError: model and data do not fit, or `run_dir` holds another run.
        EdgeZooError: the loss is no longer finite.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if verbose is None:
        verbose = 1 if sys.stdout.isatty() else 2
    run = _Run(
        model=model,
        dataset=dataset,
        recipe=recipe,
        preprocessing=preprocessing_of(model, preprocessing),
        run_dir=Path(run_dir),
        seed=seed,
        verbose=verbose,
    )
    with linear_output(model):
        from_logits = _check_fit(run)
        start = _find_start(run, resume=resume)
        _seed_model(model, seed)
        with l2_regularised(model, recipe.optimizer.l2):
            _run_stages(run, start, from_logits)
    return _finish(run)


def _run_stages(run: _Run, start: int | None, from_logits: bool) -> None:
    first_epoch = 0
    for stage in run.recipe.plan:
        last_epoch = first_epoch + stage.epochs
        # A run stopped between two stages still has to leave the first: its averages become the
        # next stage's starting weights.
        if start is None or start <= last_epoch:
            _run_stage(run, stage, first_epoch, start, from_logits)
        first_epoch = last_epoch


def _check_fit(run: _Run) -> bool:
    """Whether the model's outputs are logits; refuses a model that does not fit the data."""
    import keras
    from keras import ops

    run.task.check_fit(run.model, run.dataset)
    batches = _batches(run, training=False, batch_size=2)
    outputs = keras.tree.flatten(run.model(batches[0][0], training=False))
    scores = [np.asarray(ops.convert_to_numpy(output)) for output in outputs]
    if not all(np.isfinite(each).all() for each in scores):
        raise EdgeZooError(
            "The model's outputs are not finite before training starts; check its weights and "
            "preprocessing."
        )
    return len(scores) > 1 or not is_probabilities(scores[0])


def _batches(run: _Run, *, training: bool, batch_size: int, stage: Stage | None = None) -> Batches:
    return run.task.batches(
        run.dataset.train,
        model=run.model,
        batch_size=batch_size,
        num_classes=run.dataset.num_classes,
        preprocessing=run.preprocessing,
        input_shape=input_shape_of(run.model, run.dataset.train),
        augmentation=(stage and stage.augmentation) or run.recipe.augmentation,
        training=training,
        seed=run.seed,
    )


def _first_batches(run: _Run, stage: Stage) -> Batches:
    """Training batches that do not move with the epochs."""
    return _batches(run, training=True, batch_size=run.recipe.batch_size, stage=stage)


def _find_start(run: _Run, *, resume: bool) -> int | None:
    """How many epochs are done, or None for a fresh start."""
    if not run.checkpoint.exists():
        return None
    if not resume:
        raise UsageError(
            f"{run.run_dir} already holds a training run. Continue it with resume=True (--resume) "
            "or choose another folder."
        )
    meta = checkpoint.read_meta(run.checkpoint)
    for name, wanted in run.identity().items():
        if meta[name] != wanted:
            raise UsageError(
                f"The run in {run.run_dir} has {name} {meta[name]!r}, this one {wanted!r}; use the "
                "same settings to resume, or another folder."
            )
    run.history = meta["history"]
    run.earlier_seconds = meta["seconds"]
    return int(meta["epoch"])


def _seed_model(model: Any, seed: int) -> None:
    """Gives dropout layers a state that depends on nothing but `seed` and their order."""
    for index, variable in enumerate(checkpoint.seed_state(model)):
        variable.assign(np.array([seed, index]).astype(variable.dtype))


@contextmanager
def l2_regularised(model: Any, strength: float) -> Iterator[None]:
    """Adds strength * sum(w^2) to the loss for all but normalisation parameters, inside the block."""
    import keras

    if strength == 0:
        yield
        return
    variables = [v for v in model.trainable_variables if v.name not in ("gamma", "beta")]
    before = [variable.regularizer for variable in variables]
    for variable in variables:
        variable.regularizer = keras.regularizers.L2(strength)
    try:
        yield
    finally:
        for variable, regularizer in zip(variables, before, strict=True):
            variable.regularizer = regularizer


def _run_stage(
    run: _Run, stage: Stage, first_epoch: int, start: int | None, from_logits: bool
) -> None:
    """Trains one stage from `start` (epochs done over the whole run) or from its beginning."""

    batches = _first_batches(run, stage)
    settings = run.recipe.optimizer
    with apply_stage(run.model, stage):
        schedule = keras_schedule(
            peak=stage.learning_rate or settings.learning_rate,
            schedule=run.recipe.schedule,
            steps_per_epoch=len(batches),
            total_steps=len(batches) * stage.epochs,
        )
        optimizer = make_optimizer(settings, schedule, run.recipe.average)
        exclude_from_decay(optimizer, run.model.trainable_variables)
        run.model.compile(
            optimizer=optimizer,
            loss=run.task.loss(from_logits=from_logits, label_smoothing=run.recipe.label_smoothing),
            metrics=run.task.training_metrics(),
            jit_compile=_jit_compile(),
        )
        optimizer.build(run.model.trainable_variables)
        done = first_epoch
        if start is not None and start > first_epoch:
            checkpoint.restore(run.checkpoint, run.model, optimizer)
            done = start
        last_epoch = first_epoch + stage.epochs
        if done < last_epoch:
            # Keras puts the averaged weights into the model when fit ends.
            with plain_errors(batches):
                run.model.fit(
                    as_keras(batches),
                    initial_epoch=done,
                    epochs=last_epoch,
                    callbacks=_callbacks(run, stage, batches),
                    # `batches` shuffles by itself; Keras' own shuffle draws from a global generator
                    # that no checkpoint holds.
                    shuffle=False,
                    verbose=run.verbose,
                )
        else:
            optimizer.finalize_variable_values(run.model.trainable_variables)
        if not batch_norm.is_settled(run.model, _steps(optimizer)):
            batch_norm.recalibrate(run.model, _first_batches(run, stage))


def _callbacks(run: _Run, stage: Stage, batches: Batches) -> list[Any]:
    import keras

    test = subset(run.dataset.test, run.recipe.eval_images or len(run.dataset.test))

    class EndOfEpoch(keras.callbacks.Callback):
        """Selects the epoch's batches; evaluates, records and saves at its end."""

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            batches.epoch = epoch
            if keras.backend.backend() == "torch":
                # There, dropout draws from a global generator, which no variable holds.
                keras.utils.set_random_seed(_epoch_seed(run.seed, epoch))

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if not math.isfinite(logs["loss"]):
                raise EdgeZooError(
                    f"The loss became {logs['loss']} in epoch {epoch + 1}; lower "
                    "optimizer.learning_rate or set optimizer.clip_norm in the recipe."
                )
            with averaged_weights(self.model), settled_statistics(self.model, run, stage):
                metrics = evaluate(self.model, test, run.preprocessing)
            logs |= {f"val_{name}": value for name, value in metrics.items()}
            row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
            run.history.append(row)
            meta = {
                **run.identity(),
                "epoch": epoch + 1,
                "history": run.history,
                "seconds": run.seconds,
            }
            checkpoint.save(run.checkpoint, self.model, self.model.optimizer, meta)
            _write_csv(run.run_dir / "history.csv", run.history)

    callbacks: list[Any] = [EndOfEpoch()]
    if keras.backend.backend() == "tensorflow":
        log_dir = str(run.run_dir / "tensorboard")
        callbacks.append(keras.callbacks.TensorBoard(log_dir, write_graph=False))
    return callbacks


@contextmanager
def averaged_weights(model: Any) -> Iterator[None]:
    """Inside the block the model holds the optimizer's averages, if it keeps any."""
    from keras import ops

    optimizer = model.optimizer
    if not optimizer.use_ema:
        yield
        return
    variables = model.trainable_variables
    raw = [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]
    optimizer.finalize_variable_values(variables)
    for variable in variables:
        # Under JAX the weight and its average now share one buffer, which a compiled call would free.
        variable.assign(np.array(ops.convert_to_numpy(variable.value)))
    try:
        yield
    finally:
        for variable, value in zip(variables, raw, strict=True):
            variable.assign(value)


@contextmanager
def settled_statistics(model: Any, run: _Run, stage: Stage) -> Iterator[None]:
    """Inside the block batch norms hold statistics fit for evaluation, early in a run too."""
    if batch_norm.is_settled(model, _steps(model.optimizer)):
        yield
    else:
        with batch_norm.recalibrated(model, _first_batches(run, stage)):
            yield


def _epoch_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _jit_compile() -> bool | str:
    """XLA slows training down 2-5 times on a CPU under TensorFlow; JAX has nothing else."""
    import keras

    return "auto" if keras.backend.backend() == "jax" else False


def _steps(optimizer: Any) -> int:
    from keras import ops

    return int(ops.convert_to_numpy(optimizer.iterations))


def _write_csv(path: Path, history: list[dict[str, float]]) -> None:
    columns = list(history[-1])
    lines = [",".join(columns)]
    lines += [",".join(f"{row.get(name, math.nan):.6g}" for name in columns) for row in history]
    write_text(path, "\n".join(lines) + "\n")


def _finish(run: _Run) -> TrainResult:
    """Evaluates and writes the final weights."""
    # Weights alone are kept: Keras would save the optimizer of a compiled model with them.
    run.model.compile(jit_compile=_jit_compile())
    metrics = evaluate(run.model, run.dataset.test, run.preprocessing)
    if hasattr(run.model, "weights_origin"):
        # Export refuses a zoo model whose weights nobody trained or loaded.
        run.model.weights_origin = f"trained on {run.dataset.name} by {run.recipe.name}"
    weights = run.run_dir / FINAL_WEIGHTS
    with atomic_path(weights) as temporary:
        run.model.save_weights(temporary)
    epochs = len(run.history)
    per_epoch = len(_batches(run, training=True, batch_size=run.recipe.batch_size))
    images = epochs * per_epoch * min(run.recipe.batch_size, len(run.dataset.train))
    result = TrainResult(
        recipe=run.recipe.name,
        recipe_id=recipe_id(run.recipe),
        dataset=run.dataset.name,
        seed=run.seed,
        metrics=metrics,
        history=tuple(run.history),
        epochs=epochs,
        wall_seconds=run.seconds,
        images_per_second=images / run.seconds,
        run_dir=str(run.run_dir),
        weights=str(weights),
    )
    write_json(run.run_dir / "result.json", dataclasses.asdict(result))
    return result

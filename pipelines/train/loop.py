"""Trains a Keras model by a recipe, with a checkpoint every epoch and exact continuation."""

import dataclasses
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hw_model.errors import EdgeZooError, UsageError
from hw_model.files import atomic_path, write_json, write_text
from pipelines.data.batches import Batches, as_keras, plain_errors
from pipelines.data.dataset import ImageDataset, subset
from pipelines.data.text.splits import TextDataset
from pipelines.distill.lessons import (
    Lesson,
    Scene,
    check_softens,
    layer_lesson,
    task_lesson,
    taught_lesson,
)
from pipelines.distill.start import start_like
from pipelines.distill.teachers import Teacher, teacher_of, viewer
from pipelines.tasks import evaluate, input_shape_of, is_probabilities, task_of
from pipelines.train import batch_norm, checkpoint
from pipelines.train.freeze import apply_stage
from pipelines.train.logits import linear_output
from pipelines.train.optimizer import exclude_from_decay, keras_schedule, make_optimizer
from pipelines.train.recipe import Recipe, Stage, load_recipe, recipe_id
from pipelines.train.run import Phase, Run
from pipelines.train.weights import averaged_weights, l2_regularised

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


def train(
    model: Any,
    dataset: ImageDataset | TextDataset,
    recipe: Recipe | str | Path,
    *,
    run_dir: str | Path,
    preprocessing: Any = None,
    teacher: Any = None,
    resume: bool = False,
    seed: int = 0,
    verbose: int | None = None,
) -> TrainResult:
    """Trains `model` in place and leaves the averaged weights in it and in `run_dir`.

    `preprocessing` turns uint8 (N, H, W, C) into the float32 the model takes; it defaults to the
    model's own. A network that reads questions is given its `QuestionPreprocessor`. `teacher` is anything
    `teacher_of` takes; the recipe says how to learn from it. With `resume` the run in `run_dir` continues
    after its last whole epoch, to the weights an uninterrupted run gives.

    Raises:
        UsageError: model and data do not fit, or `run_dir` holds another run.
        EdgeZooError: the loss is no longer finite.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    if verbose is None:
        verbose = 1 if sys.stdout.isatty() else 2
    task = task_of(dataset.train)
    task.check_fit(model, dataset)
    run = Run(
        model=model,
        dataset=dataset,
        recipe=recipe,
        preprocessing=task.preprocessing_of(model, preprocessing),
        run_dir=Path(run_dir),
        seed=seed,
        verbose=verbose,
        teacher=_teacher(model, teacher, recipe),
    )
    with linear_output(model):
        run.from_logits = _check_outputs(run)
        start = _find_start(run, resume=resume)
        _seed_model(model, seed)
        if start is None and run.teacher is not None:
            start_like(run.teacher, model, run.distillation)
        with l2_regularised(model, recipe.optimizer.l2):
            _run_stages(run, start)
    return _finish(run)


def _teacher(model: Any, source: Any, recipe: Recipe) -> Teacher | None:
    """The teacher the recipe needs, or the one that was given."""
    if source is not None:
        if source is model:
            raise UsageError("A model cannot be its own teacher; load it a second time")
        return teacher_of(source)
    if recipe.distillation is not None or any(s.learn != "task" for s in recipe.plan):
        raise UsageError(
            f"Recipe {recipe.name or 'given'} learns from a teacher; pass teacher= (--teacher)"
        )
    return None


def _run_stages(run: Run, start: int | None) -> None:
    for phase in run.plan:
        # A run stopped between two stages still has to leave the first: its averages become the
        # next stage's starting weights.
        if start is None or start <= phase.last_epoch:
            _run_phase(run, phase, start)


def _check_outputs(run: Run) -> bool:
    """Whether the model's outputs are logits; refuses a model that answers with NaN, and a useless teacher."""
    import keras
    from keras import ops

    if run.teacher is not None:
        check_softens(run.task, run.model)
    outputs = keras.tree.flatten(run.model(_probe(run)[0], training=False))
    scores = [np.asarray(ops.convert_to_numpy(output)) for output in outputs]
    if not all(np.isfinite(each).all() for each in scores):
        raise EdgeZooError(
            "The model's outputs are not finite before training starts; check its weights and "
            "preprocessing."
        )
    return len(scores) > 1 or not is_probabilities(scores[0])


def _batches(run: Run, *, training: bool, batch_size: int, stage: Stage | None = None) -> Batches:
    return run.task.batches(
        run.dataset.train,
        model=run.model,
        batch_size=batch_size,
        num_classes=run.dataset.num_classes,
        preprocessing=run.preprocessing,
        augmentation=(stage and stage.augmentation) or run.recipe.augmentation,
        training=training,
        seed=run.seed,
        steps=run.recipe.steps_per_epoch,
    )


def _probe(run: Run) -> tuple[Any, Any]:
    """Inputs and targets of two examples."""
    inputs, targets = _batches(run, training=False, batch_size=2)[0]
    return inputs, targets


def _build_losses(lesson: Lesson, probe: tuple[Any, Any]) -> None:
    """Makes the variables of losses and metrics: those made while a step is traced have it traced twice."""
    inputs, targets = lesson.teach(*probe) if lesson.teach else probe
    outputs = lesson.model(inputs, training=False)
    lesson.model.compute_loss(x=inputs, y=targets, y_pred=outputs)
    lesson.model.compute_metrics(inputs, targets, outputs)
    lesson.model.reset_metrics()


def _lesson(run: Run, phase: Phase) -> Lesson:
    """What the phase fits; the stage's layers are trainable already."""
    scene = Scene(
        model=run.model,
        task=run.task,
        from_logits=run.from_logits,
        label_smoothing=run.recipe.label_smoothing,
        probe=_probe(run),
    )
    if run.teacher is None:
        return task_lesson(scene)
    if phase.blocks:
        return layer_lesson(scene, run.teacher, run.distillation, phase.blocks, seed=run.seed)
    if isinstance(run.dataset, ImageDataset):
        shape = input_shape_of(run.model, run.dataset.train)
        see = viewer(run.teacher, run.preprocessing, shape)
        scene = dataclasses.replace(scene, see=see)
    return taught_lesson(scene, run.teacher, run.distillation, lasting=_lasting(run, phase))


def _lasting(run: Run, phase: Phase) -> Batches | None:
    """All inputs, where this phase shows each of them about twice and they never change."""
    every = _batches(run, training=False, batch_size=run.recipe.batch_size)
    shown = phase.stage.epochs * len(_first_batches(run, phase.stage))
    return every if every.LASTING and shown >= 2 * len(every) else None


def _first_batches(run: Run, stage: Stage) -> Batches:
    """Training batches that do not move with the epochs."""
    return _batches(run, training=True, batch_size=run.recipe.batch_size, stage=stage)


def _find_start(run: Run, *, resume: bool) -> int | None:
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
        if meta.get(name) != wanted:
            raise UsageError(
                f"The run in {run.run_dir} has {name} {meta.get(name)!r}, this one {wanted!r}; use the "
                "same settings to resume, or another folder."
            )
    run.history = meta["history"]
    run.earlier_seconds = meta["seconds"]
    return int(meta["epoch"])


def _seed_model(model: Any, seed: int) -> None:
    """Gives dropout layers a state that depends on nothing but `seed` and their order."""
    for index, variable in enumerate(checkpoint.seed_state(model)):
        variable.assign(np.array([seed, index]).astype(variable.dtype))


def _run_phase(run: Run, phase: Phase, start: int | None) -> None:
    """Trains one phase from `start` (epochs done over the whole run) or from its beginning."""
    stage = phase.stage
    batches = _first_batches(run, stage)
    settings = run.recipe.optimizer
    with apply_stage(run.model, stage):
        lesson = _lesson(run, phase)
        batches.teach = lesson.teach
        model = lesson.model
        schedule = keras_schedule(
            peak=stage.learning_rate or settings.learning_rate,
            schedule=run.recipe.schedule_of(stage),
            steps_per_epoch=len(batches),
            total_steps=len(batches) * stage.epochs,
        )
        optimizer = make_optimizer(settings, schedule, run.recipe.average)
        exclude_from_decay(optimizer, model.trainable_variables)
        if model is not run.model:
            run.model.compile(jit_compile=_jit_compile())
        model.compile(
            optimizer=optimizer,
            loss=lesson.loss,
            metrics=lesson.metrics,
            jit_compile=_jit_compile(),
        )
        optimizer.build(model.trainable_variables)
        _build_losses(lesson, _probe(run))
        norms = batch_norm.Recalibration(run.model)
        done = phase.first_epoch
        if start is not None and start > phase.first_epoch:
            checkpoint.restore(run.checkpoint, run.model, optimizer, model)
            done = start
        if done < phase.last_epoch:
            # Keras puts the averaged weights into the model when fit ends.
            with plain_errors(batches):
                model.fit(
                    as_keras(batches),
                    initial_epoch=done,
                    epochs=phase.last_epoch,
                    callbacks=_callbacks(run, stage, batches, norms if lesson.judged else None),
                    # `batches` shuffles by itself; Keras' own shuffle draws from a global generator
                    # that no checkpoint holds.
                    shuffle=False,
                    verbose=run.verbose,
                )
        else:
            optimizer.finalize_variable_values(model.trainable_variables)
        if not batch_norm.is_settled(run.model, _steps(optimizer)):
            norms.measure(_first_batches(run, stage))


def _callbacks(
    run: Run, stage: Stage, batches: Batches, norms: batch_norm.Recalibration | None
) -> list[Any]:
    """`norms` are those of the student, None where it is not worth an evaluation."""
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
            if norms is not None:
                with (
                    averaged_weights(self.model),
                    settled_statistics(norms, run, stage, self.model),
                ):
                    metrics = evaluate(run.model, test, run.preprocessing)
                logs |= {f"val_{name}": value for name, value in metrics.items()}
            row = {"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}}
            run.history.append(row)
            meta = {
                **run.identity(),
                "epoch": epoch + 1,
                "history": run.history,
                "seconds": run.seconds,
            }
            checkpoint.save(run.checkpoint, run.model, self.model.optimizer, meta, self.model)
            _write_csv(run.run_dir / "history.csv", run.history)

    callbacks: list[Any] = [EndOfEpoch()]
    if keras.backend.backend() == "tensorflow":
        log_dir = str(run.run_dir / "tensorboard")
        callbacks.append(keras.callbacks.TensorBoard(log_dir, write_graph=False))
    return callbacks


@contextmanager
def settled_statistics(
    norms: batch_norm.Recalibration, run: Run, stage: Stage, fitted: Any
) -> Iterator[None]:
    """Inside the block batch norms hold statistics fit for evaluation, early in a run too."""
    if batch_norm.is_settled(norms.model, _steps(fitted.optimizer)):
        yield
    else:
        with norms.measured(_first_batches(run, stage)):
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


def _finish(run: Run) -> TrainResult:
    """Evaluates and writes the final weights."""
    metrics = evaluate(run.model, run.dataset.test, run.preprocessing)
    # Weights alone are kept: Keras would save the optimizer of a compiled model with them.
    run.model.compile(jit_compile=_jit_compile())
    if hasattr(run.model, "weights_origin"):
        # Export refuses a zoo model whose weights nobody trained or loaded.
        run.model.weights_origin = f"trained on {run.dataset.name} by {run.recipe.name}"
        if isinstance(run.dataset, TextDataset):
            run.model.preprocessing = run.preprocessing
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

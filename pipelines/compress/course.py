"""The short training of a network's twin in legacy Keras: data, loss, optimizer and steps of a recipe."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hw_model.errors import EdgeZooError, UsageError
from pipelines.compress.bridge import legacy, require_images, step_class, unwrapped
from pipelines.data.batches import Batches
from pipelines.data.dataset import ImageDataset
from pipelines.tasks import Task, task_of
from pipelines.train.optimizer import exclude_from_decay, learning_rate_at, make_optimizer
from pipelines.train.recipe import Average, Recipe, Stage

#: How many images settle the ranges of activations, in batches of how many.
_BATCHES, _BATCH = 8, 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Course:
    """What a twin is trained on and how; `batches` are those of training."""

    model: Any
    dataset: ImageDataset
    recipe: Recipe
    task: Task
    batches: Batches
    progress: bool = True

    @property
    def stage(self) -> Stage:
        return self.recipe.plan[0]

    @property
    def steps(self) -> int:
        return len(self.batches) * self.stage.epochs

    def samples(self) -> list[Any]:
        """Some batches of inputs as they are, to find ranges with."""
        batches = _batches(self.model, self.dataset, self.task, batch_size=_BATCH, training=False)
        return [batches[index][0] for index in range(min(_BATCHES, len(batches)))]


def course_of(
    model: Any, dataset: ImageDataset, recipe: Recipe, *, seed: int = 0, progress: bool = True
) -> Course:
    """The training a recipe describes.

    Raises:
        UsageError: no image network, data it does not fit, or a recipe of more than a plain training.
    """
    require_images(model)
    legacy()
    import tensorflow as tf

    tf.random.set_seed(seed)  # centroids and dropout are drawn from it
    task = task_of(dataset.train)
    task.check_fit(model, dataset)
    _require_plain(recipe)
    batches = _batches(
        model,
        dataset,
        task,
        augmentation=recipe.plan[0].augmentation or recipe.augmentation,
        batch_size=recipe.batch_size,
        training=True,
        seed=seed,
        steps=recipe.steps_per_epoch,
    )
    return Course(
        model=model,
        dataset=dataset,
        recipe=recipe,
        task=task,
        batches=batches,
        progress=progress,
    )


def _batches(model: Any, dataset: ImageDataset, task: Task, **settings: Any) -> Batches:
    return task.batches(
        dataset.train,
        model=model,
        num_classes=dataset.num_classes,
        preprocessing=task.preprocessing_of(model, None),
        **settings,
    )


def _require_plain(recipe: Recipe) -> None:
    stage = recipe.plan[0]
    asked = {
        "several stages": len(recipe.plan) > 1,
        "layers to train or to freeze": stage.trainable != "all" or stage.freeze_channels > 0,
        "a teacher": recipe.distillation is not None or stage.learn != "task",
        "averages of weights": recipe.average.decay > 0,
        "optimizer.l2": recipe.optimizer.l2 > 0,
        "the optimizer lamb": recipe.optimizer.name == "lamb",
    }
    for what, there in asked.items():
        if there:
            raise UsageError(
                f"Recipe {recipe.name or 'given'} asks for {what}, which pruning and clustering do not have; "
                "take one of a single plain stage"
            )


def fit(twin: Any, course: Course, callbacks: tuple[Any, ...] = ()) -> tuple[float, ...]:
    """Trains the twin, whose layers may be wrapped, in place; returns the mean loss of each epoch.

    Raises:
        EdgeZooError: the loss is no longer finite.
    """
    import tensorflow as tf
    from tqdm import tqdm

    tf_keras, _ = legacy()
    recipe, stage, batches = course.recipe, course.stage, course.batches
    peak = stage.learning_rate or recipe.optimizer.learning_rate
    variables = _variables(twin, train_batch_norm=stage.train_batch_norm)
    optimizer = make_optimizer(recipe.optimizer, peak, Average(), tf_keras.optimizers)
    exclude_from_decay(optimizer, variables)
    twin.compile(optimizer=optimizer)  # callbacks read the number of steps there
    told = tf_keras.callbacks.CallbackList(list(callbacks), model=twin)
    step = _step(twin, variables, optimizer, course)
    losses: list[float] = []
    hidden = None if course.progress else True
    with _logits(twin), tqdm(total=course.steps, desc=recipe.name, disable=hidden) as bar:
        told.on_train_begin()
        for epoch in range(stage.epochs):
            batches.epoch = epoch
            total = 0.0
            for index in range(len(batches)):
                optimizer.learning_rate = learning_rate_at(
                    bar.n,
                    peak=peak,
                    schedule=recipe.schedule_of(stage),
                    steps_per_epoch=len(batches),
                    total_steps=course.steps,
                )
                told.on_train_batch_begin(index)
                total += float(step(*tf.nest.map_structure(tf.convert_to_tensor, batches[index])))
                told.on_train_batch_end(index)
                bar.update()
            losses.append(total / len(batches))
            if not math.isfinite(losses[-1]):
                raise EdgeZooError(
                    f"The loss became {losses[-1]} in epoch {epoch + 1}; lower optimizer.learning_rate or set "
                    "optimizer.clip_norm in the recipe."
                )
            told.on_epoch_end(epoch)
    return tuple(losses)


def _variables(twin: Any, *, train_batch_norm: bool) -> list[Any]:
    """What is to be trained; norms that are not infer from now on."""
    if train_batch_norm:
        return list(twin.trainable_variables)
    kind = legacy()[0].layers.BatchNormalization
    norms = [layer for layer in map(unwrapped, twin.layers) if isinstance(layer, kind)]
    for norm in norms:
        norm.trainable = False
    # A wrapper goes on calling trainable what its layer does not.
    frozen = {id(variable) for norm in norms for variable in norm.weights}
    return [variable for variable in twin.trainable_variables if id(variable) not in frozen]


def _step(twin: Any, variables: list[Any], optimizer: Any, course: Course) -> Any:
    """One step of gradient descent, traced: (inputs, targets) to the loss."""
    import tensorflow as tf

    loss = course.task.loss(from_logits=True, label_smoothing=course.recipe.label_smoothing)
    names = list(course.model.output) if isinstance(course.model.output, dict) else []

    def step(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = twin(inputs, training=True)
            if names:
                found = dict(zip(names, outputs, strict=True))
                value = tf.add_n([loss[name](targets[name], found[name]) for name in names])
            else:
                value = loss(targets, outputs)
        gradients = tape.gradient(value, variables)
        # Where clusters are kept, kernels follow their centroids and have no gradient of their own.
        pairs = zip(gradients, variables, strict=True)
        optimizer.apply_gradients([pair for pair in pairs if pair[0] is not None])
        return value

    return tf.function(step, autograph=False)


@contextmanager
def _logits(twin: Any) -> Iterator[None]:
    """Inside the block a closing softmax is the identity, as in every other training here."""
    inner = map(unwrapped, twin.layers)
    closing = [each for each in inner if isinstance(each, step_class()) and each.kind == "Softmax"]
    for layer in closing:
        layer.kind = "Identity"
    try:
        yield
    finally:
        for layer in closing:
            layer.kind = "Softmax"

"""Learning-rate schedules and optimizers, from a recipe, for any Keras backend."""

import math
from functools import cache
from typing import Any

from pipelines.train.recipe import Average, Optimizer, Schedule


def learning_rate_at(
    step: int, *, peak: float, schedule: Schedule, steps_per_epoch: int, total_steps: int
) -> float:
    """The learning rate of one step, in plain Python (for plots and tests)."""
    warmup_steps = int(schedule.warmup_epochs * steps_per_epoch)
    if step < warmup_steps:
        return (
            _base(warmup_steps, peak, schedule, steps_per_epoch, total_steps) * step / warmup_steps
        )
    return _base(step, peak, schedule, steps_per_epoch, total_steps)


def _base(
    step: int, peak: float, schedule: Schedule, steps_per_epoch: int, total_steps: int
) -> float:
    if schedule.kind == "cosine":
        progress = min(step / total_steps, 1.0)
        floor = peak * schedule.final_share
        return floor + (peak - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))
    if schedule.kind == "polynomial":
        floor = peak * schedule.final_share
        remaining = 1.0 - min(step / total_steps, 1.0)
        return float(floor + (peak - floor) * remaining**schedule.power)
    if schedule.kind == "exponential":
        decay_steps = max(1, int(schedule.decay_epochs * steps_per_epoch))
        return float(peak * schedule.decay_rate ** (step // decay_steps))
    return peak


def keras_schedule(
    *, peak: float, schedule: Schedule, steps_per_epoch: int, total_steps: int
) -> Any:
    """The same schedule as a `keras.optimizers.schedules.LearningRateSchedule`."""
    import keras
    from keras import ops

    warmup_steps = int(schedule.warmup_epochs * steps_per_epoch)
    warmup_end = _base(warmup_steps, peak, schedule, steps_per_epoch, total_steps)
    decay_steps = max(1, int(schedule.decay_epochs * steps_per_epoch))
    floor = peak * schedule.final_share

    class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
        """Warm-up joined to the recipe's curve."""

        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float32")
            if schedule.kind == "cosine":
                progress = ops.minimum(step / total_steps, 1.0)
                after = floor + (peak - floor) * 0.5 * (1.0 + ops.cos(math.pi * progress))
            elif schedule.kind == "polynomial":
                remaining = 1.0 - ops.minimum(step / total_steps, 1.0)
                after = floor + (peak - floor) * ops.power(remaining, schedule.power)
            elif schedule.kind == "exponential":
                # A tenth of a step guards the floor against float32 rounding.
                after = peak * ops.power(schedule.decay_rate, ops.floor((step + 0.1) / decay_steps))
            else:
                after = peak * ops.ones_like(step)
            if warmup_steps == 0:
                return after
            return ops.where(step < warmup_steps, warmup_end * step / warmup_steps, after)

        def get_config(self) -> dict[str, Any]:
            return {}

    return RecipeSchedule()


def make_optimizer(
    settings: Optimizer, learning_rate: Any, average: Average, optimizers: Any = None
) -> Any:
    """An unbuilt optimizer of Keras, or of a module like its own; `learning_rate` is a number or a schedule."""
    import keras

    optimizers = optimizers or keras.optimizers
    common: dict[str, Any] = {"learning_rate": learning_rate}
    if settings.weight_decay > 0 and settings.name != "lamb":
        common["weight_decay"] = settings.weight_decay
    if settings.clip_norm > 0:
        common["global_clipnorm"] = settings.clip_norm
    if settings.clip_each_norm > 0:
        common["clipnorm"] = settings.clip_each_norm
    if average.decay > 0:
        common |= {"use_ema": True, "ema_momentum": average.decay}
    if settings.name == "adamw":
        base = optimizers.AdamW
        common |= {"beta_1": settings.beta_1, "beta_2": settings.beta_2}
        common |= {"epsilon": settings.epsilon, "weight_decay": settings.weight_decay}
    elif settings.name == "lamb":
        base = lamb_class()
        common |= {"beta_1": settings.beta_1, "beta_2": settings.beta_2}
        common |= {"epsilon": settings.epsilon, "decay_in_update": settings.weight_decay}
    elif settings.name == "rmsprop":
        base = optimizers.RMSprop
        common |= {"rho": settings.rho, "momentum": settings.momentum, "epsilon": settings.epsilon}
    else:
        base = optimizers.SGD
        common |= {"momentum": settings.momentum, "nesterov": settings.nesterov}
    if average.decay > 0 and average.dynamic:
        base = _with_dynamic_average(base)
    return base(**common)


@cache
def lamb_class() -> Any:
    """LAMB as published, made when Keras is wanted."""
    import keras
    from keras import ops

    class PublishedLamb(keras.optimizers.Lamb):
        """Weight decay is part of the update before its norm is taken; variables without decay step as Adam does.

        Keras' own decays apart from the update and adapts every variable. Source: You et al. 2020, algorithm 2,
        and the exclusions of TensorFlow Model Garden.
        """

        def __init__(self, *, decay_in_update: float = 0.0, **settings: Any) -> None:
            super().__init__(**settings)
            self.decay_in_update = decay_in_update

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            index = self._get_variable_index(variable)
            mean, square = self._momentums[index], self._velocities[index]
            # Adding zeros makes the gradient of an embedding, which names rows only, a plain one.
            value = ops.convert_to_tensor(variable)
            gradient = ops.add(ops.cast(gradient, variable.dtype), ops.zeros_like(value))
            step = ops.cast(self.iterations + 1, variable.dtype)
            self.assign(mean, self.beta_1 * mean + (1 - self.beta_1) * gradient)
            self.assign(square, self.beta_2 * square + (1 - self.beta_2) * gradient**2)
            size = ops.sqrt(square / (1 - ops.power(self.beta_2, step))) + self.epsilon
            update = mean / (1 - ops.power(self.beta_1, step)) / size
            if self._use_weight_decay(variable):
                update = update + self.decay_in_update * value
                long, length = ops.norm(value), ops.norm(update)
                known = ops.logical_and(long > 0, length > 0)
                update = update * ops.where(known, long / ops.where(known, length, 1.0), 1.0)
            self.assign_sub(variable, ops.cast(learning_rate, variable.dtype) * update)

    return PublishedLamb


def _with_dynamic_average(base: Any) -> Any:
    """`base` whose average starts fast: decay min(d, (1 + t) / (10 + t)) at step t."""
    from keras import ops

    class DynamicAverage(base):
        """Replaces Keras' constant EMA momentum."""

        def _update_model_variables_moving_average(self, trainable_variables: Any) -> None:
            step = ops.cast(self.iterations, "float32")
            decay = ops.minimum(self.ema_momentum, (1.0 + step) / (10.0 + step))
            decay = decay * ops.cast(ops.not_equal(self.iterations, 0), "float32")
            averages = self._model_variables_moving_average
            for variable, mean in zip(trainable_variables, averages, strict=True):
                share = ops.cast(decay, mean.dtype)
                mean.assign(share * mean + (1 - share) * variable)

    return DynamicAverage


def exclude_from_decay(optimizer: Any, variables: list[Any]) -> None:
    """Decoupled weight decay touches kernels only: biases and normalisation stay free."""
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if len(v.shape) < 2])

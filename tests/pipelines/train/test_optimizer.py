"""Learning-rate schedules equal their formula, and averages and decay do what the recipe says."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipelines.train import Recipe, load_recipe
from pipelines.train.optimizer import (
    exclude_from_decay,
    keras_schedule,
    learning_rate_at,
    make_optimizer,
)
from pipelines.train.recipe import Average, Optimizer, Schedule

pytestmark = pytest.mark.backends

SCHEDULES = {
    "constant": Schedule(kind="constant"),
    "cosine": Schedule(kind="cosine", warmup_epochs=1.5, final_share=0.1),
    "polynomial": Schedule(kind="polynomial", warmup_epochs=2.0, final_share=1e-2, power=2.0),
    "exponential": Schedule(kind="exponential", warmup_epochs=2.0, decay_epochs=2.4),
}


@pytest.mark.parametrize("kind", SCHEDULES)
def test_keras_and_plain_python_agree(kind: str) -> None:
    arguments: dict[str, Any] = {
        "peak": 0.3,
        "schedule": SCHEDULES[kind],
        "steps_per_epoch": 10,
        "total_steps": 100,
    }
    schedule = keras_schedule(**arguments)
    for step in (0, 1, 14, 15, 16, 19, 20, 23, 24, 25, 47, 48, 72, 99, 100, 120):
        assert float(schedule(step)) == pytest.approx(
            learning_rate_at(step, **arguments), rel=1e-5, abs=1e-7
        )


def test_the_published_warmup_ends_at_the_schedules_own_value() -> None:
    recipe = load_recipe("imagenet_mobilenet_edgetpu")

    def rate(step: int) -> float:
        return learning_rate_at(
            step,
            peak=recipe.optimizer.learning_rate,
            schedule=recipe.schedule,
            steps_per_epoch=312,
            total_steps=171_600,
        )

    # 0.256 * 0.97^2 = 0.2409: two decays have passed when the warm-up of 1560 steps ends.
    assert rate(1560) == pytest.approx(0.2409, abs=1e-4)
    assert rate(780) == pytest.approx(0.2409 / 2, abs=1e-4)
    assert rate(0) == 0.0
    assert rate(748 * 3) == pytest.approx(0.256 * 0.97**3)


def step_once(optimizer: Any, variable: Any, gradient: float) -> None:
    from keras import ops

    optimizer.apply_gradients([(ops.full(variable.shape, gradient), variable)])


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_averages_follow_their_formula(name: str, dynamic: bool) -> None:
    import keras

    variable = keras.Variable(np.zeros((2, 2), np.float32))
    average = Average(decay=0.9, dynamic=dynamic)
    optimizer = make_optimizer(Optimizer(name=name), 0.1, average)
    expected = np.zeros((2, 2))
    for step in range(12):
        step_once(optimizer, variable, float(np.cos(step)))
        decay = min(0.9, (1 + step) / (10 + step)) if dynamic else 0.9
        decay = 0.0 if step == 0 else decay
        value = keras.ops.convert_to_numpy(variable.value)
        expected = decay * expected + (1 - decay) * value
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(variable.value), expected, rtol=1e-4, atol=1e-6
    )


def test_decay_shrinks_kernels_and_leaves_biases() -> None:
    import keras

    kernel = keras.Variable(np.ones((2, 2), np.float32))
    bias = keras.Variable(np.ones(2, np.float32))
    optimizer = make_optimizer(Optimizer(weight_decay=0.5, momentum=0.0), 0.1, Average())
    exclude_from_decay(optimizer, [kernel, bias])
    zeros = [(keras.ops.zeros(v.shape), v) for v in (kernel, bias)]
    optimizer.apply_gradients(zeros)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(kernel.value), 0.95)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(bias.value), 1.0)


def test_gradients_are_clipped_by_their_global_norm() -> None:
    import keras

    variable = keras.Variable(np.zeros(4, np.float32))
    optimizer = make_optimizer(Optimizer(clip_norm=1.0, momentum=0.0), 1.0, Average())
    step_once(optimizer, variable, 100.0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable.value), -0.5, rtol=1e-4)


def test_l2_is_added_for_all_but_normalisation(
    model: Any, make_recipe: Callable[..., Recipe]
) -> None:
    import keras

    from pipelines.train.weights import l2_regularised

    with l2_regularised(model, 0.01):
        penalty = float(keras.ops.convert_to_numpy(sum(model.losses)))
    weights = {v.path: keras.ops.convert_to_numpy(v.value) for v in model.trainable_variables}
    norms = [path for path in weights if path.endswith(("gamma", "beta"))]
    assert len(norms) == 4
    expected = 0.01 * sum((w**2).sum() for path, w in weights.items() if path not in norms)
    assert penalty == pytest.approx(expected, rel=1e-4)
    assert model.losses == []


def test_lamb_steps_as_published() -> None:
    """Two steps against NumPy: decay within the update and its norm, biases as Adam has them."""
    import keras

    settings = Optimizer(name="lamb", learning_rate=0.1, epsilon=1e-6, weight_decay=0.02)
    optimizer = make_optimizer(settings, 0.1, Average())
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(3, 2)), rng.normal(size=(2,))]
    variables = [keras.Variable(start, dtype="float32") for start in starts]
    exclude_from_decay(optimizer, variables)
    optimizer.build(variables)
    gradients = rng.normal(size=(2, 3, 2)), rng.normal(size=(2, 2))
    for step in range(2):
        optimizer.apply([keras.ops.convert_to_tensor(g[step], "float32") for g in gradients])
    for variable, start, steps in zip(variables, starts, gradients, strict=True):
        weight, mean, square = start, 0.0, 0.0
        for step, gradient in enumerate(steps, start=1):
            mean = 0.9 * mean + 0.1 * gradient
            square = 0.999 * square + 0.001 * gradient**2
            update = mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-6)
            if weight.ndim == 2:
                update = update + 0.02 * weight
                update = update * np.linalg.norm(weight) / np.linalg.norm(update)
            weight = weight - 0.1 * update
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(variable.value), weight, rtol=1e-4, atol=1e-6
        )

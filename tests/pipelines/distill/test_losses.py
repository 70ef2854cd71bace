"""Losses against plain NumPy, and the recipe's settings that no training should start with."""

from typing import Any

import numpy as np
import pytest

from hw_model.errors import SpecError
from pipelines.distill.losses import NORM_EPSILON, loss_classes
from pipelines.tasks.labels import counted_labels
from pipelines.train import load_recipe
from pipelines.train.recipe import parse_recipe

RNG = np.random.default_rng(0)


def softmax(logits: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def value(loss: Any, truth: np.ndarray, answer: np.ndarray) -> float:
    return float(loss(truth.astype(np.float32), answer.astype(np.float32)))


@pytest.mark.parametrize(("alpha", "temperature"), [(0.5, 1.0), (0.3, 4.0), (0.0, 1.0), (1.0, 2.0)])
def test_soft_labels_of_classes(alpha: float, temperature: float) -> None:
    student, teacher = RNG.normal(size=(2, 6, 5))
    truth = np.eye(5)[[0, 1, 2, 3, 4, 0]]
    loss = loss_classes().SoftLabels(
        alpha=alpha, temperature=temperature, width=5, label_smoothing=0.1
    )
    smooth = truth * 0.9 + 0.1 / 5
    hard = -(smooth * np.log(softmax(student))).sum(axis=-1)
    soft = -(softmax(teacher / temperature) * np.log(softmax(student / temperature))).sum(axis=-1)
    expected = (1 - alpha) * hard + alpha * temperature**2 * soft
    packed = np.concatenate([truth, teacher], axis=-1)
    assert value(loss, packed, student) == pytest.approx(expected.mean(), rel=1e-5)


def test_soft_labels_of_words_are_the_published_mixture() -> None:
    """At temperature 1: half one-hot, half the teacher's softmax, over the words that are masked."""
    student, teacher = RNG.normal(size=(2, 2, 3, 7))
    ids = np.array([[0, 6, -1], [3, -1, -1]])
    mixture = 0.5 * np.eye(7)[np.maximum(ids, 0)] + 0.5 * softmax(teacher)
    each = -(mixture * np.log(softmax(student))).sum(axis=-1)
    loss = loss_classes().SoftLabels(alpha=0.5, temperature=1.0, width=1)
    packed = np.concatenate([ids[..., None], teacher], axis=-1)
    assert value(loss, packed, student) == pytest.approx(each[ids >= 0].mean(), rel=1e-5)
    nothing = np.concatenate([np.full_like(ids, -1)[..., None], teacher], axis=-1)
    assert value(loss, nothing, student) == 0


def test_ids_that_do_not_count() -> None:
    logits = RNG.normal(size=(3, 4))
    ids = np.array([2, -1, 0])
    expected = -np.log(softmax(logits))[[0, 2], [2, 0]].mean()
    assert value(counted_labels()(0.5), ids, logits) == pytest.approx(expected / 2, rel=1e-5)
    assert value(counted_labels()(), np.array([-1, -1, -1]), logits) == 0


def test_layers_are_compared_as_published() -> None:
    wanted, found = RNG.normal(size=(2, 2, 3, 8)) * 2 + 1

    def parts(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) / np.sqrt(variance + NORM_EPSILON), mean, variance

    (t, t_mean, t_var), (s, s_mean, s_var) = parts(wanted), parts(found)
    expected = 100 * np.mean((t - s) ** 2) + 5000 * np.mean((s_mean - t_mean) ** 2)
    expected += 5 * np.mean(np.abs(s_var - t_var))
    loss = loss_classes().Layers(hidden=100.0, mean=5000.0, variance=5.0, divisor=3)
    assert value(loss, wanted, found) == pytest.approx(expected / 3, rel=1e-4)


@pytest.mark.parametrize("double", [False, True])
def test_attention_with_and_without_the_second_softmax(double: bool) -> None:
    wanted, found = softmax(RNG.normal(size=(2, 2, 4, 6, 6)))
    t, log_s = (softmax(wanted), np.log(softmax(found))) if double else (wanted, np.log(found))
    expected = -(t * log_s).sum(axis=-1).mean()
    loss = loss_classes().Attention(weight=2.0, double_softmax=double, divisor=4)
    assert value(loss, wanted, found) == pytest.approx(expected * 2 / 4, rel=1e-5)


def test_features() -> None:
    wanted, found = RNG.normal(size=(2, 2, 3, 3, 4))
    loss = loss_classes().Features(3.0)
    assert value(loss, wanted, found) == pytest.approx(3 * np.mean((wanted - found) ** 2), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("temperature", 0.0),
        ("temperature", -1.0),
        ("alpha", 1.5),
        ("alpha", -0.1),
        ("feature_weight", -1.0),
        ("attention_weight", -1.0),
        ("teacher_hidden", "layer"),
    ],
)
def test_settings_out_of_range_are_named(name: str, wrong: object) -> None:
    with pytest.raises(SpecError, match=rf"^distillation\.{name}"):
        parse_recipe({"distillation": {name: wrong}})


def test_the_published_stages() -> None:
    recipe = load_recipe("mobilebert_distill")
    layers, whole = recipe.plan
    steps = recipe.steps_per_epoch
    assert layers.epochs * steps * 12 + whole.epochs * steps == 825_000
    assert (layers.learn, whole.learn, recipe.batch_size) == ("layers", "task", 2048)
    peak, schedule = recipe.optimizer.learning_rate, recipe.schedule_of(whole)
    assert recipe.schedule_of(layers).kind == "constant"
    assert schedule.warmup_epochs * steps == 20_000
    assert peak * schedule.final_share == pytest.approx(1.5e-7)
    assert recipe.distillation is not None
    assert recipe.distillation.swap_gamma_beta
    assert recipe.distillation.double_softmax
    assert load_recipe("squad_finetune").schedule.warmup_epochs / 7 == pytest.approx(1942 / 19420)

"""Recipes are read strictly, and every shipped one says where it comes from."""

from pathlib import Path
from typing import Any

import pytest

from hw_model.errors import DataError, SpecError, UnknownNameError, UsageError
from pipelines.train import list_recipes, load_recipe, recipe_id
from pipelines.train.recipe import parse_recipe

GOOD = """
summary = "short"
epochs = 3
[optimizer]
name = "adamw"
learning_rate = 1
"""


@pytest.mark.parametrize("name", list_recipes())
def test_every_shipped_recipe_states_what_it_is(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.summary
    if recipe.command.startswith("python benchmarks/"):
        script = Path(__file__).parents[3] / recipe.command.split()[1]
        assert f'"{name}"' in script.read_text(encoding="utf-8")
    else:
        assert recipe.command.startswith("edgezoo ")
        assert f"recipe {name}" in recipe.command
    assert recipe.hardware
    # A published recipe names its source; a small one is ours and claims nothing without a run.
    assert recipe.source or recipe.hardware in ("1 CPU core", "2 CPU cores")
    if recipe.reached:
        assert recipe.hours is not None


def test_the_published_recipes_have_the_published_numbers() -> None:
    mobile = load_recipe("imagenet_mobilenet_edgetpu")
    steps_per_epoch = 1_281_167 // mobile.batch_size
    assert steps_per_epoch * mobile.epochs == 171_600
    assert int(mobile.schedule.decay_epochs * steps_per_epoch) == 748
    assert int(mobile.schedule.warmup_epochs * steps_per_epoch) == 1_560
    assert mobile.optimizer.learning_rate == pytest.approx(0.008 * (mobile.batch_size // 128))
    efficient = load_recipe("imagenet_efficientnet_edgetpu")
    assert efficient.optimizer.learning_rate == pytest.approx(0.016 * efficient.batch_size / 256)
    assert round(218_949 / (1_281_167 // efficient.batch_size)) == efficient.epochs


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    recipe = load_recipe(path)
    assert (recipe.name, recipe.epochs, recipe.optimizer.learning_rate) == ("mine", 3, 1.0)


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"epoch": 3}, "epoch"),
        ({"optimizer": {"lr": 0.1}}, "optimizer.lr"),
        ({"optimizer": {"name": "lion"}}, "optimizer.name"),
        ({"optimizer": {"learning_rate": 0}}, "optimizer.learning_rate"),
        ({"optimizer": {"learning_rate": float("nan")}}, "optimizer.learning_rate"),
        ({"optimizer": {"nesterov": 1}}, "optimizer.nesterov"),
        ({"optimizer": 3}, "optimizer"),
        ({"epochs": 2.5}, "epochs"),
        ({"epochs": True}, "epochs"),
        ({"epochs": 0}, "epochs"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"schedule": {"kind": "linear"}}, "schedule.kind"),
        ({"epochs": 2, "schedule": {"warmup_epochs": 2.0}}, "schedule.warmup_epochs"),
        ({"average": {"decay": 1.0}}, "average.decay"),
        ({"stages": [{"name": "head"}, {"epoch": 1}]}, "stages[1].epoch"),
        ({"stages": [{"name": "head", "epochs": 0}]}, "stages[0].epochs"),
        ({"stages": [{"learn": "words"}]}, "stages[0].learn"),
        ({"stages": [{"schedule": {"warmup_epochs": 1.0}}]}, "stages[0].schedule.warmup_epochs"),
        ({"steps_per_epoch": -1}, "steps_per_epoch"),
        ({"optimizer": {"clip_norm": 1.0, "clip_each_norm": 1.0}}, "optimizer.clip_each_norm"),
        ({"distillation": {"temperature": 0}}, "distillation.temperature"),
        ({"augmentation": {"crop_area": [0.1]}}, "augmentation.crop_area"),
        ({"augmentation": {"crop_area": [0.1, "1"]}}, "augmentation.crop_area[1]"),
        ({"augmentation": {"shift_pixels": -1}}, "augmentation.shift_pixels"),
        ({"expected": {"top1": "high"}}, "expected.top1"),
    ],
)
def test_wrong_settings_are_refused_with_their_path(table: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_recipe(table)
    assert caught.value.path == path
    assert "\n" not in str(caught.value)


def test_an_unknown_recipe_gets_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="fashion_mnist_tiny"):
        load_recipe("fashion_mnist_tin")


@pytest.mark.parametrize(
    ("content", "error"), [("a = ", DataError), ('name = "other"', UsageError), (None, DataError)]
)
def test_bad_files_are_refused(tmp_path: Path, content: str | None, error: type[Exception]) -> None:
    path = tmp_path / "bad.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=r"bad\.toml"):
        load_recipe(path)


def test_the_id_follows_settings_and_not_descriptions() -> None:
    base = parse_recipe({"epochs": 3})
    assert recipe_id(base) == recipe_id(parse_recipe({"epochs": 3, "summary": "x", "hours": 2.0}))
    assert recipe_id(base) != recipe_id(parse_recipe({"epochs": 4}))
    assert recipe_id(base) != recipe_id(parse_recipe({"epochs": 3, "optimizer": {"rho": 0.8}}))


def test_a_recipe_can_be_shortened() -> None:
    staged = load_recipe("finetune_small")
    total = sum(stage.epochs for stage in staged.plan)
    assert sum(stage.epochs for stage in staged.with_epochs(2 * total).plan) == 2 * total
    for name in ("finetune_small", "finetune_detect", "fashion_mnist_tiny"):
        for epochs in range(2, 40):
            plan = load_recipe(name).with_epochs(epochs).plan
            assert sum(stage.epochs for stage in plan) == epochs
            assert min(stage.epochs for stage in plan) >= 1
    shortest = staged.with_epochs(1)
    assert [stage.epochs for stage in shortest.plan] == [1, 1]
    assert load_recipe("fashion_mnist_tiny").with_epochs(1).schedule.warmup_epochs < 1

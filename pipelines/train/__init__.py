"""Training and fine-tuning of classifiers by recipe, on any Keras backend."""

from pipelines.train.evaluate import evaluate, predict, score
from pipelines.train.loop import TrainResult, train
from pipelines.train.recipe import Recipe, Stage, list_recipes, load_recipe, recipe_id

__all__ = [
    "Recipe",
    "Stage",
    "TrainResult",
    "evaluate",
    "list_recipes",
    "load_recipe",
    "predict",
    "recipe_id",
    "score",
    "train",
]

"""Training and fine-tuning by recipe, on any Keras backend."""

from pipelines.tasks import evaluate, predict, score
from pipelines.train.batch_norm import recalibrate
from pipelines.train.finetune import finetune
from pipelines.train.loop import TrainResult, train
from pipelines.train.recipe import Recipe, Stage, list_recipes, load_recipe, recipe_id

__all__ = [
    "Recipe",
    "Stage",
    "TrainResult",
    "evaluate",
    "finetune",
    "list_recipes",
    "load_recipe",
    "predict",
    "recalibrate",
    "recipe_id",
    "score",
    "train",
]

"""A run of training: what it is made of, the phases it has, and what a checkpoint must share with it."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.data.dataset import ImageDataset
from pipelines.data.text.splits import TextDataset
from pipelines.distill.settings import Distillation
from pipelines.distill.teachers import Teacher, count_blocks
from pipelines.tasks import Task, task_of
from pipelines.train import checkpoint
from pipelines.train.recipe import Recipe, Stage, recipe_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """Epochs of a stage with one optimizer: all of them, or those of one layer."""

    stage: Stage
    first_epoch: int
    #: Blocks that are to be like the teacher's; none in a phase that learns the task.
    blocks: tuple[int, ...]

    @property
    def last_epoch(self) -> int:
        return self.first_epoch + self.stage.epochs


@dataclass(kw_only=True, slots=True)
class Run:
    """One call of `train`, and how far it is."""

    model: Any
    dataset: ImageDataset | TextDataset
    recipe: Recipe
    preprocessing: Any
    run_dir: Path
    seed: int
    verbose: int
    teacher: Teacher | None = None
    from_logits: bool = True
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
            "teacher": self.teacher and self.teacher.identity,
        }

    @property
    def distillation(self) -> Distillation:
        return self.recipe.distillation or Distillation()

    @property
    def plan(self) -> list[Phase]:
        """The recipe's stages, one that learns layers as often as there are layers."""
        phases = []
        first = 0
        for stage in self.recipe.plan:
            for blocks in self._lessons(stage):
                phases.append(Phase(stage=stage, first_epoch=first, blocks=blocks))
                first += stage.epochs
        return phases

    def _lessons(self, stage: Stage) -> list[tuple[int, ...]]:
        if stage.learn == "task":
            return [()]
        blocks = tuple(range(count_blocks(self.model)))
        return [blocks] if stage.learn == "all_layers" else [(block,) for block in blocks]

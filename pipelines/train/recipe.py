"""Training recipes: TOML files read strictly into frozen values."""

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw_model.errors import DataError, SpecError, UnknownNameError
from pipelines.compress.settings import Clustering, Pruning
from pipelines.data.augment import Augmentation
from pipelines.distill.settings import Distillation

LESSONS = ("task", "layers", "all_layers")
RECIPE_FOLDER = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Optimizer:
    """The update rule and what keeps it in bounds."""

    name: str = "sgd"
    """`sgd`, `adamw`, `rmsprop` or `lamb`."""
    learning_rate: float = 0.1
    """The schedule's peak, for the recipe's own batch size."""
    momentum: float = 0.9
    nesterov: bool = False
    rho: float = 0.9
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    weight_decay: float = 0.0
    """Decoupled, times the learning rate, on kernels only; part of the update of `lamb`."""
    l2: float = 0.0
    """Added to the loss as l2 * sum(w^2), on everything but normalisation parameters."""
    clip_norm: float = 0.0
    """Largest global gradient norm; 0 leaves gradients alone."""
    clip_each_norm: float = 0.0
    """Largest gradient norm of each variable by itself; 0 leaves gradients alone."""

    def __post_init__(self) -> None:
        names = ("sgd", "adamw", "rmsprop", "lamb")
        _require(self.name in names, "name", " or ".join(names), self.name)
        _require(self.learning_rate > 0, "learning_rate", "above 0", self.learning_rate)
        for name in ("weight_decay", "l2", "clip_norm", "clip_each_norm"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        both = self.clip_norm > 0 and self.clip_each_norm > 0
        _require(not both, "clip_each_norm", "0 where clip_norm is not", self.clip_each_norm)


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """How the learning rate runs over the epochs."""

    kind: str = "cosine"
    """`constant`, `cosine`, `polynomial` (both to `final_share` of the peak) or `exponential` (staircase)."""
    warmup_epochs: float = 0.0
    """Linear from 0 to the schedule's own value at the end of warm-up."""
    final_share: float = 0.0
    decay_rate: float = 0.97
    decay_epochs: float = 2.4
    power: float = 1.0

    def __post_init__(self) -> None:
        kinds = ("constant", "cosine", "polynomial", "exponential")
        _require(self.kind in kinds, "kind", " or ".join(kinds), self.kind)
        _require(self.warmup_epochs >= 0, "warmup_epochs", "at least 0", self.warmup_epochs)
        _require(0 <= self.final_share <= 1, "final_share", "from 0 to 1", self.final_share)
        _require(0 < self.decay_rate <= 1, "decay_rate", "above 0, at most 1", self.decay_rate)
        _require(self.decay_epochs > 0, "decay_epochs", "above 0", self.decay_epochs)
        _require(self.power > 0, "power", "above 0", self.power)


@dataclass(frozen=True, kw_only=True, slots=True)
class Average:
    """Exponential moving average of the trained weights; evaluation and the result use it."""

    decay: float = 0.0
    """0 switches averaging off."""
    dynamic: bool = False
    """min(decay, (1 + t) / (10 + t)) at step t, so that early averages are not stale."""

    def __post_init__(self) -> None:
        _require(0 <= self.decay < 1, "decay", "from 0 to below 1", self.decay)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """A part of the training with its own share of trainable layers and its own learning rate."""

    name: str = "all"
    epochs: int = 1
    """Of a stage that learns layers one after the other: for each layer of the model."""
    learn: str = "task"
    """`task`; `layers`: those of a teacher, one after the other, all before them still learning; `all_layers`: of all
    its blocks at once. Source of both: Sun et al. 2020, progressive and joint knowledge transfer."""
    trainable: str = "all"
    """`all`, `head` (the last layer with weights), or the first layer or stack to train (`stack_15`)."""
    learning_rate: float | None = None
    """Overrides the recipe's peak."""
    train_batch_norm: bool = True
    """False keeps normalisation layers frozen, in inference mode, also where `trainable` reaches."""
    freeze_channels: int = 0
    """Layers that write at least this many channels stay frozen; 0 freezes none."""
    augmentation: Augmentation | None = None
    """Replaces the recipe's own."""
    schedule: Schedule | None = None
    """Replaces the recipe's own."""

    def __post_init__(self) -> None:
        _require(self.learn in LESSONS, "learn", " or ".join(LESSONS), self.learn)
        _require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _require(self.freeze_channels >= 0, "freeze_channels", "at least 0", self.freeze_channels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides a training run apart from model, data and seed."""

    name: str = ""
    summary: str = ""
    source: str = ""
    command: str = ""
    hardware: str = ""
    hours: float | None = None
    """Wall time: measured where `reached` is present, else a budget or the publication's figure."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """Metrics the recipe is meant to reach, or that its source published."""
    reached: Mapping[str, float] = field(default_factory=dict)
    """Metrics of a real run of exactly this file; empty until there is one."""
    notes: str = ""
    epochs: int = 1
    """Ignored where `stages` are given."""
    batch_size: int = 128
    label_smoothing: float = 0.0
    steps_per_epoch: int = 0
    """Batches an epoch has; 0 goes through all examples once."""
    eval_images: int = 0
    """Test images (or questions) evaluated after each epoch, the same number of each class; 0 takes all."""
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    average: Average = field(default_factory=Average)
    augmentation: Augmentation = field(default_factory=Augmentation)
    distillation: Distillation | None = None
    """How to learn from the teacher that training is then given."""
    pruning: Pruning = field(default_factory=Pruning)
    """Read by `edgezoo prune` alone."""
    clustering: Clustering = field(default_factory=Clustering)
    """Read by `edgezoo cluster` alone."""
    stages: tuple[Stage, ...] = ()

    def __post_init__(self) -> None:
        _require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        _require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        _require(self.eval_images >= 0, "eval_images", "at least 0", self.eval_images)
        smoothing = self.label_smoothing
        _require(0 <= smoothing < 1, "label_smoothing", "from 0 to below 1", smoothing)
        _require(self.steps_per_epoch >= 0, "steps_per_epoch", "at least 0", self.steps_per_epoch)
        for number, stage in enumerate(self.plan):
            warmup = self.schedule_of(stage).warmup_epochs
            place = f"stages[{number}].schedule" if stage.schedule else "schedule"
            _require(
                warmup < stage.epochs,
                f"{place}.warmup_epochs",
                f"below the {stage.epochs} epochs of stage {stage.name!r}",
                warmup,
            )
        object.__setattr__(self, "expected", types.MappingProxyType(dict(self.expected)))
        object.__setattr__(self, "reached", types.MappingProxyType(dict(self.reached)))

    @property
    def plan(self) -> tuple[Stage, ...]:
        """The stages to run: the recipe's own, or one that trains everything."""
        return self.stages or (Stage(epochs=self.epochs),)

    def schedule_of(self, stage: Stage) -> Schedule:
        """The stage's own schedule, or the recipe's."""
        return stage.schedule or self.schedule

    def with_epochs(self, epochs: int) -> "Recipe":
        """The same recipe made longer or shorter: stages and warm-up keep their shares."""
        total = sum(stage.epochs for stage in self.plan)
        share = min(1.0, epochs / total)
        stages = tuple(
            dataclasses.replace(
                stage,
                epochs=count,
                schedule=stage.schedule and _shorter_warmup(stage.schedule, share),
            )
            for stage, count in zip(
                self.stages, _shares(epochs, [s.epochs for s in self.stages]), strict=True
            )
        )
        schedule = _shorter_warmup(self.schedule, share)
        return dataclasses.replace(self, epochs=epochs, stages=stages, schedule=schedule)


def _shares(epochs: int, lengths: list[int]) -> list[int]:
    """`epochs` divided as `lengths` are, at least one each.

    >>> _shares(2, [1, 9]), _shares(20, [1, 9]), _shares(1, [1, 9])
    ([1, 1], [2, 18], [1, 1])
    """
    found = [1] * len(lengths)
    while sum(found) < epochs and lengths:
        short = [n * epochs / sum(lengths) - f for n, f in zip(lengths, found, strict=True)]
        found[short.index(max(short))] += 1
    return found


def _shorter_warmup(schedule: Schedule, share: float) -> Schedule:
    return dataclasses.replace(schedule, warmup_epochs=schedule.warmup_epochs * share)


# What a recipe says about itself; changing it does not change the run.
_DESCRIPTION = frozenset(
    {"name", "summary", "source", "command", "hardware", "hours", "expected", "reached", "notes"}
)


def recipe_id(recipe: Recipe) -> str:
    """Twelve hex digits that change when, and only when, a setting that affects the run changes."""
    settings = {k: v for k, v in _settings(recipe).items() if k not in _DESCRIPTION}
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _settings(value: Any) -> Any:
    """What differs from the defaults, so that an option added later changes no identity."""
    if isinstance(value, tuple):
        return [_settings(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    defaults: Any = type(value)
    plain = defaults()
    return {
        item.name: _settings(getattr(value, item.name))
        for item in dataclasses.fields(value)
        if getattr(value, item.name) != getattr(plain, item.name)
    }


def list_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPE_FOLDER.glob("*.toml"))


def load_recipe(name_or_path: str | Path) -> Recipe:
    """The recipe of that name, or in that `.toml` file.

    Raises:
        UnknownNameError: no such recipe.
        DataError: not readable TOML.
        SpecError: an unknown key or a value out of range; the message holds its path.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = RECIPE_FOLDER / f"{name_or_path}.toml"
        if str(name_or_path) not in list_recipes():
            raise UnknownNameError("recipe", str(name_or_path), list_recipes())
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read recipe {path}: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"Recipe {path} is not valid TOML: {error}.") from error
    if "name" in table:
        raise SpecError("name", f"a recipe is named by its file; remove this key from {path}")
    return parse_recipe({"name": path.stem, **table})


def parse_recipe(table: Mapping[str, Any]) -> Recipe:
    """A recipe from a parsed TOML table."""
    recipe: Recipe = _parse(Recipe, table, "")
    return recipe


def _require(holds: bool, name: str, wanted: str, received: object) -> None:
    if not holds:
        raise SpecError(name, f"must be {wanted}. Received: {received!r}")


def _parse(kind: Any, value: Any, path: str) -> Any:
    """`value` as an instance of `kind`, a type used in the annotations above."""
    if dataclasses.is_dataclass(kind):
        return _parse_table(kind, value, path)
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        return _parse(inner, value, path)
    if origin is tuple:
        return _parse_tuple(arguments, value, path)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        _check(isinstance(value, dict), path, "a table", value)
        return {key: _parse(arguments[1], item, f"{path}.{key}") for key, item in value.items()}
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _check(number and abs(value) < float("inf"), path, "a number", value)
        return float(value)
    wanted = {bool: "true or false", int: "an integer", str: "a string"}[kind]
    _check(type(value) is kind, path, wanted, value)
    return value


def _parse_table(kind: Any, value: Any, path: str) -> Any:
    _check(isinstance(value, dict), path, "a table", value)
    hints = typing.get_type_hints(kind)
    for key in value:
        if key not in hints:
            here = f"{path}.{key}" if path else key
            raise SpecError(here, f"unknown key. Known here: {', '.join(sorted(hints))}")
    arguments = {}
    for key, item in value.items():
        arguments[key] = _parse(hints[key], item, f"{path}.{key}" if path else key)
    try:
        return kind(**arguments)
    except SpecError as error:
        # A nested value was already parsed by its own call, so this error is one level deep.
        raise (error.under(path) if path else error) from None


def _parse_tuple(arguments: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...]:
    _check(isinstance(value, list), path, "a list", value)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_parse(arguments[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    _check(len(value) == len(arguments), path, f"a list of {len(arguments)}", value)
    pairs = zip(arguments, value, strict=True)
    return tuple(_parse(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(pairs))


def _check(holds: bool, path: str, wanted: str, received: object) -> None:
    if not holds:
        raise SpecError(path, f"must be {wanted}. Received: {received!r}")

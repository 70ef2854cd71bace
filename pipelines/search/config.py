"""Everything that decides a search, as one value that travels with the study."""

from dataclasses import dataclass, field
from typing import Any, Literal

from hw_model import codec
from hw_model.errors import UnknownNameError, UsageError
from pipelines.search.budget import Budget, Reward
from pipelines.search.samplers import SAMPLERS

QualityKind = Literal["train", "predictor", "proxy"]
#: Blocks are pruned by their latency; a slow one may be the best for energy.
PRUNED_QUANTITY = "latency_ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityConfig:
    """Where quality comes from; fields of other kinds are ignored."""

    kind: QualityKind = "train"
    #: train: data set, recipe (name or path), images or questions per training and per test; 0 takes all.
    data: str = "embedded"
    recipe: str = "search_short"
    epochs: int = 0
    train_images: int = 0
    test_images: int = 0
    #: train: the task's metric that is made large, or `exp_loss`; empty for the task's headline.
    metric: str = ""
    #: train, for networks that read text: the vocabulary's file, and what it held when the study began.
    vocabulary: str = ""
    vocabulary_sha256: str = ""
    #: train: preset, weights folder or Keras model file that trials learn from too, and its weights' SHA-256.
    teacher: str = ""
    teacher_sha256: str = ""
    #: train: how many trials are trained again with another seed to measure the rank correlation.
    repeats: int = 6
    #: proxy: its name.
    proxy: str = "log_macs"
    #: predictor: folder of the study it is fitted on; proxy: of the one it is measured on.
    source: str = ""
    #: predictor: fewest trained trials it accepts.
    min_trials: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchConfig:
    """A search: where, for which hardware, for how much, and how long."""

    folder: str
    budget: Budget
    space: str = "mobilenet_edgetpu_v2"
    target: str = "pixel6"
    image_size: int = 224
    channels: int = 3
    num_classes: int = 1001
    #: Of spaces that read text, instead of size, channels and classes.
    sequence_length: int = 384
    vocabulary_size: int = 30522
    #: Multiplies every width of the space; small images and small machines want less than 1.
    width: float = 1.0
    sampler: str = "auto"
    trials: int = 100
    seed: int = 0
    batch_size: int = 8
    workers: int = 1
    quality: QualityConfig = field(default_factory=QualityConfig)
    reward: Reward = field(default_factory=Reward)
    storage: str = ""
    name: str = "study"
    #: File of `edgezoo blocks --prune-space` that narrows the space, and what it held when the study began.
    prune: str = ""
    prune_sha256: str = ""

    def __post_init__(self) -> None:
        if self.sampler != "auto" and self.sampler not in SAMPLERS:
            raise UnknownNameError("sampler", self.sampler, [*SAMPLERS, "auto"])
        for field_name, least in (("trials", 1), ("batch_size", 1), ("workers", 1), ("seed", 0)):
            value = getattr(self, field_name)
            if type(value) is not int or value < least:
                raise UsageError(
                    f"{field_name} must be an integer from {least}. Received: {value!r}"
                )
        if not 0 < self.width <= 4:
            raise UsageError(f"width must be above 0 and at most 4. Received: {self.width}")
        if self.prune and self.budget.quantity != PRUNED_QUANTITY:
            raise UsageError(
                f"{self.prune} leaves out what is slow; a budget on {self.budget.quantity} needs the whole "
                "space: leave --prune out, or give a latency budget"
            )
        if not self.name:
            raise UsageError("name must not be empty")

    @property
    def chosen_sampler(self) -> str:
        """`auto` screens candidates where quality is paid for by training, and not where it is free."""
        if self.sampler != "auto":
            return self.sampler
        return "screened_evolution" if self.quality.kind == "train" else "evolution"

    def to_data(self) -> dict[str, Any]:
        """JSON-ready copy."""
        data: dict[str, Any] = codec.to_data(self)
        return data


def config_from_data(data: Any) -> SearchConfig:
    """Reads a config; raises `SpecError` with the path of what is wrong."""
    return codec.from_data(SearchConfig, data)

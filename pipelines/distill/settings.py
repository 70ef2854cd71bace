"""What a recipe says about learning from a teacher."""

from dataclasses import dataclass

from hw_model.errors import SpecError
from model_zoo.lowering.bert import attention_layer, hidden_layer

#: Layers of a teacher by number, where `{}` stands for it; those of this zoo by default.
_HIDDEN = hidden_layer(0).replace("0", "{}")
_ATTENTION = attention_layer(0).replace("0", "{}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Distillation:
    """Soft labels, and features or layers of a teacher.

    The loss of a stage that learns the task is (1 - alpha) * truth + alpha * temperature^2 * soft labels, both
    cross-entropies. Weights of layers are those of the published layer-wise stages.

    Source: Hinton et al. 2015; TensorFlow Model Garden, official/projects/edgetpu/nlp.
    """

    temperature: float = 1.0
    alpha: float = 0.5
    """Share of the teacher's labels; the published ground truth ratio is 1 - alpha."""
    feature_weight: float = 0.0
    """Mean squared error of the last feature map, the student's behind a 1x1 projection; images only."""
    copy_embedding: bool = False
    """Starts from the teacher's embedding."""
    copy_head: bool = False
    """Starts from the teacher's layers behind its last block; for a student that learns that block."""
    swap_gamma_beta: bool = False
    """Upstream quirk: weights are copied by position, and NoNorm has beta before gamma, LayerNorm behind it."""
    double_softmax: bool = False
    """Upstream quirk: the attention loss takes the softmax of attention, which is one already."""
    hidden_weight: float = 100.0
    mean_weight: float = 5000.0
    variance_weight: float = 5.0
    attention_weight: float = 1.0
    teacher_hidden: str = _HIDDEN
    """Name of the teacher's layer (N, L, C) behind its block number `{}`."""
    teacher_attention: str = _ATTENTION
    """Name of the teacher's layer (N, heads, L, L) with the attention of that block."""

    def __post_init__(self) -> None:
        _require(0 < self.temperature < float("inf"), "temperature", "above 0", self.temperature)
        _require(0 <= self.alpha <= 1, "alpha", "from 0 to 1", self.alpha)
        for name in (
            "feature_weight",
            "hidden_weight",
            "mean_weight",
            "variance_weight",
            "attention_weight",
        ):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in ("teacher_hidden", "teacher_attention"):
            text = getattr(self, name)
            _require(text.count("{}") == 1, name, "a layer name with {} for its number", text)


def _require(holds: bool, name: str, wanted: str, received: object) -> None:
    if not holds:
        raise SpecError(name, f"must be {wanted}. Received: {received!r}")

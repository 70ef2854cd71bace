"""Hardware model of Edge-TPU-class accelerators: graphs, targets, cost. Standard library and NumPy only.

`estimate(model, target="pixel6")` costs a model, spec, graph or `.tflite` file.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw_model.cost import CostReport as CostReport
    from hw_model.estimator import estimate as estimate
    from hw_model.targets import Target as Target
    from hw_model.targets import list_targets as list_targets
    from hw_model.targets import load_target as load_target

__all__ = ["CostReport", "Target", "estimate", "list_targets", "load_target"]

_HOMES = {
    "CostReport": "hw_model.cost", "Target": "hw_model.targets", "estimate": "hw_model.estimator",
    "list_targets": "hw_model.targets", "load_target": "hw_model.targets",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hw_model' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)

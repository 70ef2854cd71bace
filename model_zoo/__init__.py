"""Keras model zoo of Edge-TPU-class networks: list, create, load. Keras loads with the first model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model_zoo.catalogue import list_models
    from model_zoo.create import create_model, create_spec
    from model_zoo.preprocessing import Preprocessing
    from model_zoo.presets import load_model, save_preset
    from model_zoo.spec import ModelSpec

_HOMES = {
    "ModelSpec": "model_zoo.spec",
    "Preprocessing": "model_zoo.preprocessing",
    "create_model": "model_zoo.create",
    "create_spec": "model_zoo.create",
    "list_models": "model_zoo.catalogue",
    "load_model": "model_zoo.presets",
    "save_preset": "model_zoo.presets",
}

__all__ = [
    "ModelSpec",
    "Preprocessing",
    "create_model",
    "create_spec",
    "list_models",
    "load_model",
    "save_preset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'model_zoo' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

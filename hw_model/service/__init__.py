"""The cost service: costs computed by a pool of processes and asked for over gRPC, by the interface of an evaluator."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw_model.service.address import connect as connect
    from hw_model.service.client import CostClient as CostClient
    from hw_model.service.server import CostServer as CostServer
    from hw_model.service.settings import ServerSettings as ServerSettings

__all__ = ["CostClient", "CostServer", "ServerSettings", "connect"]

_HOMES = {
    "CostClient": "hw_model.service.client", "CostServer": "hw_model.service.server",
    "ServerSettings": "hw_model.service.settings", "connect": "hw_model.service.address",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for: gRPC is an extra."""
    if name not in _HOMES:
        raise AttributeError(f"module 'hw_model.service' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)

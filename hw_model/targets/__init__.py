"""Accelerators as data: one TOML file each, every constant with unit and source."""

from hw_model.targets.loader import list_targets, load_target
from hw_model.targets.target import Target

__all__ = ["Target", "list_targets", "load_target"]

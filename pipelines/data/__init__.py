"""Labelled images from anywhere, as deterministic batches of NumPy arrays."""

from pipelines.data.augment import Augmentation
from pipelines.data.batches import Batches, LabelBatches, as_keras
from pipelines.data.calibration import calibration_samples, check_distinct
from pipelines.data.dataset import (
    IGNORED,
    ArraySplit,
    BoxArraySplit,
    BoxSplit,
    ImageDataset,
    LabelSplit,
    MaskArraySplit,
    MaskSplit,
    Objects,
    Split,
    SubSplit,
    subset,
)
from pipelines.data.sources import load_dataset, source_names

__all__ = [
    "IGNORED",
    "ArraySplit",
    "Augmentation",
    "Batches",
    "BoxArraySplit",
    "BoxSplit",
    "ImageDataset",
    "LabelBatches",
    "LabelSplit",
    "MaskArraySplit",
    "MaskSplit",
    "Objects",
    "Split",
    "SubSplit",
    "as_keras",
    "calibration_samples",
    "check_distinct",
    "load_dataset",
    "source_names",
    "subset",
]

"""Makes the strategies beside this file importable, and offers one small model for all tests here."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def small() -> Any:
    """MobileNetEdgeTPUv2-Tiny at a quarter of its width, 28x28x1, 10 classes, random weights."""
    import model_zoo

    return model_zoo.create_model(
        "mobilenet_edgetpu_v2_tiny",
        num_classes=10,
        input_shape=(28, 28, 1),
        strides="fit",
        width=0.25,
    )

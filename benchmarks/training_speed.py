"""Measures training at 28 px and what the input pipeline takes of a step. Writes results/training_speed.json."""

import argparse
import statistics
import time
from typing import Any

from record import Column, save

from pipelines.data import LabelBatches, load_dataset
from pipelines.train import load_recipe

NETWORKS = (("mobilenet_edgetpu_v2_tiny", 1.0), ("mobilenet_edgetpu_v2_tiny", 0.5))


def median_ms(job: Any, count: int) -> float:
    """Median wall time of `count` calls, after one that is not counted."""
    job()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        job()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def measure(name: str, width: float, steps: int) -> dict[str, Any]:
    """One network's training step and the making of its batch, by the shipped recipe."""
    import keras

    from model_zoo.create import create_model

    recipe = load_recipe("fashion_mnist_tiny")
    data = load_dataset("embedded")
    model = create_model(
        name, num_classes=data.num_classes, input_shape=(28, 28, 1), strides="fit", width=width
    )
    batches = LabelBatches(
        data.train,
        batch_size=recipe.batch_size,
        num_classes=data.num_classes,
        preprocessing=model.preprocessing,
        augmentation=recipe.augmentation,
        training=True,
    )
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, use_ema=True),
        "categorical_crossentropy",
        jit_compile=False,
    )
    images, targets = batches[0]
    step_ms = median_ms(lambda: model.train_on_batch(images, targets), steps)
    input_ms = median_ms(lambda: batches[1], 50)
    forward_ms = median_ms(lambda: model.predict_on_batch(images), steps)
    return {
        "network": name if width == 1.0 else f"{name}, width {width}",
        "batch": batches.batch_size,
        "step_ms": round(step_ms, 1),
        "input_ms": round(input_ms, 2),
        "input_percent": round(100 * input_ms / step_ms, 2),
        "train_per_second": round(1e3 * batches.batch_size / step_ms),
        "predict_per_second": round(1e3 * batches.batch_size / forward_ms),
    }


def main() -> None:
    """One row per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12, help="steps timed for each network")
    steps = parser.parse_args().steps
    save(
        "training_speed",
        command="python benchmarks/training_speed.py",
        columns=[
            Column(key="network", heading="Network at 28x28x1"),
            Column(key="batch", heading="Batch"),
            Column(key="step_ms", heading="Step ms", format=".1f"),
            Column(key="input_ms", heading="Batch and augmentation ms", format=".2f"),
            Column(key="input_percent", heading="% of a step", format=".2f"),
            Column(key="train_per_second", heading="Images/s training", format=","),
            Column(key="predict_per_second", heading="Images/s inference", format=","),
        ],
        rows=[measure(name, width, steps) for name, width in NETWORKS],
        notes=["TensorFlow backend, XLA off, medians."],
    )


if __name__ == "__main__":
    main()

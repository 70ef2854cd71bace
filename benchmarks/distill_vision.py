"""What a teacher brings a small classifier: the same student, steps and seeds with and without one.

python benchmarks/distill_vision.py

The student is a quarter as wide as its teacher, a preset that ships, and sees a part of its teacher's training
images. Every run is kept as it goes: the same command goes on.
"""

import argparse
import json
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from record import Column, save

from model_zoo import create_model, presets
from pipelines.cli.frameworks import load_keras
from pipelines.data import ImageDataset, load_dataset
from pipelines.tasks import evaluate
from pipelines.train import load_recipe, train

STUDENT, WIDTH = "mobilenet_edgetpu_v2_tiny", 0.25
TEACHER = "mobilenet_edgetpu_v2_tiny_fashion_mnist"
DATA, RECIPE = "fashion_mnist", "distill_small"


def top1(name: str, seed: int, data: ImageDataset, args: argparse.Namespace) -> tuple[float, Any]:
    """Top-1 in percent of the run of this name and seed, which is finished first; and the student's size."""
    import keras

    keras.utils.set_random_seed(seed)
    student = create_model(
        STUDENT,
        num_classes=data.num_classes,
        input_shape=data.image_shape,
        width=WIDTH,
        strides="fit",
    )
    folder = args.out / f"{name}_{seed}"
    if not (folder / "result.json").exists():
        recipe = load_recipe(RECIPE)
        teacher = create_model(TEACHER) if name == "taught" else None
        if teacher is None:
            recipe = replace(recipe, distillation=None)
        train(
            student,
            data,
            recipe,
            run_dir=folder,
            teacher=teacher,
            resume=True,
            seed=seed,
            verbose=2,
        )
    result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return 100 * result["metrics"]["top1"], student.count_params()


def main() -> None:
    """Every seed without and with the teacher; means and the spread between seeds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("studies/distill_vision"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-images", type=int, default=6_000)
    args = parser.parse_args()
    load_keras()
    whole = load_dataset(DATA)
    part = whole.train.part(range(args.train_images))
    data = replace(whole, splits={**whole.splits, "train": part})
    teacher = 100 * evaluate(create_model(TEACHER), data.test)["top1"]
    rows = []
    for name in ("alone", "taught"):
        found = [top1(name, seed, data, args) for seed in range(args.seeds)]
        values = [value for value, _ in found]
        rows.append(
            {
                "student": name,
                "params": found[0][1],
                "top1": round(statistics.mean(values), 2),
                "spread": round(statistics.stdev(values), 2) if len(values) > 1 else None,
                "each": ", ".join(f"{value:.2f}" for value in values),
            }
        )
        print(rows[-1], file=sys.stderr, flush=True)
    save(
        "distill_vision",
        command="python benchmarks/distill_vision.py",
        columns=[
            Column(key="student", heading="Student"),
            Column(key="params", heading="Parameters", format=","),
            Column(key="top1", heading="Top-1, %", format=".2f"),
            Column(key="spread", heading="Standard deviation", format=".2f"),
            Column(key="each", heading="Each seed"),
        ],
        rows=rows,
        notes=[
            f"Teacher: {TEACHER}, {presets.get(TEACHER).param_count:,} parameters, {teacher:.2f} % on the same "
            f"{len(data.test):,} test images; it was trained on all {len(whole.train):,} training images, the "
            f"students on {args.train_images:,} of them, recipe {RECIPE}.",
        ],
    )


if __name__ == "__main__":
    main()

"""One small network in floats, rounded, pruned and clustered: accuracy, bytes, bytes behind gzip, and latency.

python benchmarks/compression.py

A network of a quarter's width, which 8 bits, zeros and clusters hurt more than a whole one. Every method starts from
the same float network of its seed and trains as many epochs more; one row trains on in floats, so that the epochs
themselves are no merit. Files of 4-bit weights do not exist here, so those rows are simulated. Every row is kept as
it ends: the same command goes on from there.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from record import Column, save

from hw_model import estimate
from hw_model.files import write_json
from model_zoo import create_model
from pipelines.compress.measure import kernels_of, size_of, weight_size, zero_share
from pipelines.compress.methods import cluster, prune
from pipelines.compress.quantize import Keep, Rounded, train_rounded, write_file
from pipelines.data import ImageDataset, load_dataset
from pipelines.export import evaluate_tflite, export_int8
from pipelines.tasks import evaluate
from pipelines.train import Recipe, load_recipe, train
from pipelines.train.aware import train_quantize_aware

ARCHITECTURE = "mobilenet_edgetpu_v2_tiny"
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What every form of one seed is made of."""

    args: argparse.Namespace
    data: ImageDataset
    seed: int

    @property
    def folder(self) -> Path:
        return Path(self.args.out) / f"seed_{self.seed}"

    def recipe(self, name: str, epochs: int) -> Recipe:
        """A recipe of this length, with as many batches to an epoch as asked for."""
        recipe = load_recipe(name).with_epochs(epochs)
        return replace(recipe, steps_per_epoch=self.args.steps)

    def more(self, name: str) -> Recipe:
        """The recipe of a method."""
        return self.recipe(name, self.args.more_epochs)

    def base(self) -> Any:
        """The trained float network; what it was built from decides nothing else."""
        import keras

        keras.utils.set_random_seed(self.seed)
        model = create_model(
            ARCHITECTURE,
            num_classes=self.data.num_classes,
            input_shape=self.data.image_shape,
            width=self.args.width,
            strides="fit",
        )
        weights = self.folder / "float" / "final.weights.h5"
        if weights.exists():
            model.load_weights(weights)
            model.weights_origin = "trained"
            return model
        recipe = self.recipe("fashion_mnist_tiny", self.args.epochs)
        train(model, self.data, recipe, run_dir=weights.parent, resume=True, seed=self.seed)
        return model

    def of_floats(self, model: Any) -> Row:
        """A row of a Keras network."""
        size = weight_size(model)
        return {
            "accuracy": evaluate(model, self.data.test)["top1"],
            "bytes": size.raw_bytes,
            "gzip_bytes": size.gzip_bytes,
            "zeros": zero_share(kernels_of(model)),
        }

    def of_file(self, path: Path, model: Any) -> Row:
        """A row of an int8 file made from `model`."""
        size = size_of(path.read_bytes())
        metrics = evaluate_tflite(path, self.data.test, model.preprocessing)
        return {
            "accuracy": metrics["top1"],
            "bytes": size.raw_bytes,
            "gzip_bytes": size.gzip_bytes,
            "zeros": zero_share(kernels_of(model)),
            "latency_ms": estimate(path, target=self.args.target).latency_ms,
        }

    def after_training(self, model: Any, shown: Any = None) -> Row:
        """A row of `model` quantized after training; `shown` has its weights where it is wrapped."""
        path = self.folder / "form.tflite"
        export_int8(model, self.data, path)
        return self.of_file(path, shown or model)

    def rounded(self, model: Any, keep: Keep | None = None) -> Row:
        """A row of the file of model optimization's own quantization-aware training."""
        found: Rounded = train_rounded(
            model, self.data, self.more("quantize_aware"), keep=keep, seed=self.seed
        )
        path = self.folder / "rounded.tflite"
        write_file(found, self.data, path)
        return self.of_file(path, found.model)

    def aware(self, model: Any, **rounding: Any) -> Any:
        """The network after this project's quantization-aware training."""
        bits = rounding.get("weight_bits", 8)
        found, _ = train_quantize_aware(
            model,
            self.data,
            self.more("quantize_aware"),
            run_dir=self.folder / f"aware_{bits}",
            resume=True,
            seed=self.seed,
            **rounding,
        )
        return found

    def pruned(self, sparsity: float) -> Any:
        """The network with this share of zeros."""
        recipe = self.more("prune")
        recipe = replace(recipe, pruning=replace(recipe.pruning, sparsity=sparsity))
        return prune(self.base(), self.data, recipe, seed=self.seed).model

    def clustered(self, clusters: int) -> Any:
        """The network with so many different weights in a kernel."""
        recipe = self.more("cluster")
        recipe = replace(recipe, clustering=replace(recipe.clustering, clusters=clusters))
        return cluster(self.base(), self.data, recipe, seed=self.seed).model


def trained_on(bench: Bench) -> Row:
    """As many epochs more in floats."""
    model = bench.base()
    run_dir = bench.folder / "longer"
    recipe = bench.more("quantize_aware")
    train(model, bench.data, recipe, run_dir=run_dir, resume=True, seed=bench.seed)
    return bench.after_training(model)


def own_qat(bench: Bench) -> Row:
    """This project's quantization-aware training."""
    model = bench.base()
    return bench.after_training(bench.aware(model), model)


def four_bits(bench: Bench, *, trained: bool) -> Row:
    """Weights of 4 bits, simulated; rounded after training, or trained so."""
    from model_zoo.nn.quantize_aware import quantize_aware

    model = bench.base()
    if trained:
        network = bench.aware(model, weight_bits=4)
    else:
        inputs = model.preprocessing(bench.data.train.read(range(128)))
        network = quantize_aware(model, [inputs], weight_bits=4)
    return {"accuracy": evaluate(network, bench.data.test)["top1"]}


FORMS: dict[str, Callable[[Bench], Row]] = {
    "float": lambda b: b.of_floats(b.base()),
    "int8": lambda b: b.after_training(b.base()),
    "int8, trained on in floats": trained_on,
    "int8, QAT": own_qat,
    "int8, QAT by model optimization": lambda b: b.rounded(b.base()),
    "int8, 50 % pruned": lambda b: b.after_training(b.pruned(0.5)),
    "int8, 75 % pruned": lambda b: b.after_training(b.pruned(0.75)),
    "int8, 75 % pruned, QAT that keeps zeros": lambda b: b.rounded(b.pruned(0.75), "zeros"),
    "int8, 16 clusters": lambda b: b.after_training(b.clustered(16)),
    "int8, 16 clusters, QAT that keeps them": lambda b: b.rounded(b.clustered(16), "clusters"),
    "4-bit weights": lambda b: four_bits(b, trained=False),
    "4-bit weights, QAT": lambda b: four_bits(b, trained=True),
}
#: Options that decide a row.
SETTINGS = ("data", "width", "epochs", "more_epochs", "steps", "target")
COLUMNS = [
    Column(key="form", heading="Form"),
    Column(key="accuracy", heading="Top-1, %", format=".2f"),
    Column(key="deviation", heading="± over seeds", format=".2f"),
    Column(key="zeros", heading="Zeros, %", format=".0f"),
    Column(key="bytes", heading="Bytes", format=","),
    Column(key="gzip_bytes", heading="Bytes, gzip", format=","),
    Column(key="latency_ms", heading="Latency, ms", format=".3f"),
]


def row_of(form: str, found: list[Row]) -> Row:
    """The mean over seeds, and the standard deviation of accuracy."""
    accuracies = [100 * row["accuracy"] for row in found]
    row: Row = {
        "form": form,
        "accuracy": round(statistics.mean(accuracies), 2),
        "deviation": round(statistics.stdev(accuracies), 2) if len(found) > 1 else None,
        "accuracy_each": ", ".join(f"{value:.2f}" for value in accuracies),
    }
    for key, scale in (("zeros", 100), ("bytes", 1), ("gzip_bytes", 1), ("latency_ms", 1)):
        values = [scale * each[key] for each in found if key in each]
        mean = statistics.mean(values) if values else None
        row[key] = round(mean) if key.endswith("bytes") and mean is not None else mean
    return row


def main() -> None:
    """Every form for every seed; the table when all are there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="runs/compression", help="where rows and runs are kept")
    parser.add_argument("--data", default="fashion_mnist")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--epochs", type=int, default=6, help="of the float network")
    parser.add_argument("--more-epochs", type=int, default=2, help="of each method")
    parser.add_argument("--steps", type=int, default=0, help="batches an epoch has (default: all)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--target", default="coral_devboard")
    parser.add_argument("--forms", nargs="*", metavar="WORD", help="only those with all the words")
    args = parser.parse_args()
    data = load_dataset(args.data)
    kept = Path(args.out) / "rows.json"
    settings = {name: getattr(args, name) for name in SETTINGS}
    held = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    if held.setdefault("settings", settings) != settings:
        parser.error(f"{kept} holds rows of other settings, {held['settings']}; name another --out")
    rows: list[Row] = held.setdefault("rows", [])
    wanted = [form for form in FORMS if all(word in form for word in args.forms or ())]
    for seed in range(args.seeds):
        bench = Bench(args=args, data=data, seed=seed)
        for form in wanted:
            if any((row["form"], row["seed"]) == (form, seed) for row in rows):
                continue
            rows.append({"form": form, "seed": seed, **FORMS[form](bench)})
            write_json(kept, held)
            print(rows[-1], flush=True)
    if wanted != list(FORMS):
        return  # a part is no table
    save(
        "compression",
        command="python benchmarks/compression.py",
        columns=COLUMNS,
        rows=[row_of(form, [row for row in rows if row["form"] == form]) for form in FORMS],
        notes=[
            f"{ARCHITECTURE} at width {args.width:g} on {data.name}, {len(data.test):,} test images, {args.seeds} "
            f"seeds; {args.epochs} epochs in floats, {args.more_epochs} more for each method but float and int8.",
            "Zeros: of all kernels but depthwise ones. Bytes: of the weights in floats, of the whole file in int8.",
            f"Latency: predicted for {args.target}, which computes zeros as everything else. "
            "4-bit weights are simulated: there is no file.",
        ],
    )


if __name__ == "__main__":
    main()

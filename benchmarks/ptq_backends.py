"""TensorFlow's converter against AI Edge Quantizer, and which ranking finds the layers to keep in more bits.

Writes results/ptq_backends.json and results/precision_ranking.json.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from record import Column, save

from model_zoo import presets
from pipelines.data import load_dataset
from pipelines.data.dataset import ImageDataset, subset
from pipelines.export import evaluate_tflite
from pipelines.export.convert import convert
from pipelines.export.export import prepare_rounding
from pipelines.export.inspector import Inspector, LayerNoise
from pipelines.export.precision import Policy, keeping
from pipelines.tasks import METRIC_WORDS, evaluate, task_of

#: Test images: enough to see a difference of a point.
IMAGES = 500
SAMPLES = 64
PRESETS = {
    "mobilenet_edgetpu_v2_tiny_fashion_mnist": "fashion_mnist",
    "autoseg_edgetpu_xs_composed_scenes": "composed_scenes",
    "spaghettinet_edgetpu_s_composed_scenes": "composed_scenes_boxes",
}
RANKED = "mobilenet_edgetpu_v2_tiny_fashion_mnist"
KEPT = (0, 4, 8, 16, 32)
COMMAND = "python benchmarks/ptq_backends.py"


def _loaded(name: str) -> tuple[Any, ImageDataset]:
    model = presets.load_model(name)
    return model, load_dataset(PRESETS[name], image_size=tuple(model.input_shape[1:3]))


def _silent(*_: Any) -> None:
    """A report to nobody."""


def backends(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """A preset's float model, and its int8 files by both."""
    model, dataset = _loaded(name)
    test = subset(dataset.test, IMAGES)
    headline = task_of(test).HEADLINE
    row = {"preset": name, "images": len(test), "metric": METRIC_WORDS[headline]}
    yield {**row, "by": "float", "percent": 100 * evaluate(model, test)[headline]}
    prepared = prepare_rounding(model, dataset.train, calibration_count=SAMPLES)
    inspector = Inspector(prepared)

    def by_converter() -> bytes:
        return convert(model, prepared.samples, _silent).int8

    def by_quantizer() -> bytes:
        return prepared.rounding.apply(Policy(), name=name)

    makers: dict[str, Callable[[], bytes]] = {
        "TensorFlow's converter": by_converter,
        "AI Edge Quantizer": by_quantizer,
    }
    for label, make in makers.items():
        started = time.perf_counter()
        content = make()
        seconds = time.perf_counter() - started
        path = folder / "net.tflite"
        path.write_bytes(prepared.finish(content))
        metric = evaluate_tflite(path, test, model.preprocessing)[headline]
        yield {
            **row,
            "by": label,
            "percent": 100 * metric,
            "output_db": inspector.output_db(content),
            "bytes": len(content),
            "seconds": seconds,
        }


def rankings(name: str) -> Iterator[dict[str, Any]]:
    """Signal to noise of the outputs when the first layers of each ranking are kept."""
    model, dataset = _loaded(name)
    prepared = prepare_rounding(model, dataset.train, calibration_count=SAMPLES)
    inspector = Inspector(prepared)
    ranked = inspector.ranking()

    def by(key: Callable[[LayerNoise], float]) -> tuple[str, ...]:
        return tuple(noise.layer for noise in sorted(ranked, key=key))

    orders = {
        "noise of the layer alone, with its readers": inspector.order(ranked),
        "noise of the layer alone": tuple(noise.layer for noise in ranked),
        "lost between inputs and output": by(lambda noise: -noise.lost_db),
        "with all noise before": by(lambda noise: noise.sqnr_db),
    }
    for precision in ("float32", "int16"):
        for label, order in orders.items():
            row: dict[str, Any] = {"ranking": label, "precision": precision}
            for kept in KEPT:
                policy = keeping(order[:kept], precision)
                row[f"kept_{kept}"] = inspector.output_db(
                    prepared.rounding.apply(policy, name=name)
                )
            yield row


def main() -> None:
    """Both tables."""
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for name in PRESETS:
            for row in backends(name, Path(folder)):
                rows.append(row)
                print(row, flush=True)
    save(
        "ptq_backends",
        command=COMMAND,
        columns=[
            Column(key="preset", heading="Preset"),
            Column(key="images", heading="Test images"),
            Column(key="by", heading="Rounded by"),
            Column(key="metric", heading="Metric"),
            Column(key="percent", heading="%", format=".2f"),
            Column(key="output_db", heading="Outputs, dB", format=".1f"),
            Column(key="bytes", heading="Bytes", format=","),
            Column(key="seconds", heading="Seconds", format=".1f"),
        ],
        rows=rows,
        notes=[
            f"Both have the least and largest values of the same {SAMPLES} samples. Seconds of the converter hold the "
            "conversion to a float file and the calibration, which the quantizer's do not; the machine was busy."
        ],
    )
    save(
        "precision_ranking",
        command=COMMAND,
        columns=[
            Column(key="ranking", heading="Layers kept by"),
            Column(key="precision", heading="In"),
            *(Column(key=f"kept_{k}", heading=f"{k} kept, dB", format=".1f") for k in KEPT),
        ],
        rows=list(rankings(RANKED)),
        notes=[f"{RANKED}: signal to noise of the outputs on 8 samples it was calibrated on."],
    )


if __name__ == "__main__":
    main()

"""What each output of a segmentation network costs: latency at the published size, mIoU of the shipped preset.

Writes results/segmentation_outputs.json.
"""

import argparse
import tempfile
from pathlib import Path

from record import Column, save

import model_zoo
from hw_model import estimate
from pipelines.cli.frameworks import load_keras
from pipelines.data import load_dataset, subset
from pipelines.tasks.segment import score_file, score_model

PRESET = "autoseg_edgetpu_xs_composed_scenes"
#: The published network is costed at 512 px; the preset has 128, and so a quarter of the fused sizes.
PUBLISHED, PUBLISHED_SIDE = "autoseg_edgetpu_xs", 512
TARGET = "pixel6"
OUTPUTS = {
    "logits": "logits",
    "argmax": "argmax",
    "fused_argmax_256": "fused_argmax_64",
    "fused_argmax_128": "fused_argmax_32",
}


def main() -> None:
    """One row per output."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="test images (default: 2000)")
    args = parser.parse_args()
    load_keras()
    from pipelines.export import export_int8

    model = model_zoo.create_model(PRESET)
    side = model.preprocessing.height
    data = load_dataset("composed_scenes", image_size=(side, side))
    test = subset(data.test, args.images)
    floats = 100 * score_model(model, test).miou
    default_ms = 0.0
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for large, small in OUTPUTS.items():
            spec = model_zoo.create_spec(PUBLISHED, output=large)
            latency_ms = estimate(spec, target=TARGET).latency_ms
            default_ms = latency_ms if large == "argmax" else default_ms
            path = Path(folder) / f"{small}.tflite"
            certificate = export_int8(
                model.with_output(small), data.train, path, evaluate_on=None, progress=False
            )
            rounded = 100 * score_file(path, test, model.preprocessing, progress=False).miou
            rows.append(
                {
                    "output": large,
                    "latency_ms": round(latency_ms, 2),
                    "faster": round(default_ms / latency_ms, 2) if default_ms else None,
                    "here": small,
                    "int8_miou": round(rounded, 2),
                    "lost": round(floats - rounded, 2),
                    "as_predicted": "yes" if certificate.predicted_equals_converted else "no",
                }
            )
            print(rows[-1], flush=True)
    save(
        "segmentation_outputs",
        command="python benchmarks/segmentation_outputs.py",
        columns=[
            Column(key="output", heading=f"Output at {PUBLISHED_SIDE} px"),
            Column(key="latency_ms", heading=f"{PUBLISHED} on {TARGET}, ms", format=".2f"),
            Column(key="faster", heading="Argmax takes times as long", format=".2f"),
            Column(key="here", heading=f"Output of the preset, {side} px"),
            Column(key="int8_miou", heading="int8 mIoU, %", format=".2f"),
            Column(key="lost", heading="Lost against float, points", format="+.2f"),
            Column(key="as_predicted", heading="Predicted = converted"),
        ],
        rows=rows,
        notes=[
            f"mIoU of {PRESET} on {len(test):,} test scenes; its float logits, resized, reach {floats:.2f} %. "
            "Latencies are predictions."
        ],
    )


if __name__ == "__main__":
    main()

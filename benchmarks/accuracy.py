"""Collects what the shipped presets reached, from the weights folder's manifest. Writes results/accuracy.json."""

from collections.abc import Iterator
from typing import Any

from record import Column, save

from model_zoo import presets
from pipelines.tasks import METRIC_WORDS


def rows_of(preset: presets.Preset) -> Iterator[dict[str, Any]]:
    """A preset's figures on each split; the manifest's own test measures them again from the files."""
    examples = "images" if preset.reading is None else "questions"
    for metric in preset.metrics:
        if metric.form != "float":
            continue
        (rounded,) = (
            other.value
            for other in preset.metrics
            if other.form == "int8"
            and (other.name, other.dataset, other.split)
            == (metric.name, metric.dataset, metric.split)
        )
        yield {
            "preset": preset.name,
            "measured_on": f"{metric.dataset} {metric.split}, {metric.images:,} {examples}",
            "params": preset.param_count,
            "macs": preset.macs,
            "metric": METRIC_WORDS[metric.name],
            "float_percent": round(100 * metric.value, 2),
            "int8_percent": round(100 * rounded, 2),
            "loss_points": round(100 * (metric.value - rounded), 2),
        }


def main() -> None:
    """One row per preset that ships and split it was measured on."""
    save(
        "accuracy",
        command="python benchmarks/accuracy.py",
        columns=[
            Column(key="preset", heading="Preset"),
            Column(key="measured_on", heading="Measured on"),
            Column(key="params", heading="Parameters", format=","),
            Column(key="macs", heading="MACs", format=","),
            Column(key="metric", heading="Metric"),
            Column(key="float_percent", heading="Float, %", format=".2f"),
            Column(key="int8_percent", heading="int8, %", format=".2f"),
            Column(key="loss_points", heading="Lost, points", format="+.2f"),
        ],
        rows=[row for name in presets.names(fetched=False) for row in rows_of(presets.get(name))],
        notes=["Runs of this project, by the recipe beside each preset."],
    )


if __name__ == "__main__":
    main()

"""Collects what the shipped presets reached, from the weights folder's manifest. Writes results/accuracy.json."""

from typing import Any

from record import Column, save

from model_zoo import presets


def row_of(preset: presets.Preset) -> dict[str, Any]:
    """One preset's figures; the manifest's own test measures them again from the files."""
    float_top1, int8_top1 = preset.metric("top1"), preset.metric("top1", form="int8")
    measured = next(metric for metric in preset.metrics if metric.name == "top1")
    loss = None if None in (float_top1, int8_top1) else 100 * (float_top1 - int8_top1)
    return {
        "preset": preset.name,
        "measured_on": f"{measured.dataset} {measured.split}, {measured.images:,} images",
        "params": preset.param_count,
        "macs": preset.macs,
        "float_percent": None if float_top1 is None else round(100 * float_top1, 2),
        "int8_percent": None if int8_top1 is None else round(100 * int8_top1, 2),
        "loss_points": None if loss is None else round(loss, 2),
    }


def main() -> None:
    """One row per preset that ships."""
    save(
        "accuracy",
        command="python benchmarks/accuracy.py",
        columns=[
            Column(key="preset", heading="Preset"),
            Column(key="measured_on", heading="Measured on"),
            Column(key="params", heading="Parameters", format=","),
            Column(key="macs", heading="MACs", format=","),
            Column(key="float_percent", heading="Top-1 float, %", format=".2f"),
            Column(key="int8_percent", heading="Top-1 int8, %", format=".2f"),
            Column(key="loss_points", heading="Lost, points", format="+.2f"),
        ],
        rows=[row_of(presets.get(name)) for name in presets.names()],
        notes=["Runs of this project, by the recipe beside each preset."],
    )


if __name__ == "__main__":
    main()

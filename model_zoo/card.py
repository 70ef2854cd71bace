"""Model cards, drawn from a manifest entry: nothing in them is typed by hand."""

from model_zoo.presets import Metric, Preset

HEADER = "<!-- Drawn from MANIFEST.json; edit nothing here. -->"


def card(preset: Preset) -> str:
    """A preset's model card as Markdown."""
    size = preset.preprocessing
    reads = "text" if size is None else f"input {size.height}x{size.width}x{size.channels}"
    lines = [
        HEADER,
        f"# {preset.name}",
        "",
        f"{preset.architecture} for {preset.task}, {reads}, "
        f"{len(preset.class_names)} classes: {', '.join(preset.class_names)}.",
        "",
        "```python",
        "import model_zoo",
        f'model = model_zoo.create_model("{preset.name}")',
        "```",
        "",
        "| | |",
        "|---|---|",
        f"| Parameters | {preset.param_count:,} |",
        f"| Multiply-adds | {preset.macs:,} |",
        f"| Architecture (spec id) | `{preset.spec_id}` |",
        f"| Preprocessing | {f'(x - {size.mean:g}) / {size.scale:g}' if size else 'preprocessing.json'} |",
        f"| Licence of the weights | {preset.licence} |",
        f"| Licence of the training data | {preset.data_licence} |",
    ]
    lines += [f"| {label} | {value} |" for label, value in _files(preset)]
    lines += [
        "",
        "## Measured",
        "",
        "| Metric | Form | Data | Images | Value |",
        "|---|---|---|---|---|",
    ]
    lines += [_metric_row(metric) for metric in preset.metrics]
    lines += ["", *_training(preset)]
    return "\n".join(lines) + "\n"


def _files(preset: Preset) -> list[tuple[str, str]]:
    records = (("Weights", preset.weights), ("int8 file", preset.tflite))
    return [
        (label, f"{record.size_bytes:,} bytes, SHA-256 `{record.sha256[:16]}...`")
        for label, record in records
        if record is not None
    ]


def _metric_row(metric: Metric) -> str:
    percent = metric.name != "loss"
    value = f"{100 * metric.value:.2f} %" if percent else f"{metric.value:.4f}"
    data = f"{metric.dataset}, {metric.split}"
    return f"| {metric.name} | {metric.form} | {data} | {metric.images:,} | {value} |"


def _training(preset: Preset) -> list[str]:
    if preset.training is None:
        return ["Weights that no run of ours trained."]
    lines = ["## Trained by"]
    for run in (*preset.earlier, preset.training):
        tools = ", ".join(f"{name} {version}" for name, version in run.tools)
        lines += [
            "",
            "```bash",
            run.command,
            "```",
            "",
            f"Recipe `{run.recipe}` ({run.recipe_id}), seed {run.seed}, {run.epochs} epochs on {run.dataset}, "
            f"{run.wall_time_s / 60:.0f} minutes on {run.hardware}. {tools}.",
        ]
    return lines

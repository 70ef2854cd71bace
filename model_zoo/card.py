"""Model cards, drawn from a manifest entry: nothing in them is typed by hand."""

from model_zoo.manifest import Metric, Preset, Reading
from model_zoo.text.questions import QuestionSettings

HEADER = "<!-- Drawn from MANIFEST.json; edit nothing here. -->"


def card(preset: Preset) -> str:
    """A preset's model card as Markdown."""
    examples = "Images" if preset.reading is None else "Questions"
    lines = [
        HEADER,
        f"# {preset.name}",
        "",
        f"{preset.architecture} for {preset.task}, {_reads(preset)}{_classes(preset)}.",
        "",
        "```python",
        "import model_zoo",
        f'model = model_zoo.create_model("{preset.name}")',
        "```",
        "",
        *_use(preset),
        "| | |",
        "|---|---|",
        f"| Parameters | {preset.param_count:,} |",
        f"| Multiply-adds | {preset.macs:,} |",
        f"| Architecture (spec id) | `{preset.spec_id}` |",
        f"| Preprocessing | {_prepared(preset)} |",
        f"| Licence of the weights | {preset.licence} |",
        f"| Licence of the training data | {preset.data_licence} |",
    ]
    lines += [f"| {label} | {value} |" for label, value in _files(preset)]
    lines += [*_measured(preset, examples), *_compared(preset, examples), ""]
    lines += [*_source(preset), *_training(preset)]
    return "\n".join(lines) + "\n"


def _reads(preset: Preset) -> str:
    size, reading = preset.preprocessing, preset.reading
    if size is not None:
        return f"input {size.height}x{size.width}x{size.channels}"
    if reading is None or reading.settings is None:
        return "input text"
    return f"input {reading.settings.sequence_length} word pieces"


def _classes(preset: Preset) -> str:
    """Empty for a network whose answers are parts of a text."""
    if preset.reading is not None and not preset.class_names:
        return ""
    return f", {len(preset.class_names)} classes: {', '.join(preset.class_names)}"


def _use(preset: Preset) -> list[str]:
    """How a network is asked that no picture can be shown to."""
    if preset.reading is None or not isinstance(preset.reading.settings, QuestionSettings):
        return []
    asked = f'edgezoo answer {preset.name} --question "..." --context text.txt'
    return ["```bash", asked, "```", ""]


def _prepared(preset: Preset) -> str:
    size, reading = preset.preprocessing, preset.reading
    if size is not None:
        return f"(x - {_number(size.mean)}) / {_number(size.scale)}"
    return "none" if reading is None else _layout(reading)


def _number(value: float | tuple[float, ...]) -> str:
    """One number, or one for each channel."""
    return f"{value:g}" if isinstance(value, float) else f"({', '.join(f'{x:g}' for x in value)})"


def _layout(reading: Reading) -> str:
    words = f"`vocab.txt`, {reading.tokens:,} word pieces"
    if not isinstance(reading.settings, QuestionSettings):
        return words
    settings = reading.settings
    return (
        f"{words}; a window every {settings.doc_stride} of them over a long text; questions of up to "
        f"{settings.max_query_length}, answers of up to {settings.max_answer_length}"
    )


def _measured(preset: Preset, examples: str) -> list[str]:
    if not preset.metrics:
        return []
    return [
        "",
        "## Measured",
        "",
        f"| Metric | Form | Data | {examples} | Value |",
        "|---|---|---|---|---|",
        *map(_metric_row, preset.metrics),
    ]


def _compared(preset: Preset, examples: str) -> list[str]:
    """Other networks' figures, if there are any."""
    if not preset.compared:
        return []
    lines = [
        "",
        "Beside it, on the same data:",
        "",
        f"| Network | Metric | Form | Data | {examples} | Value |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {other.name} {_metric_row(metric)}"
        for other in preset.compared
        for metric in other.metrics
    ]


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


def _source(preset: Preset) -> list[str]:
    """Files of others, by the sums that identify them."""
    if preset.source is None:
        return []
    rows = [
        f"| `{file.path}` | {file.size_bytes:,} | `{file.sha256}` |" for file in preset.source.files
    ]
    return [
        "## Read from",
        "",
        preset.source.origin,
        "",
        "| File | Bytes | SHA-256 |",
        "|---|---|---|",
        *rows,
        "",
    ]


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

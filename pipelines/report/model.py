"""A model as a page: what it is, what it costs, how it was trained, and what others published."""

from hw_model import estimate
from model_zoo.presets import Preset
from model_zoo.spec import Spec
from pipelines.report.cost import cost_section
from pipelines.report.markup import el, join, table
from pipelines.report.page import Section, figures, note
from pipelines.report.published import published_figures
from pipelines.report.training import percent
from pipelines.report.winner import architecture_table


def model_sections(
    name: str, spec: Spec, *, target: str, preset: Preset | None = None
) -> list[Section]:
    """The sections of one architecture or preset."""
    sections = [_architecture(spec)]
    if preset is not None:
        sections.append(_measured(preset))
    sections.append(cost_section(estimate(spec, target=target)))
    published = published_figures(name)
    if published:
        rows = [(item.what, f"{item.value:g} {item.unit}", item.source) for item in published]
        body = join(
            (
                note(
                    "Figures of others on their data and devices; none was measured by this project."
                ),
                table(("figure", "value", "source"), rows, numeric=(1,)),
            )
        )
        sections.append(Section(title="Published", body=body))
    return sections


def _architecture(spec: Spec) -> Section:
    graph = spec.graph()
    shown = figures(
        (
            (f"{graph.param_count:,}", "parameters"),
            (f"{graph.macs / 1e6:,.1f} M", "multiply-adds"),
            ("×".join(map(str, spec.input.shape)), "input"),
            (spec.num_classes or "none", "classes"),
        )
    )
    identity = note("Family ", spec.family, ", spec ", el("code", spec.spec_id), ".")
    return Section(title="Architecture", body=join((shown, identity, architecture_table(spec))))


def _measured(preset: Preset) -> Section:
    examples = "images" if preset.reading is None else "questions"
    named = [("", metric) for metric in preset.metrics]
    named += [(f", {other.name}", metric) for other in preset.compared for metric in other.metrics]
    rows = [
        (
            f"{metric.name} ({metric.form}{whose})",
            f"{metric.value:.4f}" if metric.name == "loss" else percent(metric.value),
            f"{metric.images:,} {examples} of {metric.dataset}, {metric.split} split",
        )
        for whose, metric in named
    ]
    run = preset.training
    origin = (
        "No training is recorded."
        if run is None
        else f"Trained on {run.dataset} by recipe {run.recipe} ({run.epochs} epochs, seed {run.seed}) in "
        f"{run.wall_time_s / 60:.0f} minutes on {run.hardware}."
    )
    licence = f"Weights: {preset.licence}; data: {preset.data_licence}."
    body = join(
        (
            el("p", f"{origin} {licence}"),
            table(("metric", "value", "on"), rows, numeric=(1,)),
            el("pre", run.command) if run is not None else None,
        )
    )
    return Section(title="Measured", body=body)

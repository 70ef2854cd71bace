"""The architecture a study found: its table, how it differs from the published ones, and its cost layer by layer."""

from dataclasses import dataclass

from hw_model import CostReport, codec, estimate
from model_zoo import create_spec, registry
from model_zoo.spec import BifpnHead, DeepLabHead, ModelSpec, Spec, diff, image_spec
from pipelines.report.architecture import HEADINGS, architecture, cells
from pipelines.report.cost import cost_section
from pipelines.report.markup import Html, el, join, table
from pipelines.report.page import Section
from pipelines.search import Study, Trial

#: What a network of the space around a family is compared with.
_PUBLISHED = {
    "mobilenet_edgetpu_v2": ("tiny", "s"),
    "autoseg_edgetpu": ("xs", "s", "m"),
    "spaghettinet_edgetpu": ("s", "m", "l"),
}


@dataclass(frozen=True, slots=True)
class _Compared:
    name: str
    spec: ModelSpec
    report: CostReport


def winner_sections(study: Study, winner: Trial) -> list[Section]:
    """Architecture and cost of the best trial."""
    spec: ModelSpec = codec.from_data(ModelSpec, dict(winner.spec))
    target = study.manifest.config.target
    own = _Compared(f"winner {winner.key}", spec, estimate(spec, target=target))
    others = [
        _Compared(name, other, estimate(other, target=target))
        for name, other in published_twins(spec, width=study.manifest.config.width)
    ]
    body = join(
        (
            _comparison([own, *others]) if others else None,
            el("h3", "Blocks"),
            architecture_table(spec),
            join(_difference(other, own) for other in others),
        )
    )
    return [
        Section(title="The winner", body=body),
        cost_section(own.report, title=f"The winner's cost on {target}"),
    ]


def architecture_table(spec: Spec) -> Html:
    """One row per stack; a plus marks residuals."""
    rows = [
        [f"{cell:,}" if isinstance(cell, int) else cell for cell in cells(row)]
        for row in architecture(spec)
    ]
    return table(HEADINGS, rows, numeric=(2, 3, 4, 8, 9))


def published_twins(spec: ModelSpec, *, width: float = 1.0) -> list[tuple[str, ModelSpec]]:
    """Published sizes of the spec's family, fitted to its input, classes and output, at a width of the space."""
    size, head = spec.input, spec.head
    output = head.output.name if isinstance(head, BifpnHead | DeepLabHead) else None
    return [
        (
            name if width == 1.0 else f"{name} at width {width:g}",
            image_spec(
                create_spec(
                    name,
                    num_classes=head.num_classes if head else None,
                    input_shape=(size.height, size.width, size.channels),
                    width=width,
                    strides="fit",
                    output=output,
                )
            ),
        )
        for name in (f"{spec.family}_{suffix}" for suffix in _PUBLISHED.get(spec.family, ()))
        if name in registry.entries()
    ]


def _comparison(items: list[_Compared]) -> Html:
    rows = [
        (
            item.name,
            f"{item.report.latency_ms:.3f}",
            f"{item.report.energy_mj:.3f}",
            f"{item.report.macs / 1e6:,.1f}",
            f"{item.spec.graph().param_count / 1e6:,.2f}",
            f"{item.report.utilization:.0%}",
        )
        for item in items
    ]
    headings = ("", "latency, ms", "energy, mJ", "MACs, M", "parameters, M", "of peak")
    return table(headings, rows, numeric=range(1, 6))


def _difference(other: _Compared, own: _Compared) -> Html:
    lines = diff(other.spec, own.spec)
    text = "\n".join(lines) or "The two are equal."
    return el(
        "details",
        el("summary", f"Differences from {other.name} at this image size ({len(lines)} lines)"),
        el("pre", text),
    )

"""The architecture a study found: its table, how it differs from the published ones, and its cost layer by layer."""

from dataclasses import dataclass, replace
from typing import Any

from hw_model import CostReport, estimate
from model_zoo import create_spec, registry
from model_zoo.spec import BifpnHead, DeepLabHead, Spec, TextSpec, diff, from_data, text_spec
from pipelines.report.architecture import HEADINGS, architecture, cells
from pipelines.report.cost import cost_section
from pipelines.report.markup import Html, el, join, table
from pipelines.report.page import Section
from pipelines.search import Study, Trial
from pipelines.search.spaces.mobilebert_edgetpu import at_width

#: What a network of the space around a family is compared with.
_PUBLISHED = {
    "mobilenet_edgetpu_v2": ("mobilenet_edgetpu_v2_tiny", "mobilenet_edgetpu_v2_s"),
    "autoseg_edgetpu": tuple(f"autoseg_edgetpu_{size}" for size in ("xs", "s", "m")),
    "spaghettinet_edgetpu": tuple(f"spaghettinet_edgetpu_{size}" for size in ("s", "m", "l")),
    "mobilebert_edgetpu": (
        *(f"mobilebert_edgetpu_{size}" for size in ("xxs", "xs", "s", "m")),
        "mobilebert_baseline",
    ),
}


@dataclass(frozen=True, slots=True)
class _Compared:
    name: str
    spec: Spec
    report: CostReport


def winner_sections(study: Study, winner: Trial) -> list[Section]:
    """Architecture and cost of the best trial."""
    spec = from_data(dict(winner.spec))
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


def published_twins(spec: Spec, *, width: float = 1.0) -> list[tuple[str, Spec]]:
    """Published sizes of the spec's family, fitted to its input, classes and output, at a width of the space."""
    twin = _text_twin if isinstance(spec, TextSpec) else _image_twin
    return [
        (name if width == 1.0 else f"{name} at width {width:g}", twin(name, spec, width))
        for name in _PUBLISHED.get(spec.family, ())
        if name in registry.entries()
    ]


def _image_twin(name: str, spec: Any, width: float) -> Spec:
    size, head = spec.input, spec.head
    return create_spec(
        name,
        num_classes=head.num_classes if head else None,
        input_shape=(size.height, size.width, size.channels),
        width=width,
        strides="fit",
        output=head.output.name if isinstance(head, BifpnHead | DeepLabHead) else None,
    )


def _text_twin(name: str, spec: Any, width: float) -> Spec:
    twin = replace(text_spec(create_spec(name)), input=spec.input, head=spec.head)
    return at_width(twin, width)


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
        el("summary", f"Differences from {other.name} at this input size ({len(lines)} lines)"),
        el("pre", text),
    )

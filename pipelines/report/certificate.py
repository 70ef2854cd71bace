"""An int8 certificate as a section: what was checked on the written file, and what quantization costs."""

from typing import TYPE_CHECKING

from pipelines.report.markup import Html, el, join, table
from pipelines.report.page import Section, checks, figures, note

if TYPE_CHECKING:
    from pipelines.export import Certificate


def certificate_section(certificate: "Certificate", *, title: str = "int8 certificate") -> Section:
    """The section for a file's certificate."""
    return Section(
        title=title,
        body=join(
            (
                _figures(certificate),
                checks(_statements(certificate)),
                _differences(certificate),
                _on_host(certificate),
                el("h3", "Where quantization hurts most"),
                _worst(certificate),
                note(
                    f"{certificate.file}, SHA-256 ",
                    el("code", certificate.sha256),
                    f", exported in {certificate.export_seconds:.1f} s with "
                    + ", ".join(f"{name} {version}" for name, version in certificate.tools.items())
                    + ".",
                ),
            )
        ),
    )


def _figures(certificate: "Certificate") -> Html:
    pairs: list[tuple[object, object]] = [
        (
            f"{certificate.size_bytes / 1e6:.2f} MB",
            f"file; float: {certificate.float_size_bytes / 1e6:.2f} MB",
        ),
        (f"{sum(certificate.operators.values())}", "operators, all in the file"),
        (f"{certificate.sqnr.output_db:.1f} dB", "signal to quantization noise at the output"),
    ]
    if certificate.accuracy is not None:
        from pipelines.tasks import METRIC_WORDS

        accuracy = certificate.accuracy
        words = METRIC_WORDS[accuracy.metric]
        pairs = [
            (
                f"{100 * accuracy.int8_value:.2f} %",
                f"{words} int8 on {accuracy.images:,} test {_examples(certificate)}",
            ),
            (
                f"{100 * accuracy.float_value:.2f} %",
                f"{words} float on the same {_examples(certificate)}",
            ),
            *pairs,
        ]
    return figures(pairs)


def _statements(certificate: "Certificate") -> list[tuple[bool, object]]:
    ports = ", ".join(
        f"{port.dtype} {'×'.join(map(str, port.shape))}"
        for port in (*certificate.inputs, *certificate.outputs)
    )
    holds = (certificate.all_int8, f"Every operator is int8, input and output too ({ports}).")
    if any(port.dtype == "int32" for port in certificate.inputs):
        holds = (
            certificate.all_int8,
            f"Every operator is in integers; words go in as ids ({ports}).",
        )
    if certificate.postprocess is not None:
        words = (
            "Every operator of the network is int8; behind it boxes are chosen in floating point"
        )
        holds = (not certificate.float_operators, f"{words} ({ports}).")
    items: list[tuple[bool, object]] = [holds]
    if certificate.predicted_equals_converted is not None:
        items.append(
            (
                certificate.predicted_equals_converted,
                "The converted file is the predicted graph: same operators, attributes, shapes, wiring.",
            )
        )
    calibration = certificate.calibration
    items.append(
        (
            calibration.distinct == calibration.count,
            f"Calibrated on {calibration.count} training {_examples(certificate)}, no two alike.",
        )
    )
    return items


def _differences(certificate: "Certificate") -> Html | None:
    return el("pre", "\n".join(certificate.differences)) if certificate.differences else None


def _examples(certificate: "Certificate") -> str:
    """What was calibrated on: words go in as ids, images do not."""
    texts = any(port.dtype == "int32" for port in certificate.inputs)
    return "questions" if texts else "images"


def _on_host(certificate: "Certificate") -> Html | None:
    if not certificate.on_host:
        return None
    rows = [(item.target, item.operation, item.count, item.why) for item in certificate.on_host]
    return join(
        (
            el("h3", "What the accelerator leaves to its host"),
            table(("target", "operation", "in the file", "why"), rows, numeric=(2,)),
        )
    )


def _worst(certificate: "Certificate") -> Html:
    rows = [
        (
            el("code", _short(tensor.name), title=tensor.name),
            tensor.operator,
            f"{tensor.sqnr_db:.1f} dB",
        )
        for tensor in certificate.sqnr.worst
    ]
    kinds = ", ".join(f"{count} {name}" for name, count in certificate.operators.items())
    return join(
        (
            table(("tensor", "operator", "signal to noise"), rows, numeric=(2,)),
            note(f"In all: {kinds}."),
        )
    )


def _short(name: str) -> str:
    """A converter's name without the model's own and without what it was fused with.

    >>> _short("net_1/stem_bn_1/batchnorm/add_1;net_1/stem_conv2d_1/convolution")
    'stem_bn_1/batchnorm/add_1'
    """
    first = name.partition(";")[0]
    return first.partition("/")[2] or first

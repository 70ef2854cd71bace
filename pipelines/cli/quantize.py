"""`edgezoo quantize`: an int8 `.tflite` file, and a certificate that says what it is and what it costs in accuracy."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UsageError
from model_zoo.detection.nms import MAX_DETECTIONS
from pipelines.cli import texts
from pipelines.cli.answer import Answer, facts
from pipelines.cli.options import add_data, add_json, add_model, add_output, add_target
from pipelines.cli.references import load, load_images

if TYPE_CHECKING:
    from pipelines.data import ImageDataset
    from pipelines.data.text import TextDataset
    from pipelines.export import Certificate, PostProcess
    from pipelines.export.precision import Policy

#: An output of less signal to noise, in dB, is named: a tenth of its power is wrong.
FAINT_DB = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `quantize`."""
    add_model(parser)
    add_data(parser)
    parser.add_argument("--out", metavar="FILE.tflite", required=True, help="file to write")
    add_target(parser, default=None)
    add_output(parser)
    parser.add_argument(
        "--postprocess",
        choices=("fast", "regular"),
        help="for detection: the file itself chooses boxes, by LiteRT's operator behind the int8 network, and "
        f"answers with up to {MAX_DETECTIONS} boxes (top, left, bottom, right as shares of the image), classes "
        "from 0, scores, and how many are valid; fast: each anchor has its best class alone and boxes suppress "
        "each other whatever their class, which finds less; regular: each class by itself (default: box_codes "
        "and class_logits)",
    )
    parser.add_argument(
        "--qat",
        action="store_true",
        help="train on with rounded weights and activations first (quantization-aware training)",
    )
    parser.add_argument(
        "--qat-recipe",
        metavar="RECIPE",
        default="quantize_aware",
        help="recipe of that training (default: %(default)s)",
    )
    parser.add_argument(
        "--qat-epochs", metavar="N", type=int, help="its epochs (default: the recipe's)"
    )
    parser.add_argument(
        "--samples",
        metavar="N",
        type=int,
        help="calibration images or questions (default: up to 100)",
    )
    parser.add_argument(
        "--precision",
        metavar="POLICY.toml",
        help="layers that keep 16 bits or floating point, as `edgezoo inspect` proposes them (default: 8 bits "
        "throughout)",
    )
    texts.add_vocabulary(parser)
    parser.add_argument(
        "--allow-untrained", action="store_true", help="export random weights all the same"
    )
    parser.add_argument(
        "--no-eval", action="store_true", help="do not measure accuracy on the test split"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> Answer:
    """Calibrates on the training split, converts, checks, measures on the test split."""
    from pipelines.cli import sidecar
    from pipelines.export import certificate_path, export_int8

    out = Path(args.out)
    if out.suffix != ".tflite":
        raise UsageError(f"--out must end in .tflite. Received: {args.out!r}")
    if args.samples is not None and args.samples < 1:
        raise UsageError(f"--samples must be at least 1. Received: {args.samples}")
    policy = _policy(args)
    model = load(args.model)
    dataset, reading = data_of(args, model)
    if args.output is not None and not args.qat:
        model = model.with_output(args.output)
    untrained = getattr(model, "weights_origin", "") == "random"
    if untrained and not args.allow_untrained:
        raise UsageError(
            f"{args.model} has random weights: nothing was loaded or trained. Name a preset or a weights "
            "folder, or add --allow-untrained"
        )
    if args.qat:
        model = _aware(args, model, dataset, reading, out)
    certificate = export_int8(
        model,
        dataset.train,
        out,
        target=args.target,
        allow_untrained=args.allow_untrained,
        evaluate_on=None if args.no_eval or untrained else test_split(model, dataset, args.model),
        preprocessing=reading,
        calibration_count=args.samples,
        postprocess=_postprocess(args.postprocess),
        policy=policy,
    )
    if reading is None:  # a text network's file says itself how it reads
        names = tuple(model.class_names)
        sidecar.write(out, sidecar.Sidecar(preprocessing=model.preprocessing, class_names=names))
    beside = certificate_path(out)
    examples = "images" if reading is None else "questions"
    return Answer(text=_text(out, certificate, examples), data=_data(out, beside, certificate))


def _aware(args: argparse.Namespace, model: Any, dataset: Any, reading: Any, out: Path) -> Any:
    """The model after quantization-aware training, whose run lies beside the file and goes on where it was."""
    from pipelines.train import load_recipe
    from pipelines.train.aware import train_quantize_aware

    recipe = load_recipe(args.qat_recipe)
    if args.qat_epochs is not None:
        if args.qat_epochs < 1:
            raise UsageError(f"--qat-epochs must be at least 1. Received: {args.qat_epochs}")
        recipe = recipe.with_epochs(args.qat_epochs)
    if reading is not None:
        model = model.with_length(reading.settings.sequence_length)
    aware, _ = train_quantize_aware(
        model,
        dataset,
        recipe,
        run_dir=out.with_suffix(".qat"),
        preprocessing=reading,
        output=args.output,
        resume=True,
    )
    return aware


def data_of(args: argparse.Namespace, model: Any) -> "tuple[ImageDataset | TextDataset, Any]":
    """What to calibrate and to measure on, and how text is read; None of images."""
    from model_zoo.spec.text import TextSpec

    if texts.is_text(args.data):
        dataset, reading = texts.load(args, *texts.of_model(args.model, model))
        if dataset.task != "answering":
            raise UsageError(
                "Running text calibrates no network here; give the questions it is to answer. "
                f"Received: --data {args.data}"
            )
        return dataset, reading
    if isinstance(model.spec, TextSpec):
        raise UsageError(f"{args.model} reads text; give questions. Received: --data {args.data}")
    return load_images(args, args.model), None


def _policy(args: argparse.Namespace) -> "Policy | None":
    """The policy of --precision, read before anything that takes time."""
    from pipelines.export.precision import load_policy

    if args.precision is None:
        return None
    if args.qat:
        raise UsageError("--qat learns 8 bits throughout; leave out one of it and --precision")
    if args.postprocess:
        raise UsageError(
            "--postprocess follows an int8 network; leave out one of it and --precision"
        )
    return load_policy(Path(args.precision))


def _postprocess(name: str | None) -> "PostProcess | None":
    from pipelines.export import PostProcess

    return None if name is None else PostProcess(regular_nms=name == "regular")


def test_split(model: Any, dataset: "ImageDataset | TextDataset", reference: str) -> Any:
    from pipelines.tasks import TASKS

    classes = TASKS[dataset.task].classes_of(model)
    if classes != dataset.num_classes:
        raise UsageError(
            f"{reference} answers with {model.output_shape}, {dataset.name} has {dataset.num_classes} classes "
            f"for {dataset.task}: it cannot be measured; give the data it was trained for, or add --no-eval"
        )
    return dataset.test


def _text(out: Path, certificate: "Certificate", examples: str) -> str:
    kinds = ", ".join(f"{count} {name}" for name, count in certificate.operators.items())
    equal = certificate.predicted_equals_converted
    shown: list[tuple[str, object]] = [
        (
            "file",
            f"{out}, {certificate.size_bytes:,} bytes (float: {certificate.float_size_bytes:,})",
        ),
        ("operators", f"{sum(certificate.operators.values())}: {kinds}"),
        ("all int8", _all_int8(certificate)),
        *_mixture(certificate),
        *_on_host(certificate),
        ("as predicted", _uncompared(certificate) if equal is None else equal),
        (
            "calibration",
            f"{certificate.calibration.count} {examples}, {certificate.calibration.distinct} different",
        ),
        (
            "signal to noise",
            f"output {certificate.sqnr.output_db:.1f} dB, worst operator {certificate.sqnr.min_db:.1f} dB",
        ),
    ]
    if certificate.accuracy is not None:
        from pipelines.tasks import METRIC_WORDS

        accuracy = certificate.accuracy
        shown.append(
            (
                METRIC_WORDS[accuracy.metric],
                f"float {100 * accuracy.float_value:.2f} %, "
                f"{'int8' if certificate.mixture is None else 'file'} {100 * accuracy.int8_value:.2f} % "
                f"on {accuracy.images:,} {examples}",
            )
        )
    text = facts(shown)
    if certificate.sqnr.output_db < FAINT_DB:
        text += (
            "\n\nOf the output's power a tenth or more is noise of quantization: layer norms and calibration on too "
            "few samples are what usually does that."
        )
    if certificate.differences:
        text += "\n\nThe file differs from the predicted graph:\n" + "\n".join(
            certificate.differences
        )
    return text


def _on_host(certificate: "Certificate") -> list[tuple[str, object]]:
    """What each target that was asked leaves to its host."""
    kinds: dict[str, list[str]] = {}
    for item in certificate.on_host:
        kinds.setdefault(item.target, []).append(f"{item.count} {item.operation}")
    return [(f"host of {target}", ", ".join(each)) for target, each in kinds.items()]


def _mixture(certificate: "Certificate") -> list[tuple[str, object]]:
    """What a file of several precisions computes in which, and what it could not be given."""
    if certificate.mixture is None:
        return []
    shown: list[tuple[str, object]] = [
        (f"in {held.precision}", ", ".join(f"{count} {name}" for name, count in held.operators))
        for held in certificate.mixture.operators
    ]
    if certificate.mixture.unmet:
        shown.append(("not as asked", ", ".join(certificate.mixture.unmet)))
    return shown


def _uncompared(certificate: "Certificate") -> str:
    mixed = certificate.mixture is not None
    return "only files in 8 bits throughout are predicted" if mixed else "no spec to compare with"


def _all_int8(certificate: "Certificate") -> object:
    if certificate.postprocess is None:
        return certificate.all_int8
    kind = "regular" if certificate.postprocess.regular_nms else "fast"
    return f"the network; post-processing ({kind}) decodes boxes in floating point"


def _data(out: Path, beside: Path, certificate: "Certificate") -> dict[str, Any]:
    from hw_model import codec

    data: dict[str, Any] = codec.to_data(certificate)
    return {
        "path": str(out),
        "certificate": str(beside),
        "all_int8": certificate.all_int8,
        **data,
    }

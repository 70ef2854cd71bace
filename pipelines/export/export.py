"""`export_int8`: calibrate, convert, check, measure, write the file and its certificate."""

import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hw_model.cost import evaluator_for
from hw_model.errors import DataError, UsageError
from hw_model.files import atomic_path, sha256_of
from hw_model.graph import Graph, GroupForm, to_inference
from hw_model.io import float_operators, read_header, read_tflite
from hw_model.targets import Target, load_target
from model_zoo.detection import anchors_of
from model_zoo.spec.detection import SsdHead
from model_zoo.spec.text import SpanHead, TextSpec
from model_zoo.text import QuestionPreprocessor, SentencePreprocessor
from pipelines.data.dataset import Examples
from pipelines.export import certificate as cert
from pipelines.export import questions
from pipelines.export.compare import compare_with_file
from pipelines.export.convert import Converted, Sample, convert, require_tensorflow
from pipelines.export.detector import with_anchors
from pipelines.export.fidelity import TensorSqnr, measure_sqnr
from pipelines.export.mask import clipped, clipping_of
from pipelines.export.mixed import Mixture, Rounding, convert_mixed, prepare
from pipelines.export.postprocess import PostProcess, append
from pipelines.export.postprocess import predicted as with_postprocess
from pipelines.export.precision import Policy
from pipelines.export.progress import Progress
from pipelines.export.runner import Port, make_interpreter
from pipelines.export.samples import default_count, model_samples
from pipelines.export.trained import require_trained

SQNR_SAMPLES = 4
#: What would run on the host is told for these where no target is named: a phone's and one of few operations.
USUAL_TARGETS = ("pixel6", "coral_usb")
_WORST_SHOWN = 5


def export_int8(
    model: Any,
    samples: Any,
    path: str | os.PathLike[str],
    *,
    target: Target | str | None = None,
    group_form: GroupForm | None = None,
    allow_untrained: bool = False,
    evaluate_on: Examples | None = None,
    preprocessing: Any = None,
    calibration_count: int | None = None,
    postprocess: PostProcess | None = None,
    policy: Policy | None = None,
    progress: bool = True,
) -> cert.Certificate:
    """Writes `model` as an int8 `.tflite` file at `path`, and its certificate beside it.

    Post-training quantization: int8 in and out, batch 1, weights per channel, every operator in integers.
    A `policy` keeps layers in 16 bits or in floating point; inputs and outputs are then as the operators at them.
    A detector's file answers with `box_codes` and `class_logits` and holds its anchors; with `postprocess` it
    answers with `boxes` (top, left, bottom, right as shares of the image), `classes` (from 0), `scores` and
    `count`, all float32, which LiteRT's operator finds on the host behind the int8 network.
    A text network's file reads its words as int32, has the length of its preprocessing, and holds its vocabulary.

    Args:
        model: a trained Keras model on the TensorFlow backend; its `spec` allows the file to be compared
            with the predicted graph, its `preprocessing` prepares integer images.
        samples: what to calibrate on: a data set, a split, images (N, H, W, C), or an iterable of images or batches,
            for several inputs of lists of arrays. Integer images are preprocessed, float arrays taken as they
            are. No two may be equal.
        target: chooses the form of group convolutions, by name or as a value.
        group_form: `split` or `native`; overrides the target's choice. `split` without either.
        allow_untrained: export random weights all the same.
        evaluate_on: images or questions on which float model and file are compared.
        calibration_count: at most how many samples are used; by default 100, fewer for slow networks.
        postprocess: how a detector's file chooses boxes; without it the file leaves that to its user.
        policy: which layers keep more than 8 bits; AI Edge Quantizer then rounds, not TensorFlow's converter.

    Raises:
        UsageError: random weights, open input sizes, no preprocessing where one is needed, post-processing
            of what is no detector or together with a policy, or a policy that names no layer.
        DataError: unfit calibration samples, or operators that stayed in floating point.
        EnvironmentFault: another backend than TensorFlow, a missing package, a full disk.
    """
    require_tensorflow()
    if Path(path).suffix != ".tflite":
        raise UsageError(f"An exported file ends in .tflite. Received: {os.fspath(path)!r}")
    started = time.perf_counter()
    origin = "random, as allowed" if allow_untrained else require_trained(model)
    target = load_target(target) if isinstance(target, str) else target
    form: GroupForm = group_form or (target.group_form if target else "split")
    preprocessing = preprocessing or getattr(model, "preprocessing", None)
    if isinstance(preprocessing, QuestionPreprocessor | SentencePreprocessor):
        # The file's one length is that of its preprocessing, whichever the model was built for.
        model = _of_length(model, preprocessing.settings.sequence_length)
    graph = _graph_of(model)
    anchors = _anchors_of(model)
    if postprocess is not None and anchors is None:
        raise UsageError(f"Only a detector's file can post-process. Received: {model.name!r}")
    if postprocess is not None and policy is not None:
        raise UsageError(
            "Post-processing follows an int8 network; leave out one of it and the policy"
        )
    count = calibration_count or default_count(graph)
    inputs = model_samples(model, samples, count, preprocessing)
    padding = clipping_of(model, inputs)
    with (
        Progress(len(inputs) + SQNR_SAMPLES, enabled=progress) as report,
        _GroupForm(model, form),
        clipped(model, padding),
    ):
        mixture: Mixture | None = None
        if policy is None:
            converted = convert(model, inputs, report)
        else:
            converted, mixture = convert_mixed(model, inputs, policy, report)
        noise = measure_sqnr(converted, inputs[:SQNR_SAMPLES], report)
    stayed = float_operators(converted.int8)
    if stayed and policy is None:
        raise DataError(
            f"{len(stayed)} operators stayed in floating point, nothing was written: {', '.join(stayed[:3])}"
        )
    content = _finished(model, converted.int8, anchors, postprocess, preprocessing)
    with atomic_path(path) as unfinished:  # the file appears when it has passed everything
        unfinished.write_bytes(content)
        predicted = _predicted(graph, form, postprocess, ranged=_is_aware(model))
        # Between precisions stand casts; what is predicted is a file in 8 bits.
        facts = file_facts(unfinished, content, predicted if policy is None else None)
        facts["on_host"] = _on_host(unfinished, target)
        facts["float_operators"] = stayed
        seconds = time.perf_counter() - started
        accuracy = _accuracy(model, unfinished, evaluate_on, preprocessing, progress)
    certificate = cert.Certificate(
        **facts,
        float_size_bytes=len(converted.float32),
        file=Path(path).name,
        model=str(model.name),
        spec_id=getattr(getattr(model, "spec", None), "spec_id", None),
        weights_origin=origin,
        group_form=form,
        target=target.name if target else None,
        calibration=_calibration(samples, inputs),
        sqnr=_summary(noise, converted, len(inputs[:SQNR_SAMPLES])),
        export_seconds=round(seconds, 2),
        accuracy=accuracy,
        postprocess=postprocess,
        mask_value=padding.mask_value if padding else None,
        mixture=mixture,
    )
    certificate.save(cert.certificate_path(path))
    return certificate


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A model's float file, the samples it was calibrated on, and what makes a rounded file of it whole."""

    rounding: Rounding
    samples: list[Sample]
    finish: Callable[[bytes], bytes]


def prepare_rounding(
    model: Any,
    samples: Any,
    *,
    target: Target | None = None,
    preprocessing: Any = None,
    calibration_count: int | None = None,
    progress: bool = True,
) -> Prepared:
    """What `export_int8` begins with, for many files of one model in different precisions; arguments as there."""
    require_tensorflow()
    require_trained(model)
    preprocessing = preprocessing or getattr(model, "preprocessing", None)
    if isinstance(preprocessing, QuestionPreprocessor | SentencePreprocessor):
        model = _of_length(model, preprocessing.settings.sequence_length)
    count = calibration_count or default_count(_graph_of(model))
    inputs = model_samples(model, samples, count, preprocessing)
    with (
        Progress(len(inputs), enabled=progress) as report,
        _GroupForm(model, target.group_form if target else "split"),
        clipped(model, clipping_of(model, inputs)),
    ):
        rounding = prepare(model, inputs, report)
    anchors = _anchors_of(model)
    return Prepared(
        rounding=rounding,
        samples=inputs,
        finish=lambda content: _finished(model, content, anchors, None, preprocessing),
    )


def evaluate_tflite(
    path: str | os.PathLike[str],
    split: Examples,
    preprocessing: Any,
    *,
    batch_size: int = 256,
    progress: bool = True,
) -> dict[str, float]:
    """The metrics of a file on all of `split`, as `pipelines.train.evaluate` gives them for a model."""
    from pipelines.tasks import task_of

    return task_of(split).evaluate_file(
        Path(path), split, preprocessing, batch_size=batch_size, progress=progress
    )


class _GroupForm:
    """Runs a model's group convolutions in a given form, and in the former one afterwards."""

    def __init__(self, model: Any, form: GroupForm) -> None:
        # Under quantization-aware training a layer is inside another that rounds its weights.
        layers = [getattr(layer, "layer", layer) for layer in model.layers]
        self._layers = [layer for layer in layers if hasattr(layer, "group_form")]
        self._former = [layer.group_form for layer in self._layers]
        self._form = form

    def __enter__(self) -> None:
        for layer in self._layers:
            layer.group_form = self._form

    def __exit__(self, *_: object) -> None:
        for layer, former in zip(self._layers, self._former, strict=True):
            layer.group_form = former


def _of_length(model: Any, length: int) -> Any:
    """The model for sequences of this length: itself if it is."""
    if model.inputs[0].shape[1] == length or not hasattr(model, "with_length"):
        return model
    return model.with_length(length)


def _graph_of(model: Any) -> Graph | None:
    """The graph a model's spec predicts, as trained; None for a model without spec."""
    spec = getattr(model, "spec", None)
    return spec.graph() if spec is not None else None


def _is_aware(model: Any) -> bool:
    """Whether a model has learned with rounded weights, and so has ranges of its own."""
    from model_zoo.nn.quantize_aware import QuantizedWeights

    return any(isinstance(layer, QuantizedWeights) for layer in model.layers)


def _anchors_of(model: Any) -> npt.NDArray[np.float32] | None:
    """The anchors of a model of this zoo with a detection head; None for every other model."""
    spec: Any = getattr(model, "spec", None)
    return anchors_of(spec) if isinstance(getattr(spec, "head", None), SsdHead) else None


def _finished(
    model: Any,
    content: bytes,
    anchors: npt.NDArray[np.float32] | None,
    postprocess: PostProcess | None,
    preprocessing: Any,
) -> bytes:
    """The file with what belongs to it beside its network."""
    spec = getattr(model, "spec", None)
    if isinstance(spec, TextSpec):
        outputs = questions.OUTPUTS if isinstance(spec.head, SpanHead) else ()
        return questions.finished(content, preprocessing, outputs)
    if anchors is None:
        return content
    return append(content, anchors, postprocess) if postprocess else with_anchors(content, anchors)


def _predicted(
    graph: Graph | None, form: GroupForm, postprocess: PostProcess | None, *, ranged: bool
) -> Graph | None:
    """The inference graph that the file is to hold."""
    if graph is None:
        return None
    inference = to_inference(graph, group_form=form, ranged=ranged)
    return with_postprocess(inference, postprocess) if postprocess else inference


def file_facts(path: Path, content: bytes, predicted: Graph | None) -> dict[str, Any]:
    """What the written file itself tells, and whether it is what the spec predicts."""
    header = read_header(path)
    interpreter = make_interpreter(content)
    differences = compare_with_file(predicted, path) if predicted is not None else ()
    return {
        "sha256": sha256_of(path),
        "size_bytes": header.size_bytes,
        "weight_bytes": header.weight_bytes,
        "inputs": tuple(_port(details) for details in interpreter.get_input_details()),
        "outputs": tuple(_port(details) for details in interpreter.get_output_details()),
        "operators": header.operators,
        "float_operators": (),
        "predicted_equals_converted": None if predicted is None else not differences,
        "differences": differences,
    }


def _on_host(path: Path, target: Target | None) -> tuple[cert.OnHost, ...]:
    """What of the file the target, or each of the usual ones, leaves to its host."""
    graph = read_tflite(path)
    found: list[cert.OnHost] = []
    for each in (target,) if target else [load_target(name) for name in USUAL_TARGETS]:
        rows = [
            row for row in evaluator_for(each, "analytical").rows(graph) if row.binding == "host"
        ]
        for kind in dict.fromkeys(row.kind for row in rows):
            same = [row for row in rows if row.kind == kind]
            found.append(
                cert.OnHost(target=each.name, operation=kind, count=len(same), why=same[0].why)
            )
    return tuple(found)


def _port(details: dict[str, Any]) -> cert.PortInfo:
    port = Port(details)
    return cert.PortInfo(
        shape=port.shape,
        dtype=port.dtype.name,
        scale=port.scale,
        zero_point=port.zero_point,
        name=str(details["name"]),
    )


def _calibration(samples: Any, inputs: list[Sample]) -> cert.Calibration:
    digests = {b"".join(part.tobytes() for part in sample) for sample in inputs}
    return cert.Calibration(source=type(samples).__name__, count=len(inputs), distinct=len(digests))


def _summary(noise: tuple[TensorSqnr, ...], converted: Converted, samples: int) -> cert.Sqnr:
    if not noise:
        raise DataError("No tensor carries a signal: the model answers zero to every sample")
    levels = [tensor.sqnr_db for tensor in noise]
    outputs = {port.name for port in read_header(converted.float32).outputs}
    ends = [tensor.sqnr_db for tensor in noise if tensor.name in outputs]
    worst = sorted(noise, key=lambda tensor: tensor.sqnr_db)[:_WORST_SHOWN]
    return cert.Sqnr(
        samples=samples,
        tensors=len(noise),
        min_db=min(levels),
        median_db=round(statistics.median(levels), 2),
        output_db=min(ends, default=levels[-1]),
        worst=tuple(worst),
    )


def _accuracy(
    model: Any,
    path: Path,
    split: Examples | None,
    preprocessing: Any,
    progress: bool,
) -> cert.Accuracy | None:
    from pipelines.tasks import evaluate, task_of

    if split is None:
        return None
    if preprocessing is None:
        raise UsageError("The model carries no preprocessing; pass preprocessing= to evaluate it")
    show = progress and sys.stderr.isatty()
    floats = evaluate(model, split, preprocessing, verbose=int(show))
    rounded = evaluate_tflite(path, split, preprocessing, progress=progress)
    metric = task_of(split).HEADLINE
    return cert.Accuracy(
        images=len(split), metric=metric, float_value=floats[metric], int8_value=rounded[metric]
    )

"""Post-processing inside a detector's file: LiteRT runs it, and finds what NumPy finds in the raw outputs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flatbuffers import flexbuffers

from hw_model import estimate
from hw_model.errors import DataError, UsageError
from hw_model.io import read_tflite
from model_zoo.detection import anchors_of, decode, detect, suppress
from pipelines.data import BoxArraySplit, Objects
from pipelines.export import (
    Certificate,
    DetectorRunner,
    FileRunner,
    PostProcess,
    evaluate_tflite,
    export_int8,
    load_certificate,
)
from pipelines.export.edit import Edit
from pipelines.export.postprocess import OPERATOR, OUTPUTS, append

FORMS = {
    "fast": PostProcess(),
    "regular": PostProcess(regular_nms=True),
    "few": PostProcess(max_detections=12, iou_threshold=0.3, score_threshold=0.6),
    "few regular": PostProcess(
        max_detections=12, iou_threshold=0.3, score_threshold=0.6, regular_nms=True
    ),
}


def _post(detector: Any, folder: Path, settings: PostProcess) -> Path:
    path = folder / "post.tflite"
    raw = detector.path.read_bytes()
    path.write_bytes(append(raw, anchors_of(detector.model.spec), settings))
    return path


def _expected(
    codes: Any, logits: Any, anchors: Any, settings: PostProcess
) -> list[tuple[float, int, Any]]:
    """(score, class, box) of one image, in the terms of the published operator."""
    sigmoid = 1 / (1 + np.exp(-logits[:, 1:].astype(np.float64)))
    scores = np.rint(256 * sigmoid).clip(0, 255) / 256
    boxes = decode(codes, anchors)
    if settings.regular_nms:
        anchor, label = (grid.ravel() for grid in np.indices(scores.shape))
    else:
        anchor, label = np.arange(len(scores)), scores.argmax(axis=1)
    values = scores[anchor, label]
    order = np.argsort(-values, kind="stable")
    order = order[values[order] >= settings.score_threshold]
    rivals = label[order] if settings.regular_nms else np.zeros(len(order))
    kept = order[suppress(boxes[anchor[order]], rivals, settings.iou_threshold)]
    return [(float(values[i]), int(label[i]), boxes[anchor[i]]) for i in kept]


def _sorted(rows: list[tuple[float, int, Any]]) -> list[Any]:
    return sorted((-score, label, *np.round(box, 3).tolist()) for score, label, box in rows)


@pytest.mark.parametrize("form", FORMS)
def test_the_operator_finds_what_numpy_finds(form: str, detector: Any, tmp_path: Path) -> None:
    settings = FORMS[form]
    with DetectorRunner(detector.path) as runner:
        raw = runner(detector.inputs)
    with DetectorRunner(_post(detector, tmp_path, settings)) as runner:
        assert runner.postprocesses
        assert runner.num_classes == 4
        outputs = runner(detector.inputs)
    counts = []
    anchors = anchors_of(detector.model.spec)
    for image in range(len(detector.inputs)):
        wanted = _expected(raw["box_codes"][image], raw["class_logits"][image], anchors, settings)
        count = int(outputs["count"][image])
        counts.append(count)
        assert count == min(len(wanted), settings.max_detections)
        columns = (outputs[name][image][:count] for name in ("scores", "classes", "boxes"))
        found = [(float(s), int(c), b) for s, c, b in zip(*columns, strict=True)]
        last = found[-1][0] if count < len(wanted) else -1.0  # equal scores may be cut either way
        left, right = ([row for row in rows if row[0] > last] for rows in (found, wanted))
        assert len(left) > 3
        np.testing.assert_allclose(_sorted(left), _sorted(right), atol=2e-3)
    assert min(counts) > 3


def test_detections_are_boxes_inside_the_image(detector: Any, tmp_path: Path) -> None:
    with DetectorRunner(_post(detector, tmp_path, PostProcess(regular_nms=True))) as runner:
        outputs = runner(detector.inputs)
        found = runner.detections(detector.inputs)
        with pytest.raises(UsageError, match="settings of its own"):
            runner.detections(detector.inputs, max_detections=3)
    assert outputs["boxes"].min() < 0  # or nothing is clipped here
    for image, objects in enumerate(found):
        assert 0 < len(objects) <= int(outputs["count"][image])
        assert objects.boxes.min() >= 0
        assert objects.boxes.max() <= 1
        assert np.all(np.diff(objects.scores) <= 0)
        assert set(objects.classes.tolist()) <= {0, 1, 2, 3}


def test_regular_detections_are_nearly_those_of_the_raw_file(detector: Any, tmp_path: Path) -> None:
    """They round scores to 1/256 and suppress before they clip: the surest ones are the same."""
    with DetectorRunner(_post(detector, tmp_path, PostProcess(regular_nms=True))) as runner:
        inside = runner.detections(detector.inputs)
    with DetectorRunner(detector.path) as runner:
        outside = runner.detections(detector.inputs)
    for left, right in zip(inside, outside, strict=True):
        np.testing.assert_allclose(left.scores[:10], right.scores[:10], atol=1 / 256)


def test_a_file_is_judged_as_its_model_is(
    detector: Any, make_images: Callable[..., Any], tmp_path: Path
) -> None:
    """What the float model is surest of is the truth here, so that its own AP is high."""
    model = detector.model
    images = make_images(model.spec, 6, seed=3)
    rows = detect(
        **model.predict(detector.inputs, verbose=0),
        anchors=anchors_of(model.spec),
        max_detections=3,
    )
    objects = [
        Objects(boxes=row.boxes, classes=row.classes, crowd=np.zeros(len(row), np.bool_))
        for row in rows
    ]
    split = BoxArraySplit(images, objects)
    path = tmp_path / "judged.tflite"
    certificate = export_int8(model, images, path, evaluate_on=split, progress=False)
    accuracy = certificate.accuracy
    assert accuracy is not None
    assert (accuracy.metric, accuracy.images) == ("ap", 6)
    assert accuracy.float_value > 0.9
    assert accuracy.int8_value > 0.6
    post = _post(detector, tmp_path, PostProcess(regular_nms=True))
    metrics = evaluate_tflite(post, split, model.preprocessing, progress=False)
    assert metrics["ap"] > 0.6  # scores rounded to 1/256 change which of two equal boxes is kept
    assert "loss" not in metrics


@pytest.fixture(scope="module")
def exported_post(
    detector: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Certificate]:
    """The same network, exported with it."""
    path = tmp_path_factory.mktemp("post") / "post.tflite"
    certificate = export_int8(
        detector.model, detector.inputs[:2], path, postprocess=PostProcess(), progress=False
    )
    return path, certificate


def test_the_certificate_says_what_is_behind_the_network(
    exported_post: tuple[Path, Certificate], detector: Any
) -> None:
    path, certificate = exported_post
    assert certificate.differences == ()
    assert certificate.predicted_equals_converted
    assert certificate.postprocess == PostProcess()
    assert not certificate.all_int8
    assert certificate.float_operators == ()
    assert [(port.name, port.shape, port.dtype) for port in certificate.outputs] == [
        ("boxes", (1, 100, 4), "float32"),
        ("classes", (1, 100), "float32"),
        ("scores", (1, 100), "float32"),
        ("count", (1,), "float32"),
    ]
    assert certificate.operators[OPERATOR] == 1
    assert load_certificate(path) == certificate
    extra = {OPERATOR: 1, "LOGISTIC": 1, "DEQUANTIZE": 2}
    assert certificate.operators == {**detector.certificate.operators, **extra}


@pytest.mark.parametrize("target", ["pixel6", "coral_usb"])
def test_the_operator_runs_on_the_host(
    target: str, exported_post: tuple[Path, Certificate], detector: Any
) -> None:
    graph = read_tflite(exported_post[0])
    assert not graph.notes
    assert [graph.tensors[index].name for index in graph.outputs] == [
        "boxes", "classes", "scores", "count",
    ]  # fmt: skip
    with_it, without = (estimate(g, target=target) for g in (graph, read_tflite(detector.path)))
    assert [row.binding for row in with_it.rows[-3:]] == ["host", "host", "host"]
    assert with_it.rows[-4].binding != "host"  # the sigmoid stays on the accelerator
    assert with_it.latency_ms > without.latency_ms
    assert any(OPERATOR in line and "host" in line for line in with_it.warnings)
    assert f"{OPERATOR} does not run on the accelerator" in with_it.rows[-1].why


def test_what_the_operator_refuses_is_said_in_one_line(detector: Any, tmp_path: Path) -> None:
    """It does not read int8, and says so on the first image only."""
    edit = Edit(append(detector.path.read_bytes(), anchors_of(detector.model.spec), PostProcess()))
    edit.outputs = [
        edit.add_tensor(name, shape, "FLOAT32")
        for name, shape in zip(OUTPUTS, PostProcess().shapes, strict=True)
    ]
    anchors = anchors_of(detector.model.spec)
    grid = edit.add_tensor("grid", anchors.shape, "FLOAT32", values=anchors)
    options = bytes(flexbuffers.Dumps(PostProcess().options(4)))
    codes, logits = Edit(detector.path.read_bytes()).outputs
    edit.add_operator(OPERATOR, [codes, logits, grid], edit.outputs, custom_options=options)
    path = tmp_path / "wrong.tflite"
    path.write_bytes(edit.content())
    with FileRunner(path) as runner, pytest.raises(DataError, match="on image 0: ") as caught:
        runner.answers(detector.inputs[:1])
    assert "\n" not in str(caught.value)


def test_what_cannot_be_postprocessed_is_refused(model: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Only a detector's file can post-process"):
        export_int8(model, np.zeros(1), tmp_path / "m.tflite", postprocess=PostProcess())
    with pytest.raises(UsageError, match="max_detections"):
        PostProcess(max_detections=0)
    for name in ("iou_threshold", "score_threshold"):
        with pytest.raises(UsageError, match=name):
            PostProcess(**{name: 1.5})

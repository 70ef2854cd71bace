"""Average precision: cases worked out by hand, and random ones against pycocotools fed through its own files."""

import contextlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hw_model.errors import DataError, EnvironmentFault
from model_zoo.detection.nms import Detections
from pipelines.data.dataset import Objects
from pipelines.tasks.average_precision import AveragePrecision, BoxScore

LEFT = (0.1, 0.1, 0.5, 0.4)
RIGHT = (0.2, 0.6, 0.9, 0.9)
Row = Sequence[float]


def there(*boxes: Row, classes: Sequence[int] = (), crowd: Sequence[bool] = ()) -> Objects:
    return Objects(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes or [0] * len(boxes), np.int64),
        crowd=np.array(crowd or [False] * len(boxes), np.bool_),
    )


def seen(*boxes: Row, scores: Sequence[float] = (), classes: Sequence[int] = ()) -> Detections:
    return Detections(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes or [0] * len(boxes), np.int64),
        scores=np.array(scores or [0.9] * len(boxes), np.float32),
    )


def score(*pairs: tuple[Detections, Objects], num_classes: int = 1) -> BoxScore:
    counted = AveragePrecision(num_classes, image_size=(100, 100))
    for found, present in pairs:
        counted.add([found], [present])
    return counted.score()


def test_what_is_found_exactly_is_worth_one() -> None:
    found = score((seen(LEFT, RIGHT), there(LEFT, RIGHT)))
    assert found.metrics() == pytest.approx({"ap": 1.0, "ap50": 1.0, "ap75": 1.0})
    assert (found.images, found.objects) == (1, 2)


@pytest.mark.parametrize(
    ("found", "present", "expected"),
    [
        pytest.param(seen(LEFT), there(LEFT, RIGHT), 51 / 101, id="one of two is missed"),
        pytest.param(
            seen(LEFT, RIGHT, scores=(0.9, 0.2)), there(LEFT), 1.0, id="false one is less sure"
        ),
        pytest.param(
            seen(RIGHT, LEFT, scores=(0.9, 0.2)), there(LEFT), 0.5, id="false one is surer"
        ),
        pytest.param(
            seen(LEFT, LEFT, RIGHT, scores=(0.9, 0.8, 0.7)),
            there(LEFT, RIGHT),
            (51 + 50 * 2 / 3) / 101,
            id="one is found twice",
        ),
        pytest.param(seen(), there(LEFT), 0.0, id="nothing is found"),
        pytest.param(
            seen(RIGHT, LEFT, scores=(0.9, 0.8)),
            there(LEFT, RIGHT, crowd=(False, True)),
            1.0,
            id="found in a crowd",
        ),
        pytest.param(
            seen(LEFT), there(LEFT, RIGHT, crowd=(False, True)), 1.0, id="a crowd is not found"
        ),
    ],
)
def test_average_precision_by_hand(found: Detections, present: Objects, expected: float) -> None:
    result = score((found, present))
    assert result.ap == pytest.approx(expected, abs=1e-12)
    assert result.ap50 == pytest.approx(expected, abs=1e-12)


def test_a_loose_box_counts_up_to_its_overlap() -> None:
    loose = (0.0, 0.0, 0.72, 1.0)  # 0.72 of the object: right at .50, .55, .60, .65 and .70
    result = score((seen(loose), there((0.0, 0.0, 1.0, 1.0))))
    assert list(result.metrics().values()) == pytest.approx([0.5, 1.0, 0.0])


def test_a_confused_class_is_a_miss_of_one_and_nothing_for_a_class_without_objects() -> None:
    result = score((seen(LEFT, classes=(1,)), there(LEFT, classes=(0,))), num_classes=3)
    np.testing.assert_array_equal(result.per_class_ap, [0.0, np.nan, np.nan])
    assert result.ap == 0.0
    both = score(
        (seen(LEFT, classes=(1,)), there(LEFT, classes=(0,))),
        (seen(RIGHT, classes=(1,)), there(RIGHT, classes=(1,))),
        num_classes=3,
    )
    np.testing.assert_array_equal(both.per_class_ap50, [0.0, 0.5, np.nan])
    assert both.ap50 == pytest.approx(0.25)


def test_images_without_objects_count_by_what_is_wrongly_found_in_them() -> None:
    right = (seen(LEFT, scores=(0.5,)), there(LEFT))
    assert score(right, (seen(), there())).ap == pytest.approx(1)
    assert score(right, (seen(LEFT, scores=(0.9,)), there())).ap == pytest.approx(0.5)
    assert score(right, (seen(LEFT, scores=(0.1,)), there())).ap == pytest.approx(1)


@pytest.mark.parametrize("images", [0, 3])
def test_where_nothing_is_there_nothing_can_be_said(images: int) -> None:
    result = score(*[(seen(), there())] * images, num_classes=2)
    assert np.isnan([result.ap, result.ap50, result.ap75, result.ap_small]).all()
    assert np.isnan(result.per_class_ap).all()
    assert result.per_class_ap.shape == (2,)
    assert (result.images, result.objects) == (images, 0)


def test_objects_are_told_apart_by_their_size_in_pixels() -> None:
    small, medium = (0.0, 0.0, 0.3, 0.3), (0.4, 0.4, 0.9, 0.9)
    result = score((seen(small), there(small, medium)))  # 30 and 50 pixels wide
    assert [result.ap_small, result.ap_medium] == pytest.approx([1.0, 0.0])
    assert np.isnan(result.ap_large)


def test_every_class_and_every_image_must_be_known() -> None:
    counted = AveragePrecision(2)
    with pytest.raises(DataError, match="numbered from 0 to 1. Received: 2 to 2"):
        counted.add([seen()], [there(LEFT, classes=(2,))])
    with pytest.raises(DataError, match="one list of detections. Received: 2 for 1 images"):
        counted.add([seen(), seen()], [there()])


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(EnvironmentFault, match=r"pip install 'edgezoo\[detection\]'"):
        score((seen(LEFT), there(LEFT)))


def test_the_evaluation_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    score((seen(LEFT), there(LEFT)))
    assert capsys.readouterr() == ("", "")


def scene(rng: np.random.Generator, num_classes: int) -> tuple[Detections, Objects]:
    """Some objects, boxes near them with right and wrong classes, and boxes near nothing; equal scores among them."""
    count = int(rng.integers(0, 7))
    corner = rng.uniform(0, 0.6, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.02, 0.4, (count, 2))], axis=1)
    classes = rng.integers(0, num_classes - 1, count)  # the last class never occurs
    kept = rng.random(count) < 0.8
    near = boxes[kept] + rng.normal(0, 0.02, (int(kept.sum()), 4))
    corner = rng.uniform(0, 0.6, (4, 2))
    far = np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (4, 2))], axis=1)
    found = np.concatenate([near, near + 0.01, far]).clip(0, 1)
    labels = np.concatenate([classes[kept], classes[kept], rng.integers(0, num_classes, 4)])
    scores = -np.sort(-rng.random(len(found)).round(1))
    order = rng.permutation(len(found))
    present = there(*boxes, classes=classes.tolist(), crowd=(rng.random(count) < 0.15).tolist())
    return seen(*found[order], scores=scores.tolist(), classes=labels[order].tolist()), present


@pytest.mark.parametrize("seed", range(5))
def test_random_boxes_score_as_in_pycocotools_itself(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    height, width, num_classes = 240, 320, 4
    pairs = [scene(rng, num_classes) for _ in range(30)]
    counted = AveragePrecision(num_classes, image_size=(height, width))
    counted.add(*zip(*pairs, strict=True))
    result = counted.score()
    expected = by_files(pairs, (height, width), num_classes, tmp_path)
    names = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
    assert [getattr(result, name) for name in names] == pytest.approx(expected, abs=1e-12)
    assert 0.05 < result.ap < 0.95
    assert np.isnan(result.per_class_ap).tolist() == [False, False, False, True]
    assert np.nanmean(result.per_class_ap) == pytest.approx(result.ap)


def by_files(
    pairs: Sequence[tuple[Detections, Objects]],
    size: tuple[int, int],
    num_classes: int,
    folder: Path,
) -> list[float]:
    """The first six figures of COCO's own summary, from an annotation file and a result file."""

    def pixels(box: Any) -> list[float]:
        top, left, bottom, right = (float(share) for share in box)
        height, width = size
        return [left * width, top * height, (right - left) * width, (bottom - top) * height]

    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (found, present) in enumerate(pairs, start=10):
        for box, label, crowd in zip(present.boxes, present.classes, present.crowd, strict=True):
            area = pixels(box)[2] * pixels(box)[3]
            entry = {"image_id": image, "category_id": int(label) + 5, "bbox": pixels(box)}
            annotations.append(
                entry | {"id": len(annotations) + 1, "area": area, "iscrowd": int(crowd)}
            )
        for box, label, sure in zip(found.boxes, found.classes, found.scores, strict=True):
            entry = {"image_id": image, "category_id": int(label) + 5, "bbox": pixels(box)}
            results.append(entry | {"score": float(sure)})
    whole = {
        "images": [{"id": image} for image in range(10, 10 + len(pairs))],
        "categories": [{"id": label + 5} for label in range(num_classes)],
        "annotations": annotations,
    }
    (folder / "truth.json").write_text(json.dumps(whole))
    (folder / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "truth.json"))
        evaluation = COCOeval(truth, truth.loadRes(str(folder / "results.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(value) for value in evaluation.stats[:6]]

"""Which anchor finds which object, and which of several boxes stays, against plain loops and TensorFlow."""

import numpy as np
import numpy.typing as npt
import pytest

from hw_model.errors import DataError
from model_zoo.detection import Detections, detect, encode, iou, match, suppress


def boxes_of(count: int, seed: int) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    corner, size = rng.random((count, 2)) * 0.7, 0.05 + rng.random((count, 2)) * 0.25
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


def overlap(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    height = min(one[2], other[2]) - max(one[0], other[0])
    width = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, float(height)) * max(0.0, float(width))
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (one, other)]
    return shared / (sum(areas) - shared)


def test_overlap_is_that_of_a_plain_loop() -> None:
    first, second = boxes_of(9, 0), boxes_of(7, 1)
    expected = [[overlap(one, other) for other in second] for one in first]
    np.testing.assert_allclose(iou(first, second), expected, atol=1e-6)


def test_an_empty_box_overlaps_nothing() -> None:
    empty = np.array([[0.2, 0.2, 0.2, 0.6]], np.float32)
    assert iou(empty, empty).tolist() == [[0.0]]


def test_an_anchor_finds_what_it_overlaps_by_half_and_most() -> None:
    anchors = np.array(
        [[0, 0, 0.5, 0.5], [0, 0, 0.5, 0.4], [0.5, 0.5, 1, 1], [0, 0.5, 0.5, 1]], np.float32
    )
    objects = np.array([[0, 0, 0.5, 0.45], [0.5, 0.5, 0.95, 1]], np.float32)
    assert match(anchors, objects).tolist() == [0, 0, 1, -1]


def test_every_object_gets_its_nearest_anchor_however_little_they_overlap() -> None:
    anchors = np.array([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]], np.float32)
    small = np.array([[0.6, 0.6, 0.65, 0.65]], np.float32)
    assert match(anchors, small).tolist() == [-1, 0]


def test_of_objects_with_one_nearest_anchor_the_first_has_it() -> None:
    anchors = np.array([[0, 0, 0.5, 0.5]], np.float32)
    twins = np.array([[0.1, 0.1, 0.2, 0.2], [0.2, 0.2, 0.3, 0.3]], np.float32)
    assert match(anchors, twins).tolist() == [0]


def test_without_objects_and_beyond_all_anchors_nothing_is_found() -> None:
    anchors = np.array([[0, 0, 0.4, 0.4]], np.float32)
    assert match(anchors, np.zeros((0, 4), np.float32)).tolist() == [-1]
    assert match(anchors, np.array([[0.6, 0.6, 0.9, 0.9]], np.float32)).tolist() == [-1]


@pytest.mark.parametrize("seed", range(5))
def test_suppression_keeps_what_tensorflow_keeps(seed: int) -> None:
    tf = pytest.importorskip("tensorflow")
    boxes = boxes_of(60, seed)
    scores = np.sort(np.random.default_rng(seed).random(60).astype(np.float32))[::-1]
    kept = suppress(boxes, np.zeros(60, np.int64), 0.3)
    assert 5 < len(kept) < 60
    expected = tf.image.non_max_suppression(boxes, scores, 60, 0.3).numpy()
    assert kept.tolist() == sorted(expected.tolist())


def test_classes_do_not_suppress_each_other() -> None:
    box = np.array([[0.1, 0.1, 0.5, 0.5]] * 3, np.float32)
    assert suppress(box, np.array([0, 1, 0]), 0.5).tolist() == [0, 1]


def outputs_for(
    anchors: npt.NDArray[np.float32],
    boxes: npt.NDArray[np.float32],
    labels: list[int],
    scores: list[float],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What a detector says that sees `boxes` at its first anchors and nothing else; three classes."""
    codes = np.zeros((1, len(anchors), 4), np.float32)
    logits = np.full((1, len(anchors), 4), -30, np.float32)
    codes[0, : len(boxes)] = encode(boxes, anchors[: len(boxes)])
    for place, (label, score) in enumerate(zip(labels, scores, strict=True)):
        logits[0, place, 1 + label] = np.log(score / (1 - score))
    return codes, logits


def test_detect_gives_boxes_classes_and_scores_the_surest_first() -> None:
    anchors, seen = (
        boxes_of(20, 3),
        np.array([[0.1, 0.1, 0.3, 0.3], [0.6, 0.5, 0.9, 0.8]], np.float32),
    )
    (found,) = detect(
        *outputs_for(anchors, seen, [2, 0], [0.4, 0.9]), anchors, score_threshold=0.01
    )
    assert (found.classes.tolist(), len(found)) == ([0, 2], 2)
    np.testing.assert_allclose(found.scores, [0.9, 0.4], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, seen[::-1], atol=1e-5)
    assert found.above(0.5).classes.tolist() == [0]


def test_the_background_slot_has_no_say() -> None:
    anchors = boxes_of(4, 0)
    codes, logits = outputs_for(anchors, anchors[:1], [1], [0.7])
    logits[..., 0] = 30
    (found,) = detect(codes, logits, anchors, score_threshold=0.01)
    assert found.classes.tolist() == [1]


def test_boxes_are_clipped_to_the_image_and_those_outside_are_nothing() -> None:
    anchors = boxes_of(4, 0)
    seen = np.array([[-0.2, 0.5, 0.3, 1.4], [1.2, 1.2, 1.5, 1.5]], np.float32)
    (found,) = detect(
        *outputs_for(anchors, seen, [0, 0], [0.9, 0.8]), anchors, score_threshold=0.01
    )
    np.testing.assert_allclose(found.boxes, [[0, 0.5, 0.3, 1]], atol=1e-5)


def test_no_more_than_the_wanted_number_is_found() -> None:
    anchors = boxes_of(30, 1)
    codes, logits = outputs_for(anchors, anchors, [0] * 30, [0.5] * 30)
    (found,) = detect(codes, logits, anchors, iou_threshold=1.0, max_detections=7)
    assert isinstance(found, Detections)
    assert len(found) == 7


def test_outputs_of_other_anchors_are_refused() -> None:
    anchors = boxes_of(5, 0)
    with pytest.raises(DataError, match=r"5 anchors .* Received: \(1, 4, 4\)"):
        detect(np.zeros((1, 4, 4)), np.zeros((1, 4, 3)), anchors)

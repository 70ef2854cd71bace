"""Targets of anchors: what each is to answer for the objects of an image."""

import numpy as np
import numpy.typing as npt
import pytest

from hw_model.errors import DataError, SpecError
from model_zoo.detection import decode
from pipelines.data import Augmentation, BoxArraySplit, Objects
from pipelines.data.box_batches import BACKGROUND, UNCOUNTED, BoxBatches

# A grid of four quarters and one small anchor in the first of them.
ANCHORS = np.array(
    [[0, 0, 0.5, 0.5], [0, 0.5, 0.5, 1], [0.5, 0, 1, 0.5], [0.5, 0.5, 1, 1], [0.1, 0.1, 0.2, 0.2]],
    np.float32,
)


def objects_of(*rows: tuple[tuple[float, ...], int, bool]) -> Objects:
    return Objects(
        boxes=np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        classes=np.array([label for _, label, _ in rows], np.int64),
        crowd=np.array([crowd for _, _, crowd in rows], np.bool_),
    )


def batches_of(*objects: Objects, training: bool = False, **settings: object) -> BoxBatches:
    images = np.random.default_rng(0).integers(0, 256, (len(objects), 8, 12, 3), dtype=np.uint8)
    return BoxBatches(
        BoxArraySplit(images, objects),
        anchors=ANCHORS,
        batch_size=len(objects),
        num_classes=3,
        preprocessing=lambda pixels: np.asarray(pixels, np.float32) / 255,
        training=training,
        **settings,
    )


def test_matched_anchors_have_slot_and_codes_and_all_others_the_background() -> None:
    box = (0.0, 0.5, 0.5, 0.9)
    _, targets = batches_of(objects_of((box, 2, False)))[0]
    assert targets["class_logits"].tolist() == [[BACKGROUND, 3, BACKGROUND, BACKGROUND, BACKGROUND]]
    assert targets["box_codes"][0, :, 4].tolist() == [0, 1, 0, 0, 0]
    np.testing.assert_allclose(decode(targets["box_codes"][0, 1, :4], ANCHORS[1]), box, atol=1e-6)


def test_an_image_without_objects_is_all_background() -> None:
    _, targets = batches_of(objects_of())[0]
    assert not targets["class_logits"].any()
    assert not targets["box_codes"].any()


def test_anchors_in_a_crowd_answer_nothing_unless_they_have_an_object() -> None:
    crowd = ((0.0, 0.0, 0.5, 0.5), 0, True)
    _, targets = batches_of(objects_of(crowd))[0]
    assert targets["class_logits"].tolist() == [[UNCOUNTED, 0, 0, 0, UNCOUNTED]]
    _, targets = batches_of(objects_of(crowd, ((0.1, 0.1, 0.2, 0.2), 1, False)))[0]
    assert targets["class_logits"].tolist() == [[UNCOUNTED, 0, 0, 0, 2]]


def test_images_are_resized_whole_and_boxes_stay_as_they_are() -> None:
    inputs, targets = batches_of(objects_of(((0, 0, 0.5, 0.5), 0, False)), input_shape=(16, 16, 3))[
        0
    ]
    assert inputs.shape == (1, 16, 16, 3)
    assert targets["class_logits"][0, 0] == 1


def test_targets_follow_the_mirrored_image() -> None:
    found: set[tuple[int, ...]] = set()
    batches = batches_of(
        objects_of(((0, 0, 0.5, 0.5), 0, False)),
        training=True,
        augmentation=Augmentation(flip=True),
    )
    for epoch in range(8):
        batches.epoch = epoch
        inputs, targets = batches[0]
        found.add(tuple(targets["class_logits"][0].tolist()))
        again: npt.NDArray[np.float32] = batches[0][0]
        np.testing.assert_array_equal(inputs, again)
    assert found == {(1, 0, 0, 0, 0), (0, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("box", "label", "said"),
    [
        ((0.2, 0.2, 0.2, 0.6), 0, r"0\.2, 0\.2, 0\.2, 0\.6"),
        ((0.2, 0.2, 1.4, 0.6), 0, r"within 0\.\.1"),
        ((0.5, 0.2, 0.1, 0.6), 0, "top < bottom"),
        ((0.1, 0.2, 0.5, 0.6), 3, r"classes 3 to 3, outside 0\.\.2"),
    ],
)
def test_wrong_boxes_and_classes_are_refused_with_the_image(
    box: tuple[float, ...], label: int, said: str
) -> None:
    with pytest.raises(DataError, match=said) as caught:
        batches_of(objects_of(), objects_of((box, label, False)))[0]
    assert "mage 1" in str(caught.value)


def test_changes_that_do_not_move_boxes_are_refused() -> None:
    with pytest.raises(SpecError, match="mixup_alpha"):
        batches_of(objects_of(), training=True, augmentation=Augmentation(mixup_alpha=0.2))


def test_arrays_and_objects_must_agree() -> None:
    with pytest.raises(DataError, match="2 images, objects of 1"):
        BoxArraySplit(np.zeros((2, 4, 4, 3), np.uint8), [objects_of()])
    with pytest.raises(DataError, match=r"boxes \(1, 4\), classes \(2,\)"):
        Objects(
            boxes=np.zeros((1, 4), np.float32),
            classes=np.zeros(2, np.int64),
            crowd=np.zeros(2, np.bool_),
        )

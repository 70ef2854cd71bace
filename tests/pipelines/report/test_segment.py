"""Pictures of masks: colours, overlays, and the section with test images."""

import numpy as np

from pipelines.data.dataset import IGNORED
from pipelines.report.palette import colours, overlay
from pipelines.report.segment import segment_section
from pipelines.tasks.segment import SegmentationScore


def test_colours_are_those_of_the_pascal_voc_map() -> None:
    shown = colours()
    assert shown.shape == (256, 3)
    assert len({tuple(row) for row in shown.tolist()}) == 256
    # aeroplane, bicycle, person, tvmonitor, void: the colours of the published masks
    assert shown[[1, 2, 15, 20, 255]].tolist() == [
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]


def test_an_overlay_leaves_the_background_and_draws_edges() -> None:
    image = np.full((6, 6, 1), 100, np.uint8)
    mask = np.zeros((6, 6), np.uint8)
    mask[3:, 3:] = 1
    mask[5, 0] = IGNORED
    shown = overlay(image, mask, opacity=0.5)
    assert shown.shape == (6, 6, 3)
    assert shown[0, 0].tolist() == [100, 100, 100]
    assert shown[4, 4].tolist() == [114, 50, 50]
    assert shown[3, 4].tolist() == [255, 255, 255]  # an edge
    assert shown[5, 0].tolist() == [255, 255, 255]  # ignored


def test_the_section_shows_every_image_and_every_class() -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    masks = np.zeros((2, 8, 8), np.uint8)
    masks[:, 4:] = 1
    confusion = np.array([[60.0, 4, 0], [16, 48, 0], [0, 0, 0]])
    section = segment_section(
        title="Test images",
        lead="lead",
        images=images,
        masks=masks,
        found=np.zeros_like(masks),
        class_names=("background", "<bird>", "cat"),
        score=SegmentationScore(confusion=confusion),
        counted=2,
    )
    text = str(section.body)
    assert text.count("data:image/png") == 6
    assert "&lt;bird&gt;" in text
    assert "75.00 %" in text  # background: 60 of 80
    assert "50 % of pixels right" in text
    assert ">–<" in text  # nobody has a cat

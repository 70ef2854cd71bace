"""Random changes to images together with the boxes of their objects, pure in the generator."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hw_model.errors import SpecError
from pipelines.data.augment import Augmentation
from pipelines.data.dataset import Images, Objects
from pipelines.data.resize import resize

Windows = npt.NDArray[np.float64]

#: Shares of an object that a crop has to show; one of them is drawn for each image.
#: Source: Liu et al. 2016 section 2.2; the values, 1 included, are those of the TensorFlow object
#: detection API's `ssd_random_crop`, as are all constants here.
SHARES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
#: How often an image stays whole.
WHOLE_PROBABILITY = 0.15
#: The crop's share of the image's area.
AREA = (0.1, 1.0)
#: The crop's width over its height in pixels.
ASPECT = (0.5, 2.0)
#: Crops drawn for one image; where none of them shows enough of an object, the image stays whole.
ATTEMPTS = 100

_WHOLE = (0.0, 0.0, 1.0, 1.0)
# Changes that would have to move the boxes too, or mix them, and do not.
_IMAGES_ONLY = (
    "shift_pixels",
    "cutout_pixels",
    "crop_area",
    "scale",
    "policy",
    "mixup_alpha",
)


def check_augmentation(augmentation: Augmentation) -> None:
    """Refuses changes that are not for detection.

    Raises:
        SpecError: naming the field.
    """
    for name in _IMAGES_ONLY:
        if getattr(augmentation, name) != getattr(Augmentation(), name):
            raise SpecError(
                f"augmentation.{name}",
                "does not move boxes; for detection there are flip and ssd_crop",
            )


def change(
    images: Images,
    objects: Sequence[Objects],
    augmentation: Augmentation,
    rng: np.random.Generator,
    size: tuple[int, int],
) -> tuple[Images, list[Objects]]:
    """Cropped, resized to `size` (height, width) and mirrored as `augmentation` says, boxes with them."""
    _, height, width, _ = images.shape
    found = list(objects)
    if augmentation.ssd_crop:
        drawn = [ssd_window(one, height / width, rng) for one in found]
        windows = np.stack([window for window, _ in drawn])
        found = [
            seen_through(window, one, share)
            for one, (window, share) in zip(found, drawn, strict=True)
        ]
        # Pillow takes left, top, right, bottom in pixels.
        boxes = windows[:, [1, 0, 3, 2]] * (width, height, width, height)
        images = resize(images, size, boxes)
    else:
        images = resize(images, size)
    if augmentation.flip:
        mirrored = rng.random(len(images)) < 0.5
        images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
        found = [flipped(one) if turn else one for one, turn in zip(found, mirrored, strict=True)]
    return images, found


def flipped(objects: Objects) -> Objects:
    """The objects of the image mirrored left-right."""
    top, left, bottom, right = objects.boxes.T
    boxes = np.stack([top, 1 - right, bottom, 1 - left], axis=1)
    return Objects(boxes=boxes, classes=objects.classes, crowd=objects.crowd)


def ssd_window(
    objects: Objects, aspect: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float64], float]:
    """The part of an image (top, left, bottom, right as shares) that SSD trains on, and the share drawn.

    The part shows at least that share of one object's area (crowds aside; of the image where there is
    none). `aspect` is the image's height over its width.
    """
    share = float(rng.choice(SHARES))
    if rng.random() < WHOLE_PROBABILITY:
        return np.array(_WHOLE), 0.0
    windows = _windows(rng, aspect)
    boxes = objects.boxes[~objects.crowd].astype(np.float64)
    shown = shown_shares(windows, boxes if len(boxes) else np.array([_WHOLE]))
    (fit,) = np.nonzero((shown >= share).any(axis=1))
    return (windows[fit[0]], share) if len(fit) else (np.array(_WHOLE), 0.0)


def _windows(rng: np.random.Generator, aspect: float) -> Windows:
    """Up to `ATTEMPTS` crops (n, 4) of the wanted areas and aspects, anywhere in the image."""
    # Width over height in shares; then the height that keeps area and width in their bounds.
    ratio = rng.uniform(*ASPECT, size=ATTEMPTS) * aspect
    low, high = np.sqrt(AREA[0] / ratio), np.minimum(np.sqrt(AREA[1] / ratio), 1 / ratio)
    high = np.minimum(high, 1)
    height = low + rng.random(ATTEMPTS) * (high - low)
    width = height * ratio
    top, left = rng.random((2, ATTEMPTS)) * (1 - np.stack([height, width]))
    windows = np.stack([top, left, top + height, left + width], axis=1)
    # Very long images have no crop of some aspects.
    return np.minimum(windows[low <= high], 1)


def shown_shares(windows: Windows, boxes: Windows) -> npt.NDArray[np.float64]:
    """Share of each box's area that lies in each window, (windows, boxes)."""
    first = np.maximum(windows[:, None, :2], boxes[None, :, :2])
    last = np.minimum(windows[:, None, 2:], boxes[None, :, 2:])
    inside = np.maximum(last - first, 0).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return np.asarray(inside / np.maximum(areas, np.finfo(np.float64).tiny))


def seen_through(window: npt.NDArray[np.float64], objects: Objects, least_share: float) -> Objects:
    """The objects of what `window` shows: those of which it shows `least_share`, clipped to it.

    An object of which less is seen is left out, wherever its centre lies; a crowd stays where any of it
    is seen, since nothing in it may count as background.
    """
    boxes = objects.boxes.astype(np.float64)
    share = shown_shares(window[None], boxes)[0]
    corner = np.tile(window[:2], 2)
    inside = np.clip((boxes - corner) / np.tile(window[2:] - window[:2], 2), 0, 1)
    inside = inside.astype(np.float32)
    kept = (share > 0) & ((share >= least_share) | objects.crowd)
    # What is thinner than single precision has no area left.
    kept &= (inside[:, 2:] > inside[:, :2]).all(axis=1)
    return Objects(boxes=inside[kept], classes=objects.classes[kept], crowd=objects.crowd[kept])

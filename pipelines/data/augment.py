"""Random changes to a batch of uint8 images, vectorised over the batch and pure in the generator."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw_model.errors import SpecError
from pipelines.data.dataset import Images


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Which random changes a training image gets; everything off by default."""

    flip: bool = False
    """Mirror left-right with probability one half."""
    shift_pixels: int = 0
    """Pad by this much with zeros, then crop at a random place (any offset up to this in x and y)."""
    cutout_pixels: int = 0
    """Side of a square set to `cutout_value`, its centre uniform over the image."""
    cutout_probability: float = 1.0
    cutout_value: int = 0
    crop_area: tuple[float, float] | None = None
    """Random-resized-crop: the crop's share of the image's area, drawn uniformly from here."""
    crop_aspect: tuple[float, float] = (0.75, 4 / 3)
    """Width over height of that crop, drawn log-uniformly from here."""
    scale: tuple[float, float] | None = None
    """Shown larger or smaller by a factor drawn log-uniformly from here; segmentation only."""
    ssd_crop: bool = False
    """A random part that shows enough of an object, as published for SSD; detection only."""
    policy: str = ""
    """A named AutoAugment policy (`v0`), or empty."""
    mixup_alpha: float = 0.0
    """Mixes pairs of images and labels with weights from Beta(alpha, alpha)."""

    def __post_init__(self) -> None:
        for name in ("shift_pixels", "cutout_pixels", "mixup_alpha"):
            _require(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        share = self.cutout_probability
        _require(0 <= share <= 1, "cutout_probability", "from 0 to 1", share)
        area = self.crop_area
        if area is not None:
            _require(0 < area[0] <= area[1] <= 1, "crop_area", "two rising shares in (0, 1]", area)
        scale = self.scale
        if scale is not None:
            _require(0 < scale[0] <= scale[1], "scale", "two rising positive factors", scale)
        aspect = self.crop_aspect
        _require(0 < aspect[0] <= aspect[1], "crop_aspect", "two rising positive ratios", aspect)
        _require(self.policy in ("", "v0"), "policy", "empty or 'v0'", self.policy)


def _require(holds: bool, name: str, wanted: str, received: object) -> None:
    if not holds:
        raise SpecError(name, f"must be {wanted}. Received: {received!r}")


def flip(images: Images, rng: np.random.Generator) -> Images:
    """Mirrors about half of the images left-right."""
    chosen = rng.random(len(images)) < 0.5
    out = images.copy()
    out[chosen] = images[chosen, :, ::-1]
    return out


def shift(images: Images, rng: np.random.Generator, pixels: int) -> Images:
    """Moves each image by up to `pixels` in x and y; what comes in from outside is zero."""
    count, height, width, _ = images.shape
    top, left = rng.integers(0, 2 * pixels + 1, size=(2, count))
    padded = np.pad(images, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    # windows is (N, offsets_y, offsets_x, C, H, W): a view, so only the chosen pixels are copied.
    return np.ascontiguousarray(windows[np.arange(count), top, left].transpose(0, 2, 3, 1))


def cutout(
    images: Images, rng: np.random.Generator, pixels: int, probability: float, value: int
) -> Images:
    """Sets a square of each chosen image to `value`; it may stick out of the image."""
    count, height, width, _ = images.shape
    centre_y = rng.integers(0, height, size=(count,))
    centre_x = rng.integers(0, width, size=(count,))
    chosen = rng.random((count,)) < probability
    rows = _inside(centre_y, height, pixels)
    columns = _inside(centre_x, width, pixels)
    hole = rows[:, :, np.newaxis] & columns[:, np.newaxis, :] & chosen[:, np.newaxis, np.newaxis]
    out = images.copy()
    out[hole] = value
    return out


def _inside(centre: npt.NDArray[np.int64], size: int, pixels: int) -> npt.NDArray[np.bool_]:
    """(N, size): which positions lie in a span of `pixels` around each centre."""
    start = centre[:, np.newaxis] - pixels // 2
    position = np.arange(size)[np.newaxis, :]
    inside: npt.NDArray[np.bool_] = (position >= start) & (position < start + pixels)
    return inside


def crop_boxes(
    count: int,
    height: int,
    width: int,
    rng: np.random.Generator,
    area: tuple[float, float],
    aspect: tuple[float, float],
) -> npt.NDArray[np.float64]:
    """(N, 4) boxes as (left, top, right, bottom) in pixels, clipped to the image."""
    share = rng.uniform(area[0], area[1], size=count)
    ratio = np.exp(rng.uniform(np.log(aspect[0]), np.log(aspect[1]), size=count))
    box_height = np.minimum(np.sqrt(share * height * width / ratio), height)
    box_width = np.minimum(np.sqrt(share * height * width * ratio), width)
    top = rng.random(count) * (height - box_height)
    left = rng.random(count) * (width - box_width)
    return np.stack([left, top, left + box_width, top + box_height], axis=1)


def scale_boxes(
    boxes: npt.NDArray[np.float64], rng: np.random.Generator, scale: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Boxes made smaller or larger by a random factor: a part of the box, or it with something around it.

    Source: scale jitter of the published segmentation recipes.
    """
    factor = np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]), size=(len(boxes), 1)))
    corner, size = boxes[:, :2], boxes[:, 2:] - boxes[:, :2]
    # Anywhere within the box where it shows a part, anywhere around it where it shows more.
    start = corner + rng.random((len(boxes), 2)) * (size - size / factor)
    return np.concatenate([start, start + size / factor], axis=1)


def mixup(
    images: npt.NDArray[np.float32],
    targets: npt.NDArray[np.float32],
    rng: np.random.Generator,
    alpha: float,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Mixes every image and its one-hot target with those of another place in the batch."""
    weight = rng.beta(alpha, alpha, size=len(images)).astype(np.float32)
    partner = rng.permutation(len(images))
    by_image = weight[:, np.newaxis, np.newaxis, np.newaxis]
    by_target = weight[:, np.newaxis]
    return (
        by_image * images + (1 - by_image) * images[partner],
        by_target * targets + (1 - by_target) * targets[partner],
    )

"""Drawn shapes and backgrounds for the scene generator: needs no files, so tests always have it."""

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from pipelines.data.scenes.assets import Assets, AssetSource, trim

Floats = npt.NDArray[np.float64]

SHAPE_NAMES = ("disc", "square", "triangle", "star", "ring", "cross")
_CUTOUTS_PER_SHAPE = 12
_BACKGROUNDS = 10
_CUTOUT_PIXELS = 96


@dataclass(frozen=True, kw_only=True)
class ShapeAssets(AssetSource):
    """Shapes in colours and textures that the other side never shows."""

    def load(self, scene_side: int) -> Assets:
        held_out = self.side == "held_out"
        rng = np.random.default_rng([0x5CE, held_out])
        pixels = max(_CUTOUT_PIXELS, scene_side)
        cutouts = tuple(
            tuple(
                trim(_cutout(name, pixels, held_out, rng), scene_side)
                for _ in range(_CUTOUTS_PER_SHAPE)
            )
            for name in SHAPE_NAMES
        )
        backgrounds = tuple(
            _background(round(2.5 * scene_side), held_out, rng) for _ in range(_BACKGROUNDS)
        )
        return Assets(cutouts=cutouts, backgrounds=backgrounds)


def _grid(pixels: int) -> tuple[Floats, Floats]:
    """x and y of the pixel centres, both in -1..1."""
    line = (np.arange(pixels) + 0.5) * 2 / pixels - 1
    return np.broadcast_to(line, (pixels, pixels)), np.broadcast_to(line[:, None], (pixels, pixels))


def _inside(name: str, x: Floats, y: Floats) -> npt.NDArray[np.bool_]:
    """Where the named shape is."""
    radius = np.hypot(x, y)
    if name == "disc":
        return radius < 0.95
    if name == "square":
        return np.maximum(np.abs(x), np.abs(y)) < 0.85
    if name == "triangle":
        return (y < 0.8) & (y > 2 * np.abs(x) - 0.9)
    if name == "star":
        turn = np.arctan2(x, -y) * 5 / (2 * np.pi)
        return radius < 0.95 - 1.05 * np.abs(turn - np.round(turn))
    if name == "ring":
        return (radius < 0.95) & (radius > 0.55)
    return (np.minimum(np.abs(x), np.abs(y)) < 0.28) & (np.maximum(np.abs(x), np.abs(y)) < 0.9)


def _colour(rng: np.random.Generator, held_out: bool) -> Floats:
    """A saturated colour: each third of the hues is seen in its first part and held out in the rest."""
    hue = (rng.integers(3) + (0.65 + 0.35 * rng.random() if held_out else 0.6 * rng.random())) / 3
    return 255 * np.array(
        colorsys.hsv_to_rgb(hue, 0.6 + 0.4 * rng.random(), 0.5 + 0.5 * rng.random())
    )


def _texture(pixels: int, held_out: bool, rng: np.random.Generator) -> Floats:
    """Weights 0..1 (pixels, pixels) between two colours: stripes where seen, checks where held out."""
    x, y = _grid(pixels)
    angle, waves = np.pi * rng.random(), 2 + 5 * rng.random()
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    across = np.sin(np.pi * waves * u)
    return 0.5 + 0.5 * (across * np.sin(np.pi * waves * v) if held_out else across)


def _cutout(name: str, pixels: int, held_out: bool, rng: np.random.Generator) -> Image.Image:
    weights = 0.6 * _texture(pixels, held_out, rng)[..., np.newaxis]
    colours = (1 - weights) * _colour(rng, held_out) + weights * _colour(rng, held_out)
    squeeze = 1 + 0.35 * rng.random()
    x, y = _grid(pixels)
    alpha = np.where(_inside(name, x * squeeze, y), 255.0, 0.0)[..., np.newaxis]
    return Image.fromarray(np.round(np.concatenate([colours, alpha], axis=-1)).astype(np.uint8))


def _background(pixels: int, held_out: bool, rng: np.random.Generator) -> Image.Image:
    """Two dull colours mixed by a coarse texture and by blotches."""
    blotches = Image.fromarray(rng.integers(0, 256, (9, 9), dtype=np.uint8))
    smooth = np.asarray(blotches.resize((pixels, pixels), Image.Resampling.BICUBIC)) / 255
    weights = (0.5 * smooth + 0.5 * _texture(pixels, held_out, rng))[..., np.newaxis]
    first, second = (0.3 * _colour(rng, held_out) + 150 * rng.random() for _ in range(2))
    return Image.fromarray(np.round((1 - weights) * first + weights * second).astype(np.uint8))

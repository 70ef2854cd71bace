"""Cut-outs and backgrounds in memory: decoded once, at the size scenes need, the same in every process."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from hw_model.errors import DataError
from pipelines.data.scenes import catalogue
from pipelines.data.scenes.catalogue import Side

#: Pixels of a cut-out at least this opaque belong to the object.
OPAQUE = 128

#: Side of the largest object, as a share of the scene's side. Source: choice of this generator.
LARGEST_OBJECT = 0.62

# Backgrounds keep this many times the scene's side, so that crops of them differ.
_BACKGROUND_SIDES = 2.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Assets:
    """Cut-outs by class (premultiplied RGBa, trimmed to what is opaque) and backgrounds (RGB)."""

    cutouts: tuple[tuple[Image.Image, ...], ...]
    backgrounds: tuple[Image.Image, ...]


@dataclass(frozen=True, kw_only=True)
class AssetSource(ABC):
    """Where assets come from: small, hashable and cheap to pickle; a worker loads the assets itself."""

    side: Side

    @abstractmethod
    def load(self, scene_side: int) -> Assets:
        """The assets for scenes whose longer side is `scene_side` pixels."""


@dataclass(frozen=True, kw_only=True)
class DebianAssets(AssetSource):
    """The files of `catalogue` below `root`."""

    root: Path

    def load(self, scene_side: int) -> Assets:
        files = catalogue.cutout_files(self.root, self.side)
        backgrounds = catalogue.background_files(self.root, self.side)
        bar = _progress(sum(map(len, files)) + len(backgrounds), f"assets ({self.side})")
        cutouts = []
        for group in files:
            cutouts.append(tuple(_cutout(self.root / path, scene_side) for path in group))
            bar.update(len(group))
        pictures = []
        for path in backgrounds:
            pictures.append(_background(self.root / path, scene_side))
            bar.update(1)
        bar.close()
        return Assets(cutouts=tuple(cutouts), backgrounds=tuple(pictures))


@lru_cache(maxsize=4)
def load_assets(source: AssetSource, scene_side: int) -> Assets:
    """Assets, shared by all splits of this process that use the same ones."""
    return source.load(scene_side)


def trim(picture: Image.Image, scene_side: int) -> Image.Image:
    """A cut-out (RGBA) without its transparent margin, no larger than an object gets, premultiplied."""
    opaque = picture.getchannel("A").point(_threshold())
    box = opaque.getbbox()
    if box is None:
        raise ValueError("it has no opaque pixel")
    cutout = picture.crop(box).convert("RGBa")
    largest = round(scene_side * LARGEST_OBJECT)
    shrink = largest / max(cutout.size)
    if shrink >= 1:
        return cutout
    width, height = (max(1, round(edge * shrink)) for edge in cutout.size)
    return cutout.resize((width, height), Image.Resampling.BOX)


def _threshold() -> Sequence[int]:
    return [255 * (value >= OPAQUE) for value in range(256)]


def _cutout(path: Path, scene_side: int) -> Image.Image:
    try:
        with Image.open(path) as image:
            return trim(image.convert("RGBA"), scene_side)
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error


def _background(path: Path, scene_side: int) -> Image.Image:
    short = round(scene_side * _BACKGROUND_SIDES)
    try:
        with Image.open(path) as image:
            # JPEG decodes at a fraction of its size where that is enough.
            image.draft("RGB", (short, short))
            picture = image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise _unreadable(path, error) from error
    shrink = short / min(picture.size)
    width, height = (max(short, round(edge * shrink)) for edge in picture.size)
    return picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError(f"Cannot read the picture {path}: {reason}. Install its package again.")


def _progress(total: int, name: str) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc=name, unit="picture", delay=2, disable=None)

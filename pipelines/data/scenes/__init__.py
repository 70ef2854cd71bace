"""Composed scenes: exact masks and boxes without stored labels, made when they are read."""

from dataclasses import replace

from pipelines.data.dataset import ImageDataset, Split
from pipelines.data.scenes import catalogue
from pipelines.data.scenes.assets import AssetSource, DebianAssets
from pipelines.data.scenes.compose import Boxes, Scene, compose
from pipelines.data.scenes.fetch import fetch_assets
from pipelines.data.scenes.shapes import SHAPE_NAMES, ShapeAssets
from pipelines.data.scenes.split import SceneBoxSplit, SceneSplit

__all__ = [
    "NAMES",
    "Boxes",
    "Scene",
    "SceneBoxSplit",
    "SceneSplit",
    "compose",
    "load_scenes",
]

_BOXES = "_boxes"
#: With masks, and with boxes.
NAMES = tuple(
    f"{name}{answers}"
    for answers in ("", _BOXES)
    for name in ("composed_scenes", "composed_shapes")
)


def load_scenes(
    name: str,
    *,
    image_size: tuple[int, int] | None = None,
    seed: int = 0,
    download: bool = False,
) -> ImageDataset:
    """One of `NAMES`; `test` has the objects and backgrounds of `train`, `test_held_out` has others.

    Raises:
        DataError: the files of `composed_scenes` are not on this machine, and `download` is not given.
        EnvironmentFault: they cannot be fetched.
    """
    if name.endswith(_BOXES):
        masks = load_scenes(
            name.removesuffix(_BOXES), image_size=image_size, seed=seed, download=download
        )
        return replace(
            masks,
            name=name,
            class_names=masks.class_names[1:],
            splits={key: _boxed(split) for key, split in masks.splits.items()},
        )
    if name == "composed_shapes":
        return _dataset(
            name,
            class_names=("background", *SHAPE_NAMES),
            seen=ShapeAssets(side="seen"),
            held_out=ShapeAssets(side="held_out"),
            counts=(2000, 200),
            size=image_size or (64, 64),
            seed=seed,
            source="drawn by this package",
            licence="Apache-2.0",
        )
    if download and not catalogue.is_present():
        fetch_assets(catalogue.asset_roots()[0])
    root = catalogue.find_root()
    return _dataset(
        name,
        class_names=catalogue.CLASS_NAMES,
        seen=DebianAssets(side="seen", root=root),
        held_out=DebianAssets(side="held_out", root=root),
        counts=(20_000, 2000),
        size=image_size or (128, 128),
        seed=seed,
        source=f"{root / 'usr/share'} ({', '.join(catalogue.PACKAGES)}; files {catalogue.fingerprint(root)})",
        licence=catalogue.LICENCE,
    )


def _boxed(split: Split) -> SceneBoxSplit:
    assert isinstance(split, SceneSplit)
    return SceneBoxSplit(split)


def _dataset(
    name: str,
    *,
    class_names: tuple[str, ...],
    seen: AssetSource,
    held_out: AssetSource,
    counts: tuple[int, int],
    size: tuple[int, int],
    seed: int,
    source: str,
    licence: str,
) -> ImageDataset:
    train, test = counts
    splits = {
        "train": SceneSplit(seen, count=train, size=size, stream=0, seed=seed),
        "test": SceneSplit(seen, count=test, size=size, stream=1, seed=seed),
        "test_held_out": SceneSplit(held_out, count=test, size=size, stream=2, seed=seed),
    }
    return ImageDataset(
        name=name, class_names=class_names, splits=splits, source=source, licence=licence
    )

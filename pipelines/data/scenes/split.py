"""A split of scenes made when they are read, each a pure function of (seed, split, index)."""

from typing import Any

import numpy as np

from hw_model.errors import DataError
from pipelines.data.dataset import BoxSplit, Images, Indices, Masks, MaskSplit, Objects
from pipelines.data.scenes.assets import AssetSource, load_assets
from pipelines.data.scenes.compose import Scene, compose

# Scenes of a split up to this much stay in memory, so that epochs after the first make none.
_CACHE_BYTES = 1536 << 20
_BYTES_PER_PIXEL = 4  # RGB and the mask
_SMALLEST_SIDE = 16


class SceneSplit(MaskSplit):
    """`count` scenes of `size` (height, width); `stream` tells splits with the same seed apart."""

    def __init__(
        self, source: AssetSource, *, count: int, size: tuple[int, int], stream: int, seed: int = 0
    ) -> None:
        if min(size) < _SMALLEST_SIDE:
            raise DataError(
                f"Scenes need at least {_SMALLEST_SIDE} pixels a side. Received: image_size={size}"
            )
        self._source = source
        self._count = count
        self._size = size
        self._key = (seed, stream)
        self._cache: dict[int, Scene] = {}
        self._keep = count * size[0] * size[1] * _BYTES_PER_PIXEL <= _CACHE_BYTES

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return *self._size, 3

    def __len__(self) -> int:
        return self._count

    def __getstate__(self) -> dict[str, Any]:
        # Another process makes its scenes itself: they are the same, and cost less than sending them.
        return self.__dict__ | {"_cache": {}}

    def scene(self, index: int) -> Scene:
        """One scene with everything known about it."""
        if not 0 <= index < self._count:
            raise IndexError(f"scene {index} of {self._count}")
        found = self._cache.get(index)
        if found is None:
            assets = load_assets(self._source, max(self._size))
            found = compose(assets, self._size, np.random.default_rng([*self._key, index]))
            if self._keep:
                self._cache[index] = found
        return found

    def read_pairs(self, indices: Indices) -> tuple[Images, Masks]:
        chosen = np.asarray(indices, dtype=np.int64)
        images = np.empty((len(chosen), *self.image_shape), dtype=np.uint8)
        masks = np.empty((len(chosen), *self._size), dtype=np.uint8)
        for place, index in enumerate(chosen):
            scene = self.scene(int(index))
            images[place], masks[place] = scene.image, scene.mask
        return images, masks

    def read_boxed(self, indices: Indices) -> tuple[Images, list[Objects]]:
        """Images and the objects of each; class ids are one less than in masks, as there is no background."""
        chosen = np.asarray(indices, dtype=np.int64)
        scenes = [self.scene(int(index)) for index in chosen]
        images = np.empty((len(chosen), *self.image_shape), dtype=np.uint8)
        for place, scene in enumerate(scenes):
            images[place] = scene.image
        return images, [self._objects(scene) for scene in scenes]

    def _objects(self, scene: Scene) -> Objects:
        height, width = self._size
        shares = scene.boxes[:, [1, 0, 3, 2]] / np.array([height, width, height, width])
        return Objects(
            boxes=shares.astype(np.float32),
            classes=scene.classes - 1,
            crowd=np.zeros(len(shares), np.bool_),
        )


class SceneBoxSplit(BoxSplit):
    """Scenes with the boxes of their objects in place of masks."""

    def __init__(self, scenes: SceneSplit) -> None:
        self._scenes = scenes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self._scenes.image_shape

    def __len__(self) -> int:
        return len(self._scenes)

    def read_boxed(self, indices: Indices) -> tuple[Images, list[Objects]]:
        return self._scenes.read_boxed(indices)

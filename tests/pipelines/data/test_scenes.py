"""Composed scenes: masks and boxes are exact, scenes depend on nothing but their number, sides differ."""

import hashlib
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hw_model.errors import DataError
from pipelines.data import ImageDataset, MaskSplit, load_dataset
from pipelines.data.scenes import SceneSplit, catalogue, compose, load_scenes
from pipelines.data.scenes.assets import Assets, trim
from pipelines.data.scenes.catalogue import on_side
from pipelines.data.scenes.compose import MOST_OBJECTS
from pipelines.data.scenes.shapes import SHAPE_NAMES, ShapeAssets

# SHA-256 of image, mask, boxes and classes of scenes 0..3; a change here changes every published figure.
GOLDEN = {
    "train": "2ee9b1441685e6c0e535caa2827504985c2b999ecd23a81ccf24d767f14d85ac",
    "test": "96cc33c80ce5451ea4acedfa7c36b07dc4828350235669de8535fb504777f4b9",
    "test_held_out": "745b8660619fa5aa9c6363e59cc21e0184169023ee08977a449ed2a386b1bb7b",
}
DIGEST_CODE = """
import sys
sys.path.insert(0, {folder!r})
from test_scenes import digest
from pipelines.data import load_dataset
print(digest(load_dataset({name!r}).splits["train"]))
"""


def digest(split: SceneSplit) -> str:
    total = hashlib.sha256()
    for index in range(4):
        scene = split.scene(index)
        for values in (scene.image, scene.mask, scene.boxes, scene.classes):
            total.update(values.tobytes())
    return total.hexdigest()


def scenes_of(data: ImageDataset, name: str = "train") -> SceneSplit:
    split = data.splits[name]
    assert isinstance(split, SceneSplit)
    return split


@pytest.fixture(scope="module")
def shapes() -> ImageDataset:
    return load_dataset("composed_shapes")


@pytest.fixture(scope="module")
def photographs() -> ImageDataset:
    try:
        return load_scenes("composed_scenes")
    except DataError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", GOLDEN)
def test_scenes_are_those_of_every_machine(shapes: ImageDataset, name: str) -> None:
    assert digest(scenes_of(shapes, name)) == GOLDEN[name]


@pytest.mark.parametrize(
    "name", ["composed_shapes", pytest.param("composed_scenes", marks=pytest.mark.slow)]
)
def test_another_process_makes_the_same_scenes(name: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue("shapes" if name == "composed_shapes" else "photographs")
    code = DIGEST_CODE.format(folder=str(Path(__file__).parent), name=name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(scenes_of(data))


def test_a_scene_depends_on_seed_split_and_index_alone(shapes: ImageDataset) -> None:
    fresh = scenes_of(load_scenes("composed_shapes"))
    backwards = fresh.read_pairs([3, 2, 1])
    forwards = scenes_of(shapes).read_pairs([1, 2, 3])
    for one, other in zip(backwards, forwards, strict=True):
        np.testing.assert_array_equal(one[::-1], other)
    others = [
        scenes_of(load_scenes("composed_shapes", seed=1)).scene(0),
        scenes_of(shapes, "test").scene(0),
        scenes_of(shapes).scene(1),
    ]
    first = scenes_of(shapes).scene(0)
    assert not any(np.array_equal(first.image, scene.image) for scene in others)


def test_the_data_set_describes_itself(shapes: ImageDataset) -> None:
    assert shapes.task == "segmentation"
    assert shapes.class_names == ("background", *SHAPE_NAMES)
    assert shapes.image_shape == (64, 64, 3)
    assert {name: len(split) for name, split in shapes.splits.items()} == {
        "train": 2000,
        "test": 200,
        "test_held_out": 200,
    }
    assert shapes.licence


def test_boxes_are_the_visible_extent_of_objects(shapes: ImageDataset) -> None:
    split = scenes_of(shapes)
    counts = set()
    for index in range(60):
        scene = split.scene(index)
        counts.add(len(scene.classes))
        assert scene.mask.dtype == np.uint8
        assert scene.boxes.shape == (len(scene.classes), 4)
        assert set(np.unique(scene.mask)) - {0} == set(scene.classes.tolist())
        inside = np.zeros_like(scene.mask)
        for (left, top, right, bottom), label in zip(scene.boxes, scene.classes, strict=True):
            assert 0 <= left < right <= 64
            assert 0 <= top < bottom <= 64
            inside[top:bottom, left:right] = 1
            assert np.any(scene.mask[top:bottom, left:right] == label)
        assert not np.any(scene.mask[inside == 0])
        for label in set(scene.classes.tolist()):
            if np.count_nonzero(scene.classes == label) == 1:
                rows, columns = np.nonzero(scene.mask == label)
                found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
                assert scene.boxes[scene.classes == label][0].tolist() == found
    assert counts == set(range(1, MOST_OBJECTS + 1))


def test_every_class_appears_about_equally_often(shapes: ImageDataset) -> None:
    labels = np.concatenate(
        [one.classes + 1 for one in scenes_of(shapes).read_boxed(range(300))[1]]
    )
    counts = np.bincount(labels, minlength=7)[1:]
    assert counts.min() > 0.75 * counts.mean()


def test_the_mask_lies_where_the_object_was_painted() -> None:
    black = Image.new("RGB", (200, 200))
    white = trim(Image.new("RGBA", (30, 20), (255, 255, 255, 255)), 64)
    assets = Assets(cutouts=((white,),), backgrounds=(black,))
    for seed in range(20):
        scene = compose(assets, (64, 64), np.random.default_rng(seed))
        # Blur and noise move the edge by less than a pixel or two.
        painted = scene.image.mean(axis=-1) > 110
        assert np.mean(painted == (scene.mask == 1)) > 0.97


def test_scenes_can_have_any_shape() -> None:
    data = load_scenes("composed_shapes", image_size=(48, 80))
    images, masks = scenes_of(data).read_pairs([0, 1])
    assert images.shape == (2, 48, 80, 3)
    assert masks.shape == (2, 48, 80)
    with pytest.raises(DataError, match=r"image_size=\(8, 8\)"):
        load_scenes("composed_shapes", image_size=(8, 8))


def test_a_split_travels_without_its_scenes_and_parts_keep_masks(shapes: ImageDataset) -> None:
    split = scenes_of(shapes)
    split.read(range(5))
    sent = pickle.dumps(split)
    assert len(sent) < 1000
    assert digest(pickle.loads(sent)) == digest(split)
    part = split.part([4, 2])
    assert isinstance(part, MaskSplit)
    np.testing.assert_array_equal(part.read_pairs([1])[1], split.read_pairs([2])[1])
    with pytest.raises(IndexError):
        split.scene(2000)


def test_scenes_too_large_for_memory_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.data.scenes.split._CACHE_BYTES", 0)
    split = SceneSplit(ShapeAssets(side="seen"), count=3, size=(64, 64), stream=0)
    assert split.scene(0) is not split.scene(0)
    np.testing.assert_array_equal(split.scene(0).image, split.scene(0).image)


def test_sides_share_nothing_and_hold_out_enough() -> None:
    for count in (6, 7, 20, 100):
        names = [f"object_{index}.png" for index in range(count)]
        held_out, seen = on_side(names, "held_out"), on_side(names, "seen")
        assert sorted(held_out + seen) == sorted(names)
        assert len(held_out) >= max(3, 0.2 * count)


def test_missing_packages_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(catalogue, "asset_roots", lambda: (tmp_path / "own", tmp_path))
    with pytest.raises(DataError, match="make assets") as caught:
        load_dataset("composed_scenes")
    message = str(caught.value)
    assert "tuxpaint-stamps-default" in message
    assert str(tmp_path / "own") in message
    assert "\n" not in message


def test_the_folder_for_assets_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EDGEZOO_ASSETS", str(tmp_path))
    assert catalogue.asset_roots()[0] == tmp_path
    for folder in (catalogue.STAMPS, catalogue.WALLPAPERS, catalogue.MATE):
        (tmp_path / folder).mkdir(parents=True)
    with pytest.raises(DataError, match="0 cut-outs of class 'bird'"):
        load_dataset("composed_scenes")


def test_photographs_hold_out_objects_and_backgrounds(photographs: ImageDataset) -> None:
    root = catalogue.find_root()
    assert photographs.class_names == catalogue.CLASS_NAMES
    assert photographs.image_shape == (128, 128, 3)
    assert [len(photographs.splits[name]) for name in ("train", "test", "test_held_out")] == [
        20_000,
        2000,
        2000,
    ]
    for seen, held_out in zip(
        catalogue.cutout_files(root, "seen"), catalogue.cutout_files(root, "held_out"), strict=True
    ):
        assert not set(seen) & set(held_out)
        assert len(held_out) >= max(3, 0.2 * (len(seen) + len(held_out)))
    everything = [path for side in ("seen", "held_out") for path in _paths(root, side)]
    assert len(everything) == len(set(everything))
    assert catalogue.fingerprint(root) in photographs.source


def _paths(root: Path, side: catalogue.Side) -> list[str]:
    return [path for group in catalogue.cutout_files(root, side) for path in group] + list(
        catalogue.background_files(root, side)
    )


def test_photographs_show_every_class(photographs: ImageDataset) -> None:
    for name in ("train", "test_held_out"):
        _, masks = scenes_of(photographs, name).read_pairs(range(80))
        share = np.bincount(masks.ravel(), minlength=14) / masks.size
        assert len(share) == 14
        assert 0.7 < share[0] < 0.95
        assert share[1:].min() > 0

"""The space around AutoSeg-EdgeTPU: published networks are points of it, points are networks, searches run in it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hw_model import estimate
from hw_model.errors import UsageError
from hw_model.graph import verify
from model_zoo import create_spec
from model_zoo.spec import BifpnHead, ModelSpec, Space, from_json, round_filters
from pipelines.search import (
    Budget,
    QualityConfig,
    SearchConfig,
    Trial,
    best,
    export_winner,
    run_search,
)
from pipelines.search.quality.training import search_data
from pipelines.search.spaces import canonical_key, genotype_of, space_entry
from pipelines.search.spaces.autoseg_edgetpu import DIVISOR, MULTIPLIERS, STAGES
from pipelines.search.wiring import make_problem, make_space

SIZES = ("xs", "s", "m")


@pytest.fixture(scope="module")
def space() -> Space[ModelSpec]:
    return space_entry("autoseg").make(image_size=512, channels=3, num_classes=32)


def tiny_config(folder: Path, **changes: object) -> SearchConfig:
    """A search by proxy on small images."""
    settings = {
        "folder": str(folder),
        "budget": Budget.parse("0.8ms"),
        "space": "autoseg",
        "image_size": 64,
        "num_classes": 5,
        "width": 0.25,
        "trials": 4,
        "batch_size": 4,
        "quality": QualityConfig(kind="proxy"),
    }
    return SearchConfig(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
def test_published_networks_are_points(space: Space[ModelSpec], size: str) -> None:
    """Spec for spec, as they are deployed."""
    spec = create_spec(f"autoseg_edgetpu_{size}", output="fused_argmax_256")
    assert space.bind(genotype_of(space, spec)) == spec


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("side", "width"), [(64, 0.25), (28, 1.0), (200, 0.5)])
def test_published_networks_at_other_sizes_are_points(size: str, side: int, width: float) -> None:
    spec = create_spec(
        f"autoseg_edgetpu_{size}",
        num_classes=7,
        input_shape=(side, side, 3),
        width=width,
        strides="fit",
        output=f"fused_argmax_{side // 2}",
    )
    space = space_entry("autoseg").make(image_size=side, channels=3, num_classes=7, width=width)
    assert space.bind(genotype_of(space, spec)) == spec


def test_widths_of_the_space_are_the_multiples_of_stage_widths() -> None:
    """18 channels are 20, as published; one published multiplier is not on the paper's list."""
    assert round_filters(24 * 0.75, DIVISOR) == 20
    bases = [base for base, layers, _ in STAGES for _ in range(layers)]
    used = set()
    for size in SIZES:
        blocks = create_spec(f"autoseg_edgetpu_{size}").stacked.blocks()
        made = [b for b in blocks if b.mid_filters != b.in_filters or b.stack == 0]
        assert len(made) == len(bases)
        for block, base in zip(made, bases, strict=True):
            used |= {m for m in MULTIPLIERS if round_filters(base * m, DIVISOR) == block.filters}
    assert used == {0.5, 0.75, 1.0, 1.5}


@pytest.mark.parametrize(
    ("side", "width", "count"), [(512, 1.0, 300), (64, 0.25, 60), (5, 0.5, 20)]
)
def test_every_genotype_is_a_network(side: int, width: float, count: int) -> None:
    """Bound, lowered, verified, the same after JSON, and found again; none is refused."""
    space = space_entry("autoseg").make(image_size=side, channels=3, num_classes=9, width=width)
    rows = np.random.default_rng(0).integers(
        0, space.cardinalities, size=(count, len(space.choices))
    )
    for index, row in enumerate(rows.tolist()):
        spec = space.bind(row)
        assert isinstance(spec.head, BifpnHead)
        graph = spec.graph()
        assert graph.tensors[graph.outputs[0]].shape[1:3] == (side, side)
        if index % 20 == 0:
            verify(graph)
            assert from_json(spec.to_json()) == spec
            assert space.bind(genotype_of(space, spec)) == spec


def test_changed_points_keep_or_change_the_key_with_the_network(space: Space[ModelSpec]) -> None:
    rng = np.random.default_rng(3)
    kernel = [choice.path for choice in space.choices].index("layers[0].kernel")
    for row in rng.integers(0, space.cardinalities, size=(20, len(space.choices))).tolist():
        other = [*row]
        other[kernel] = (row[kernel] + 1) % 3
        is_project = space.bind(row).stacked.stacks[0].kind == "project"
        same = canonical_key(space.bind(row)) == canonical_key(space.bind(other))
        assert same == is_project  # a 1x1 projection has no kernel to choose


def test_other_networks_and_genotypes_are_refused(space: Space[ModelSpec]) -> None:
    for other in ("deeplabv3plus_mobilenet_edgetpu_v2_xs", "mobilenet_edgetpu_v2_s"):
        with pytest.raises(UsageError, match="holds no network equal to"):
            genotype_of(space, create_spec(other))
    with pytest.raises(UsageError, match="entries. Received: 3"):
        space.bind([0, 0, 0])
    with pytest.raises(UsageError, match=r"gene of stem|gene of layers\[0\]\.kind is from 0 to 1"):
        space.bind([9] * len(space.choices))
    with pytest.raises(UsageError, match="at least 5 pixels"):
        space_entry("autoseg").make(image_size=4, channels=3, num_classes=2)


def test_costs_are_those_of_the_deployed_network(space: Space[ModelSpec]) -> None:
    config = SearchConfig(
        folder="", budget=Budget.parse("3.6ms"), space="autoseg", image_size=512, num_classes=32
    )
    problem = make_problem(config)
    spec = create_spec("autoseg_edgetpu_xs", output="fused_argmax_256")
    (cost,) = problem.costs(np.array([genotype_of(space, spec)]))
    report = estimate(spec, target="pixel6")
    assert getattr(cost, "values", None) == (report.latency_ms, report.energy_mj)
    assert cost.summary["blocks"] == 20  # type: ignore[union-attr]


def test_blocks_are_not_pruned_from_it(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, prune=str(tmp_path / "p.json"))
    with pytest.raises(UsageError, match="cannot be pruned from space autoseg"):
        make_space(config)


@pytest.mark.parametrize(
    ("space", "data"), [("autoseg", "digits"), ("mobilenet_edgetpu_v2", "own")]
)
def test_data_of_another_task_is_refused(
    space: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.data import MaskArraySplit

    masks = MaskArraySplit(np.zeros((2, 8, 8, 3), np.uint8), np.zeros((2, 8, 8), np.uint8))
    if data == "own":
        monkeypatch.setattr("pipelines.data.load_dataset", lambda name, **settings: _dataset(masks))
    config = tiny_config(tmp_path, space=space, quality=QualityConfig(data=data))
    with pytest.raises(UsageError, match=rf"Space {space} is for .*; take --space "):
        search_data(config)


def _dataset(masks: object) -> object:
    from pipelines.data import ImageDataset

    return ImageDataset(
        name="own",
        class_names=("a", "b"),
        splits={"train": masks, "test": masks},  # type: ignore[dict-item]
    )


def test_a_search_reports_and_exports_a_network_to_train(tmp_path: Path) -> None:
    """The preset answers with logits and its cost is that of the deployed network."""
    import json

    from model_zoo import presets
    from pipelines.report import study_sections

    study = run_search(tiny_config(tmp_path / "s"), progress=False)
    winner = best(study)
    place = export_winner(study, tmp_path / "w", name="found")
    (preset,) = presets.read_manifest(tmp_path / "w").presets
    spec = from_json((place / presets.SPEC_FILE).read_bytes())
    assert preset.task == "segmentation"
    assert isinstance(spec.head, BifpnHead)
    assert spec.head.output.name == "logits"
    record = json.loads((place / "search.json").read_text())["winner"]
    assert record["output"] == "fused_argmax_32"
    cost = json.loads((place / "cost.json").read_text())
    assert cost["latency_ms"] == record["cost"]["latency_ms"] == study.spent(winner, "latency_ms")
    pages = {section.title: section.body for section in study_sections(study)}
    assert "autoseg_edgetpu_xs at width 0.25" in pages["Pareto front"]
    assert "Differences from autoseg_edgetpu_m at width 0.25" in pages["The winner"]


def test_points_become_keras_models_with_as_many_parameters() -> None:
    from model_zoo import create_model

    space = space_entry("autoseg").make(image_size=32, channels=3, num_classes=4, width=0.25)
    for row in np.random.default_rng(1).integers(
        0, space.cardinalities, size=(1, len(space.choices))
    ):
        spec = space.bind(row.tolist())
        model = create_model(spec, output="logits")
        assert model.count_params() == spec.graph().param_count
        assert model.output_shape[-1] == 4


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set of random images whose masks follow from them."""
    from pipelines.data import ImageDataset, MaskArraySplit

    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3)).astype(np.uint8)
    split = MaskArraySplit(images, (images[..., 0] > 127).astype(np.uint8))
    data = ImageDataset(
        name="noise", class_names=("a", "b"), splits={"train": split, "test": split}
    )
    monkeypatch.setattr("pipelines.data.load_dataset", lambda name, **settings: data)


def trained_trial(folder: Path) -> Trial:
    """The only trial of a study on noise."""
    quality = QualityConfig(data="noise", recipe="search_segment_short", epochs=1, repeats=0)
    config = tiny_config(
        folder,
        # What meets it has few cells in its head, which Keras takes its time for.
        budget=Budget.parse("0.7ms"),
        image_size=16,
        num_classes=2,
        width=0.125,
        trials=1,
        quality=quality,
    )
    (trial,) = run_search(config, progress=False).trials
    return trial


@pytest.mark.usefixtures("noise")
def test_a_trial_trains_on_logits_and_keeps_the_spec_it_was_costed_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = []

    def train(model: Any, data: Any, recipe: Any, *, run_dir: Path, **settings: Any) -> Any:
        shapes.append(model.output_shape)
        weights = run_dir / "w.h5"
        weights.parent.mkdir(parents=True)
        weights.touch()
        metrics = {"miou": 0.25, "loss": 1.0}
        return SimpleNamespace(metrics=metrics, weights=weights, epochs=1, recipe_id=recipe.name)

    monkeypatch.setattr("pipelines.train.train", train)
    trial = trained_trial(tmp_path)
    assert (trial.quality, trial.quality_detail["metric"]) == (0.25, "miou")
    assert trial.quality_detail["recipe_id"] == "search_segment_short"
    assert trial.spec["head"]["output"] == {"kind": "fused_argmax", "size": 8}
    assert [shape[-1] for shape in shapes] == [2]


@pytest.mark.slow
@pytest.mark.usefixtures("noise")
def test_training_gives_a_trial_its_miou(tmp_path: Path) -> None:
    trial = trained_trial(tmp_path)
    assert trial.failure is None
    assert trial.quality_detail["metric"] == "miou"
    assert 0 <= (trial.quality or -1.0) <= 1

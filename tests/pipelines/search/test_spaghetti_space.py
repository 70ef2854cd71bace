"""The Spaghetti space: published networks are points of it, points are networks, with GC-IBN layers and without."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model import estimate
from hw_model.errors import UsageError
from hw_model.graph import verify
from model_zoo import create_spec
from model_zoo.spec import ModelSpec, NodeBackbone, Space, SsdHead, from_json
from pipelines.search import Budget, QualityConfig, SearchConfig, best, run_search
from pipelines.search.problem import Candidate, Cost
from pipelines.search.quality import Quality
from pipelines.search.quality.training import TrainedQuality
from pipelines.search.samplers.variation import mutate
from pipelines.search.spaces import canonical_key, genotype_of, space_entry
from pipelines.search.wiring import make_problem, make_space

SIZES = ("s", "m", "l")
BOTH = ("spaghettinet", "spaghettinet_no_gc")


@pytest.fixture(scope="module")
def space() -> Space[ModelSpec]:
    return space_entry("spaghettinet").make(image_size=320, channels=3, num_classes=90)


def nodes_of(spec: ModelSpec) -> NodeBackbone:
    """The backbone, known to be of nodes."""
    assert isinstance(spec.backbone, NodeBackbone)
    return spec.backbone


def shallow(space: Space[ModelSpec]) -> tuple[int, ...]:
    """A random point with one layer to a node: Keras takes its time for each."""
    row = np.random.default_rng(1).integers(0, space.cardinalities)
    row[[choice.path.endswith(".depth") for choice in space.choices]] = 0
    return tuple(row.tolist())


def tiny_config(folder: Path, **changes: object) -> SearchConfig:
    """A search by proxy on small images."""
    settings = {
        "folder": str(folder),
        "budget": Budget.parse("1.3ms"),
        "space": "spaghettinet",
        "image_size": 96,
        "num_classes": 5,
        "width": 0.25,
        "trials": 6,
        "batch_size": 3,
        "quality": QualityConfig(kind="proxy"),
    }
    return SearchConfig(**{**settings, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("side", "width"), [(320, 1.0), (96, 0.25), (128, 0.5), (16, 1.0), (257, 1.5)]
)
def test_published_networks_are_points(size: str, side: int, width: float) -> None:
    """Spec for spec, at any image size and width."""
    settings: Any = {"num_classes": 7, "input_shape": (side, side, 3), "width": width}
    spec = create_spec(f"spaghettinet_edgetpu_{size}", **settings, strides="fit")
    space = space_entry("spaghettinet").make(
        image_size=side, channels=3, num_classes=7, width=width
    )
    assert space.bind(genotype_of(space, spec)) == spec


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize(
    ("side", "width", "count"), [(320, 1.0, 200), (96, 0.25, 100), (16, 0.5, 30)]
)
def test_every_genotype_is_a_network(name: str, side: int, width: float, count: int) -> None:
    """Bound, lowered, verified, the same after JSON, and found again; none is refused."""
    space = space_entry(name).make(image_size=side, channels=3, num_classes=9, width=width)
    rows = np.random.default_rng(0).integers(
        0, space.cardinalities, size=(count, len(space.choices))
    )
    for index, row in enumerate(rows.tolist()):
        spec = space.bind(row)
        graph = spec.graph()
        if index % 10 == 0:
            verify(graph)
            assert from_json(spec.to_json()) == spec
            again = genotype_of(space, spec)
            assert space.bind(again) == spec
        if name == "spaghettinet_no_gc":
            kinds = {layer.kind for node in nodes_of(spec).nodes for layer in node.layers}
            assert kinds <= {"ibn", "separable"}


@pytest.mark.parametrize("name", BOTH)
def test_mutated_networks_are_networks(name: str) -> None:
    """Thirty generations of changes; none leaves the space."""
    space = space_entry(name).make(image_size=128, channels=3, num_classes=3, width=0.5)
    rng = np.random.default_rng(0)
    cardinalities = np.asarray(space.cardinalities)
    rows = np.zeros((4, len(cardinalities)), dtype=np.int64)
    keys = set()
    for _ in range(30):
        rows = mutate(rng, rows, cardinalities, 3.0)
        specs = [space.bind(row) for row in rows.tolist()]
        keys |= set(map(canonical_key, specs))
        verify(specs[0].graph())
    assert len(keys) > 60


@given(st.integers(0, 10_000), st.integers(0, 229))
def test_key_changes_with_the_network(seed: int, gene: int) -> None:
    """Genes without effect keep the network; every other one changes the key."""
    space = space_entry("spaghettinet").make(image_size=320, channels=3, num_classes=90)
    row = np.random.default_rng(seed).integers(0, space.cardinalities).tolist()
    other = [*row]
    other[gene] = (row[gene] + 1) % space.cardinalities[gene]
    left, right = space.bind(row), space.bind(other)
    assert (canonical_key(left) == canonical_key(right)) == (left == right)


def test_key_does_not_see_which_map_a_node_names_first() -> None:
    spec = create_spec("spaghettinet_edgetpu_s")
    backbone = nodes_of(spec)
    merged = replace(backbone.nodes[6], edges=backbone.nodes[6].edges[::-1])
    nodes = (*backbone.nodes[:6], merged, *backbone.nodes[7:])
    other = replace(spec, backbone=replace(backbone, nodes=nodes))
    assert other.spec_id != spec.spec_id
    assert canonical_key(other) == canonical_key(spec)
    narrow = (*backbone.nodes[:6], replace(merged, filters=8), *backbone.nodes[7:])
    third = replace(spec, backbone=replace(backbone, nodes=narrow))
    assert canonical_key(third) != canonical_key(spec)


def test_a_head_node_reads_two_maps_or_one(space: Space[ModelSpec]) -> None:
    """Two are resampled; one is passed if it is no coarser; what nobody reads is left out."""
    point = {
        choice.path: choice.values[gene]
        for choice, gene in zip(
            space.choices,
            genotype_of(space, create_spec("spaghettinet_edgetpu_s")),
            strict=True,
        )
    }

    def read(*pairs: tuple[str, str]) -> dict[str, list[tuple[str, str]]]:
        """The edges of every node, where those of the last nodes of the head are chosen so."""
        chosen = dict(point)
        for number, pair in zip(range(12 - len(pairs), 12), pairs, strict=True):
            chosen |= {f"nodes[{number}].reads[{index}]": pair[index] for index in (0, 1)}
        nodes = nodes_of(space.bind(chosen)).nodes
        return {node.name: [(edge.source, edge.kind) for edge in node.edges] for node in nodes}

    edges = read(("c0n3", "n4"), ("n5", "n5"))
    assert edges["c0n4"] == [("n4", "resample"), ("c0n3", "resample")]
    assert edges["c0n5"] == [("n5", "pass")]
    assert read(("c0n1", "c0n1"), ("n5", "n5"), ("n5", "n5"))["c0n3"] == [("c0n1", "pass")]
    single = read(("n3", "n3"), ("c0n0", "c0n0"), ("n3", "c0n1"), ("n3", "n2"), *[("n2", "n2")] * 2)
    assert single["c0n1"] == [("c0n0", "resample")]
    assert {"n4", "n5"}.isdisjoint(single)
    assert "c0n0" in single
    assert "c0n0" not in read(*[("n3", "n2")] * 5)


def test_groups_that_do_not_fit_become_fewer() -> None:
    space = space_entry("spaghettinet").make(image_size=96, channels=3, num_classes=2, width=0.25)
    found = set()
    for row in np.random.default_rng(4).integers(0, space.cardinalities, (40, len(space.choices))):
        for node, _, channels in nodes_of(space.bind(row.tolist())).inputs():
            for layer, inputs in zip(node.layers, [channels] + [node.filters] * 3, strict=False):
                if layer.groups is not None:
                    assert inputs % layer.groups == 0
                    found.add(layer.groups)
    assert found == {2, 3, 4}


def test_other_networks_and_sizes_are_refused(space: Space[ModelSpec]) -> None:
    for other in ("ssdlite_mobiledet_edgetpu", "mobilenet_edgetpu_v2_s"):
        with pytest.raises(UsageError, match="holds no network equal to"):
            genotype_of(space, create_spec(other))
    plain = space_entry("spaghettinet_no_gc").make(image_size=320, channels=3, num_classes=90)
    with pytest.raises(UsageError, match="holds no network equal to"):
        genotype_of(plain, create_spec("spaghettinet_edgetpu_s"))
    with pytest.raises(UsageError, match="at least 16 pixels"):
        space_entry("spaghettinet").make(image_size=15, channels=3, num_classes=2)


@pytest.mark.parametrize("target", ["pixel6", "coral_usb"])
def test_costs_are_those_of_the_network(space: Space[ModelSpec], target: str) -> None:
    config = SearchConfig(
        folder="",
        budget=Budget.parse("1.3ms"),
        space="spaghettinet",
        image_size=320,
        num_classes=90,
        target=target,
    )
    spec = create_spec("spaghettinet_edgetpu_s")
    rng = np.random.default_rng(0)
    others = rng.integers(0, space.cardinalities, size=(2, len(space.choices)))
    problem = make_problem(config)
    found = problem.costs(np.vstack((genotype_of(space, spec), others)))
    for cost, each in zip(found, [spec, *map(space.bind, others.tolist())], strict=True):
        report = estimate(each, target=target)
        assert isinstance(cost, Cost)
        assert cost.values == (report.latency_ms, report.energy_mj)
    summary = getattr(found[0], "summary", {})
    counts = {name: summary[name] for name in ("blocks", "ibn", "gc_ibn", "separable")}
    assert counts == {"blocks": 32, "ibn": 19, "gc_ibn": 5, "separable": 8}


def test_settings_are_other_spaces_and_neither_is_pruned(tmp_path: Path) -> None:
    problems = [make_problem(tiny_config(tmp_path, space=name)) for name in BOTH]
    assert problems[0].space_id != problems[1].space_id
    config = tiny_config(tmp_path, prune=str(tmp_path / "p.json"))
    with pytest.raises(UsageError, match="cannot be pruned from space spaghettinet"):
        make_space(config)


@pytest.mark.parametrize("sampler", ["screened_evolution", "nsga2"])
def test_a_search_reports_its_winner(sampler: str, tmp_path: Path) -> None:
    from pipelines.report import study_sections

    config = tiny_config(tmp_path / "s", sampler=sampler, trials=20, batch_size=10)
    study = run_search(config, progress=False)
    assert len(study.complete) == 20
    assert study.spent(best(study), "latency_ms") <= 1.3
    pages = {section.title: section.body for section in study_sections(study)}
    assert "spaghettinet_edgetpu_s at width 0.25" in pages["Pareto front"]
    assert "Differences from spaghettinet_edgetpu_m at width 0.25" in pages["The winner"]


def test_a_winner_becomes_a_preset(tmp_path: Path) -> None:
    from model_zoo import presets
    from pipelines.search import export_winner

    study = run_search(tiny_config(tmp_path / "s"), progress=False)
    place = export_winner(study, tmp_path / "w", name="found")
    (preset,) = presets.read_manifest(tmp_path / "w").presets
    spec = from_json((place / presets.SPEC_FILE).read_bytes())
    assert preset.task == "detection"
    assert isinstance(spec.head, SsdHead)
    assert spec.head.num_classes == 5


def test_points_become_keras_models_with_as_many_parameters() -> None:
    from model_zoo import create_model

    space = space_entry("spaghettinet").make(image_size=32, channels=3, num_classes=4, width=0.25)
    spec = space.bind(shallow(space))
    kinds = {layer.kind for node in nodes_of(spec).nodes for layer in node.layers}
    assert kinds == {"separable", "ibn", "gc_ibn"}
    model = create_model(spec)
    assert model.count_params() == spec.graph().param_count
    assert model.output["class_logits"].shape[-1] == 5


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A data set of random images, each with one object, that counts how often it is read."""
    from pipelines.data import BoxArraySplit, ImageDataset, Objects

    class Counted(BoxArraySplit):
        reads = 0

        def read_boxed(self, indices: Any) -> Any:
            Counted.reads += len(indices)
            return super().read_boxed(indices)

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    objects = [
        Objects(
            boxes=np.array([[0.2, 0.2, 0.8, 0.8]], np.float32),
            classes=np.array([index % 2]),
            crowd=np.zeros(1, bool),
        )
        for index in range(24)
    ]
    split = Counted(images, objects)
    data = ImageDataset(
        name="noise", class_names=("a", "b"), splits={"train": split, "test": split}
    )
    monkeypatch.setattr("pipelines.data.load_dataset", lambda name, **settings: data)
    return {"data": data, "counted": Counted}


def noise_config(folder: Path, **changes: object) -> SearchConfig:
    """A study of one trial on noise."""
    quality = QualityConfig(
        data="noise", recipe="search_detect_short", epochs=1, test_images=8, repeats=0
    )
    return tiny_config(
        folder,
        image_size=32,
        num_classes=2,
        width=0.25,
        trials=1,
        quality=quality,
        **changes,
    )


def test_images_and_boxes_of_a_study_are_read_once(noise: dict[str, Any], tmp_path: Path) -> None:
    from pipelines.data import BoxSplit
    from pipelines.search.quality.training import search_data

    data = search_data(noise_config(tmp_path))
    assert (len(data.train), len(data.test), data.task) == (16, 8, "detection")
    assert noise["counted"].reads == 24
    assert isinstance(data.test, BoxSplit)
    for _ in range(2):
        images, objects = data.test.read_boxed(range(8))
    assert (images.shape, len(objects)) == ((8, 32, 32, 3), 8)
    assert noise["counted"].reads == 24


@pytest.mark.usefixtures("noise")
def test_data_of_another_task_is_refused(tmp_path: Path) -> None:
    from pipelines.search.quality.training import search_data

    config = noise_config(tmp_path, space="autoseg")
    with pytest.raises(UsageError, match="Space autoseg is for segmentation .*; take --space spag"):
        search_data(config)


@pytest.mark.usefixtures("noise")
def test_a_trial_is_measured_by_the_headline_of_its_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = []

    def train(model: Any, data: Any, recipe: Any, *, run_dir: Path, **settings: Any) -> Any:
        outputs.append(set(model.output))
        weights = run_dir / "w.h5"
        weights.parent.mkdir(parents=True)
        weights.touch()
        metrics = {"ap": 0.25, "ap50": 0.5, "loss": 1.0}
        return SimpleNamespace(metrics=metrics, weights=weights, epochs=1, recipe_id=recipe.name)

    monkeypatch.setattr("pipelines.train.train", train)
    found = trained(tmp_path)
    assert (found.value, found.detail["metric"]) == (0.25, "ap")
    assert outputs == [{"box_codes", "class_logits"}]


def trained(folder: Path) -> Quality:
    """What a study on noise pays for a small network."""
    config = noise_config(folder)
    row = shallow(make_space(config)[0])
    candidate = Candidate(genotype=row, key="shallow", cost=Cost(values=(1.0, 1.0)))
    (found,) = TrainedQuality(config, folder / "artifacts").evaluate([candidate], 0)
    assert isinstance(found, Quality)
    return found


@pytest.mark.slow
@pytest.mark.usefixtures("noise")
def test_training_gives_a_trial_its_average_precision(tmp_path: Path) -> None:
    found = trained(tmp_path)
    assert found.detail["metric"] == "ap"
    assert 0 <= found.value <= 1

"""The space around MobileNetEdgeTPUv2: published networks are points of it, and every point is a network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw_model.errors import UnknownNameError, UsageError
from hw_model.graph import verify
from model_zoo import create_spec
from model_zoo.spec import ModelSpec, Space, from_json
from pipelines.search import Budget, SearchConfig
from pipelines.search.spaces import canonical_key, genotype_of, space_entry
from pipelines.search.spaces.mobilenet_edgetpu_v2 import EdgeTpuSpace
from pipelines.search.wiring import make_problem

SIZES = ("tiny", "xs", "s", "m", "l")


@pytest.fixture(scope="module")
def space() -> Space[ModelSpec]:
    return space_entry("mobilenet_edgetpu_v2").make(image_size=224, channels=3, num_classes=1001)


@pytest.fixture(scope="module")
def small_space() -> Space[ModelSpec]:
    entry = space_entry("mobilenet_edgetpu_v2")
    return entry.make(image_size=28, channels=1, num_classes=10, width=0.25)


@pytest.mark.parametrize("size", SIZES)
def test_published_networks_are_points(space: Space[ModelSpec], size: str) -> None:
    spec = create_spec(f"mobilenet_edgetpu_v2_{size}")
    genotype = genotype_of(space, spec)
    assert space.bind(genotype) == spec


@pytest.mark.parametrize("size", SIZES)
def test_published_networks_fitted_to_small_images_are_points(size: str) -> None:
    make = space_entry("mobilenet_edgetpu_v2").make
    spec = create_spec(
        f"mobilenet_edgetpu_v2_{size}", num_classes=10, input_shape=(28, 28, 1), strides="fit"
    )
    space = make(image_size=28, channels=1, num_classes=10)
    assert space.bind(genotype_of(space, spec)) == spec


@pytest.mark.parametrize(("name", "count"), [("space", 1000), ("small_space", 200)])
def test_every_genotype_is_a_network(name: str, count: int, request: pytest.FixtureRequest) -> None:
    """Bound, lowered, verified, and the same after JSON; none is refused, since groups that are impossible
    become fused."""
    space: Space[ModelSpec] = request.getfixturevalue(name)
    rng = np.random.default_rng(0)
    rows = rng.integers(0, space.cardinalities, size=(count, len(space.choices)))
    for index, row in enumerate(rows.tolist()):
        spec = space.bind(row)
        graph = spec.graph()
        if index % 20 == 0:
            verify(graph)
            assert from_json(spec.to_json()) == spec


def test_impossible_groups_become_fused(small_space: Space[ModelSpec]) -> None:
    assert isinstance(small_space, EdgeTpuSpace)
    rng = np.random.default_rng(1)
    changed = 0
    for row in rng.integers(0, small_space.cardinalities, size=(50, len(small_space.choices))):
        settled = small_space.settled(row.tolist())
        assert small_space.settled(settled) == settled
        changed += settled != row.tolist()
        assert small_space.bind(settled) == small_space.bind(row.tolist())
    assert changed > 25


@given(st.data())
def test_key_is_the_same_for_the_same_network(data: st.DataObject) -> None:
    """Genes of an absent block change nothing; any gene that changes the network changes the key."""
    space = space_entry("mobilenet_edgetpu_v2").make(image_size=224, channels=3, num_classes=10)
    seed = data.draw(st.integers(0, 10_000))
    row = np.random.default_rng(seed).integers(0, space.cardinalities).tolist()
    gene = data.draw(st.integers(0, len(row) - 1))
    other = [*row]
    other[gene] = (row[gene] + 1) % space.cardinalities[gene]
    left, right = space.bind(row), space.bind(other)
    same_network = list(_network(left)) == list(_network(right))
    assert (canonical_key(left) == canonical_key(right)) == same_network


def _network(spec: ModelSpec) -> list[object]:
    blocks = [
        (
            b.kind,
            b.kernel,
            b.stride,
            b.in_filters,
            b.mid_filters,
            b.filters,
            b.group_size,
            b.residual,
        )
        for b in spec.backbone.blocks()
    ]
    return [*blocks, spec.backbone.stem, spec.head, spec.backbone.drop_connect]


def test_key_does_not_see_how_blocks_are_stacked() -> None:
    """Two blocks as one stack of two, and as two stacks of one."""
    from dataclasses import replace

    spec = create_spec("mobilenet_edgetpu_v2_s")
    stacks = spec.backbone.stacks
    merged = (*stacks[:8], replace(stacks[8], repeats=3), *stacks[11:])
    assert stacks[8] == stacks[9] == stacks[10]
    other = replace(spec, backbone=replace(spec.backbone, stacks=merged))
    assert other.spec_id != spec.spec_id
    assert canonical_key(other) == canonical_key(spec)


def test_networks_outside_the_space_are_refused(space: Space[ModelSpec]) -> None:
    for other in ("mobilenet_edgetpu_v1_1.0", "efficientnet_edgetpu_s"):
        try:
            spec = create_spec(other)
        except UnknownNameError:
            continue
        with pytest.raises(UsageError, match="holds no network equal to"):
            genotype_of(space, spec)
    with pytest.raises(UsageError, match="holds no network equal to"):
        genotype_of(space, create_spec("mobilenet_edgetpu_v2_s", width=1.5))


def test_wrong_genotypes(space: Space[ModelSpec]) -> None:
    with pytest.raises(UsageError, match="92 entries. Received: 3"):
        space.bind([0, 0, 0])
    with pytest.raises(UsageError, match=r"gene of backbone\.stem\.kernel is from 0 to 2"):
        space.bind([9] * 92)


def test_unknown_space_suggests() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean mobilenet_edgetpu_v2"):
        space_entry("mobilenet_edgetpu_v3")


def test_problem_of_a_config() -> None:
    """Cost of a published network by the search is that of the hardware model."""
    from hw_model import estimate

    config = SearchConfig(folder="unused", budget=Budget.parse("1ms"))
    problem = make_problem(config)
    spec = create_spec("mobilenet_edgetpu_v2_s")
    genotype = genotype_of(
        space_entry(config.space).make(image_size=224, channels=3, num_classes=1001), spec
    )
    (cost,) = problem.costs(np.array([genotype]))
    report = estimate(spec, target="pixel6")
    assert getattr(cost, "values", None) == (report.latency_ms, report.energy_mj)
    assert problem.spec(genotype) == spec
    assert problem.describe(genotype)["family"] == "mobilenet_edgetpu_v2"
    assert report.target_id in problem.cost_id


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"image_size": 192}, "space_id"),
        ({"width": 0.5}, "space_id"),
        ({"target": "pixel4"}, "cost_id"),
    ],
)
def test_identities_change_with_what_they_stand_for(changes: dict[str, object], what: str) -> None:
    budget = Budget.parse("1ms")
    plain = make_problem(SearchConfig(folder="", budget=budget))
    other = make_problem(SearchConfig(folder="", budget=budget, **changes))  # type: ignore[arg-type]
    same = make_problem(SearchConfig(folder="", budget=budget))
    assert getattr(plain, what) == getattr(same, what) != getattr(other, what)

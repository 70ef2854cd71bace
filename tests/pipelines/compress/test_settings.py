"""Settings of recipes, and what is measured of weights; neither needs a framework of its own."""

import gzip

import numpy as np
import pytest

from hw_model.errors import SpecError
from pipelines.compress import Pruning
from pipelines.compress.measure import distinct, size_of, zero_share
from pipelines.train import load_recipe, recipe_id
from pipelines.train.recipe import parse_recipe


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"pruning": {"sparsity": 1.0}}, "pruning.sparsity"),
        ({"pruning": {"initial_sparsity": 0.6}}, "pruning.initial_sparsity"),
        ({"pruning": {"begin": 0.5, "end": 0.4}}, "pruning.end"),
        ({"pruning": {"cuts": 0}}, "pruning.cuts"),
        ({"clustering": {"clusters": 1}}, "clustering.clusters"),
        ({"clustering": {"clusters": 2, "keep_zeros": True}}, "clustering.clusters"),
        ({"clustering": {"start": "kmeans"}}, "clustering.start"),
    ],
)
def test_a_setting_out_of_range_is_named(table: dict[str, object], path: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_recipe(table)
    assert caught.value.path == path


def test_recipes_without_them_keep_their_identity() -> None:
    assert recipe_id(parse_recipe({"pruning": {}, "clustering": {}})) == recipe_id(parse_recipe({}))
    assert recipe_id(parse_recipe({"pruning": {"sparsity": 0.7}})) != recipe_id(parse_recipe({}))
    assert load_recipe("prune").pruning.sparsity == 0.5
    assert load_recipe("cluster").clustering.clusters == 16


@pytest.mark.parametrize("total", [1, 2, 7, 100, 3750])
@pytest.mark.parametrize("settings", [{}, {"begin": 0.2, "end": 1.0}, {"cuts": 3}])
def test_weights_are_cut_in_the_last_step_of_the_schedule(
    total: int, settings: dict[str, float]
) -> None:
    begin, end, every = Pruning(**settings).steps(total)  # type: ignore[arg-type]
    assert 0 <= begin <= end < max(total, begin + 1)
    assert (end - begin) % every == 0


def test_zeros_and_different_weights_are_counted() -> None:
    kernels = {
        "a": np.array([[0.0, 1.0], [0.0, -0.0]], np.float32),
        "b": np.array([3, 4, 3, 3], np.float32),
    }
    assert zero_share(kernels) == 3 / 8
    assert distinct(kernels) == {"a": 2, "b": 2}
    size = size_of(b"abc" * 100)
    assert (size.raw_bytes, size.gzip_bytes) == (300, len(gzip.compress(b"abc" * 100, mtime=0)))

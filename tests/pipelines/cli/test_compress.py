"""`edgezoo prune` and `edgezoo cluster`: what they refuse, what they ask of the methods, what they leave behind."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from model_zoo import create_spec, presets
from model_zoo.spec import Backbone, ClassifierHead, ImageInput, ModelSpec, Stack, Stem
from pipelines.cli import app, compress

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A weights folder with a small classifier of digits, as if it had been trained."""
    from tests.pipelines.export.conftest import trained_model

    spec = ModelSpec(
        family="mobilenet_edgetpu_v2",
        input=ImageInput(height=8, width=8, channels=1),
        backbone=Backbone(
            stem=Stem(kernel=3, filters=16, stride=1),
            stacks=(Stack(kind="fused", filters=16, expansion=2, stride=2),),
        ),
        head=ClassifierHead(num_classes=10, top_filters=32, dropout=0.0),
    )
    model = trained_model(spec)
    presets.save_preset(model, tmp_path / "net", "net")
    return tmp_path / "net"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Recipes the methods were called with; nothing is trained."""
    from pipelines.compress import methods

    recipes: list[Any] = []

    def record(model: Any, dataset: Any, recipe: Any, **_: Any) -> Any:
        recipes.append(recipe)
        raise SystemExit(0)

    monkeypatch.setattr(methods, "prune", record)
    monkeypatch.setattr(methods, "cluster", record)
    network = SimpleNamespace(weights_origin="trained")
    monkeypatch.setattr(compress, "load", lambda _: network)
    monkeypatch.setattr("pipelines.compress.bridge.require_images", lambda _: None)
    return recipes


def test_options_override_the_recipe(run: "Run", asked: list[Any]) -> None:
    words = ("net", "--data", "digits", "--out", "out")
    for more in (
        ("prune",),
        ("prune", "--sparsity", 0.8, "--epochs", 7),
        ("cluster", "--clusters", 8, "--keep-zeros"),
    ):
        with pytest.raises(SystemExit):
            run(more[0], *words, *more[1:])
    plain, sparse, few = asked
    assert (plain.name, plain.pruning.sparsity, plain.epochs) == ("prune", 0.5, 4)
    assert (sparse.pruning.sparsity, sparse.plan[0].epochs) == (0.8, 7)
    assert (few.clustering.clusters, few.clustering.keep_zeros) == (8, True)
    assert "sparsity: must be" in run("prune", *words, "--sparsity", 1).failed(2)
    assert "clusters: must be" in run("cluster", *words, "--clusters", 1).failed(2)
    assert "Received: 0" in run("prune", *words, "--epochs", 0).failed(2)
    assert "Received: -1" in run("prune", *words, "--qat-epochs", -1).failed(2)
    assert len(asked) == 3


def test_networks_that_read_text_or_learned_nothing_are_refused(
    run: "Run", monkeypatch: pytest.MonkeyPatch
) -> None:
    def fresh(name: str) -> Any:
        return SimpleNamespace(name=name, spec=create_spec(name), weights_origin="random")

    monkeypatch.setattr(compress, "load", fresh)
    words = ("--data", "digits", "--out", "out")
    line = run("prune", "mobilebert_edgetpu_xxs", *words).failed(2)
    assert "image networks" in line
    assert "mobilebert_edgetpu" in line
    assert "random weights" in run("cluster", "mobilenet_edgetpu_v2_tiny", *words).failed(2)


def test_a_missing_package_names_the_extra(
    run: "Run", asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise ModuleNotFoundError("No module", name="tensorflow_model_optimization")

    monkeypatch.setattr("pipelines.compress.bridge.require_images", missing)
    line = run("prune", "net", "--data", "digits", "--out", "out").failed(4)
    assert "pip install 'edgezoo[tfmot]'" in line
    assert "tfmot" in app._EXTRAS


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("tensorflow_model_optimization"), reason="needs [tfmot]")
def test_a_pruned_preset_is_one_like_any_other(run: "Run", trained: Path) -> None:
    from pipelines.compress.measure import kernels_of, zero_share

    recipe = trained.parent / "short.toml"
    recipe.write_text('steps_per_epoch = 4\n[optimizer]\nname = "adamw"\nlearning_rate = 1e-3\n')
    words = ("--data", "digits", "--recipe", recipe, "--sparsity", 0.6, "--epochs", 2)
    done = run("prune", trained, *words, "--qat-epochs", 1, "--out", "sparse", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert found["after"]["zero_share"] == pytest.approx(0.6, abs=0.01)
    assert found["before"]["zero_share"] == 0
    for size in ("weights", "int8"):
        assert found["after"][size]["gzip_bytes"] < found["before"][size]["gzip_bytes"]
    preset = presets.get("sparse")
    assert preset.training is not None
    assert preset.training.epochs == 3
    assert preset.metric("top1") == found["after"]["metric"]
    assert zero_share(kernels_of(presets.load_model("sparse"))) == found["after"]["zero_share"]
    assert run("eval", "sparse", "--data", "digits", "--json").json["top1"] == preset.metric("top1")
    assert run("eval", found["file"], "--data", "digits", "--json").code == 0
    shown = run("cluster", "sparse", *words[:4], "--epochs", 1, "--clusters", 4, "--out", "few")
    assert "up to 4 different" in shown.out

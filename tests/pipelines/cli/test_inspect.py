"""`edgezoo inspect` and `edgezoo quantize --precision`: what they refuse, propose and write."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from model_zoo import create_spec, presets
from pipelines.export.inspector import LayerNoise, Step, chosen, counts_up_to
from pipelines.export.precision import Policy, load_policy

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run

WORDS = ("net", "--data", "digits")


@pytest.fixture
def net(run: "Run", tmp_path: Path) -> str:
    """A weights folder with a small classifier of digits, as if it had been trained."""
    from tests.pipelines.export.conftest import trained_model

    small = {"num_classes": 10, "input_shape": (8, 8, 1), "width": 0.25, "strides": "fit"}
    model = trained_model(create_spec("mobilenet_edgetpu_v2_tiny", **small))
    presets.save_preset(model, tmp_path / "net", "net")
    return "net"


def step(kept: int, metric: float, output_db: float = 30.0) -> Step:
    return Step(
        kept=kept,
        policy=Policy(),
        output_db=output_db,
        metric=metric,
        latency_ms=1.0,
        energy_mj=1.0,
        host_operators=0,
        size_bytes=1,
        notes=(),
    )


def test_the_fewest_layers_that_come_near_the_best_are_chosen() -> None:
    steps = [step(0, 0.80), step(1, 0.898), step(2, 0.8995), step(4, 0.90)]
    assert chosen(steps, within=0.001).kept == 2
    assert chosen(steps, within=0.2).kept == 0
    nothing = float("nan")
    steps = [step(0, nothing, 30), step(2, nothing, 39.5), step(4, nothing, 40)]
    assert chosen(steps, within=0.001).kept == 2


def test_counts_are_zero_and_powers_of_two() -> None:
    assert counts_up_to(1) == (0, 1)
    assert counts_up_to(32) == (0, 1, 2, 4, 8, 16, 32)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--keep", -1), "--keep must be at least 0"),
        (("--most", 0), "--most must be at least 1"),
        (("--images", -5), "--images must be at least 0"),
        (("--out", "policy.json"), "must end in .toml"),
        (("--precision", "int4"), "int16"),
        (("--target", "pixl6"), "Did you mean pixel6"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(
    more: tuple[object, ...], says: str, run: "Run"
) -> None:
    assert says in run("inspect", *WORDS, *more).failed(2)


def test_ranks_measures_and_writes_a_policy_that_quantize_takes(
    run: "Run", net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.export.inspector import Inspector

    def ranking(self: Inspector) -> tuple[LayerNoise, ...]:
        """The true one of two layers: a file for each of all would take long."""
        self._operators = {name: self._operators[name] for name in ("stem_conv2d", "logits")}
        return true_ranking(self, progress=False)

    true_ranking = Inspector.ranking
    monkeypatch.setattr(Inspector, "ranking", ranking)
    words = ("--samples", 12, "--images", 60, "--keep", 1, "--precision", "int16", "--most", 2)
    ran = run("inspect", *WORDS, *words, "--out", "p.toml", "--json")
    assert ran.code == 0, ran.err
    data = ran.json
    levels = [layer["alone_db"] for layer in data["layers"]]
    assert levels == sorted(levels)
    assert {layer["layer"] for layer in data["layers"]} == {"stem_conv2d", "logits"}
    assert [each["kept"] for each in data["steps"]] == [0, 1, 2]
    assert data["images"] == 60
    assert all(0 <= each["metric"] <= 1 for each in data["steps"])
    assert all(each["latency_ms"] > 0 for each in data["steps"])
    assert any("16-bit activations are costed" in n for n in data["steps"][1]["notes"])
    assert data["kept"] == 1
    policy = load_policy(Path("p.toml"))
    assert [rule.layers for rule in policy.rules] == [data["layers"][0]["layer"]]

    quantize = ("quantize", *WORDS, "--samples", 12, "--no-eval", "--out", "net.tflite")
    ran = run(*quantize, "--precision", "p.toml")
    assert ran.code == 0, ran.err
    assert "in int16" in ran.out
    assert "only files in 8 bits throughout are predicted" in ran.out


def test_a_policy_goes_with_an_int8_network_alone(run: "Run", net: str) -> None:
    Path("p.toml").write_text('default = "int9"\n', encoding="utf-8")
    words = ("quantize", *WORDS, "--out", "net.tflite", "--no-eval", "--precision", "p.toml")
    assert "p.toml: default: must be one of" in run(*words).failed(2)
    assert "leave out one" in run(*words, "--qat").failed(2)
    assert "leave out one" in run(*words, "--postprocess", "fast").failed(2)
    assert "Cannot read" in run(*words[:-1], "missing.toml").failed(3)
    Path("p.toml").write_text(
        '[[rules]]\nlayers = "stemm_.*"\nprecision = "int16"\n', encoding="utf-8"
    )
    line = run(*words, "--samples", 4).failed(2)
    assert "rules[0].layers" in line
    assert "stem_" in line
    assert not Path("net.tflite").exists()

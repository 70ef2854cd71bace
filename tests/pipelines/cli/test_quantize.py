"""`edgezoo quantize --postprocess`: what it hands to the export, and what it says of the file."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipelines import export
from pipelines.cli import quantize
from pipelines.export import PostProcess

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run

WORDS = ("quantize", "net", "--data", "digits", "--out", "net.tflite", "--no-eval")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What an export that writes nothing was asked for."""
    asked: list[Any] = []

    def record(*_: Any, postprocess: PostProcess | None, **__: Any) -> None:
        asked.append(postprocess)
        raise SystemExit(0)

    model = SimpleNamespace(weights_origin="trained", spec=None)
    monkeypatch.setattr(quantize, "load", lambda _: model)
    monkeypatch.setattr(export, "export_int8", record)
    return asked


def test_post_processing_is_chosen_by_name(run: "Run", given: list[Any]) -> None:
    for words in ((), ("--postprocess", "fast"), ("--postprocess", "regular")):
        with pytest.raises(SystemExit):
            run(*WORDS, *words)
    assert given == [None, PostProcess(), PostProcess(regular_nms=True)]


def test_other_names_are_refused(run: "Run", given: list[Any]) -> None:
    line = run(*WORDS, "--postprocess", "slow").failed(2)
    assert "--postprocess" in line
    assert "fast" in line
    assert given == []


def test_quantization_aware_training_comes_first_and_is_the_recipes(
    run: "Run", given: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.train import aware

    asked: list[Any] = []

    def train(model: Any, dataset: Any, recipe: Any, **settings: Any) -> Any:
        asked.append((recipe.name, recipe.plan[0].epochs, settings["run_dir"].name))
        return model, None

    monkeypatch.setattr(aware, "train_quantize_aware", train)
    for words in (("--qat",), ("--qat", "--qat-epochs", 5)):
        with pytest.raises(SystemExit):
            run(*WORDS, *words)
    assert asked == [("quantize_aware", 2, "net.qat"), ("quantize_aware", 5, "net.qat")]
    assert "Received: 0" in run(*WORDS, "--qat", "--qat-epochs", 0).failed(2)
    assert "no_such" in run(*WORDS, "--qat", "--qat-recipe", "no_such").failed(2)


def test_a_file_that_decodes_boxes_is_not_called_int8_throughout() -> None:
    plain = SimpleNamespace(postprocess=None, all_int8=True)
    assert quantize._all_int8(plain) is True
    words = quantize._all_int8(SimpleNamespace(postprocess=PostProcess(), all_int8=False))
    assert words == "the network; post-processing (fast) decodes boxes in floating point"

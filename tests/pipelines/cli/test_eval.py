"""`edgezoo eval` on masks: the metrics of the task, and those of each class."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.cli import eval as verb
from pipelines.cli.app import main


class Blind:
    """A model that sees class 0 everywhere."""

    weights_origin = "trained"
    input_shape = (None, 16, 16, 3)
    output_shape = (None, 4, 4, 7)

    def preprocessing(self, images: Any) -> Any:
        return np.asarray(images, np.float32)

    def predict_on_batch(self, inputs: Any) -> Any:
        scores = np.zeros((len(inputs), 4, 4, 7), np.float32)
        scores[..., 0] = 9
        return scores


@pytest.mark.parametrize("as_json", [False, True])
def test_every_class_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], as_json: bool
) -> None:
    monkeypatch.setattr(verb, "load", lambda _: Blind())
    words = ["eval", "some", "--data", "composed_shapes", "--image-size", "16x16"]
    assert main([*words, "--json"] if as_json else words) == 0
    out = capsys.readouterr().out
    if not as_json:
        assert "background" in out
        assert "IoU" in out
        return
    data = json.loads(out)
    assert data["iou"]["background"] == pytest.approx(data["pixel_accuracy"])
    assert data["iou"]["star"] == 0
    assert data["miou"] == pytest.approx(data["iou"]["background"] / 7)


def test_data_of_another_task_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(verb, "load", lambda _: Blind())
    assert main(["eval", "some", "--data", "digits"]) == 2
    assert "for classification; they must agree" in capsys.readouterr().err

"""What a user of a detector sees: predictions on their images, metrics, a page; and what is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import hw_model.io
from hw_model.errors import UsageError
from model_zoo import create_spec
from model_zoo.detection import Detections, anchors_of, detect, encode
from model_zoo.preprocessing import Preprocessing
from pipelines import data
from pipelines.cli import eval as eval_verb
from pipelines.cli import predict as predict_verb
from pipelines.cli import references, sidecar
from pipelines.cli.sidecar import Sidecar
from pipelines.data import BoxArraySplit, ImageDataset, Objects, load_dataset
from pipelines.export import detector
from pipelines.predict import LEAST_SCORE, predictor_of
from pipelines.report.boxes import LEGIBLE_SIDE
from pipelines.report.predictions import predictions_section
from pipelines.tasks.detect import found_in

if TYPE_CHECKING:
    from tests.pipelines.cli.conftest import Run

SPEC = create_spec("spaghettinet_edgetpu_s", input_shape=(128, 128, 3), num_classes=6)
NAMES = ("disc", "square", "triangle", "star", "ring", "cross")
#: Class, score and box of what the detector below finds in every image.
FOUND = ((1, 0.9, (0.25, 0.125, 0.75, 0.5)), (4, 0.2, (0.5, 0.5, 1.0, 1.0)))


class Seer:
    """A detector that finds the same in every image, by outputs as a network would give them."""

    name = "seer"
    weights_origin = "trained"
    input_shape = (None, 128, 128, 3)
    output_shape = {"box_codes": (None, 1, 4), "class_logits": (None, 1, 7)}
    spec = SPEC
    class_names = NAMES
    preprocessing = Preprocessing(height=128, width=128)

    def predict_on_batch(self, inputs: Any) -> dict[str, Any]:
        assert inputs.shape[1:] == (128, 128, 3)
        anchors = anchors_of(SPEC)
        codes = np.zeros((len(inputs), len(anchors), 4), np.float32)
        logits = np.full((len(inputs), len(anchors), 7), -30, np.float32)
        for place, (label, score, box) in enumerate(FOUND):
            codes[:, place] = encode(np.array(box, np.float32), anchors[place])
            logits[:, place, label + 1] = np.log(score / (1 - score))
        return {"box_codes": codes, "class_logits": logits}


@pytest.fixture
def seer(monkeypatch: pytest.MonkeyPatch) -> Seer:
    """What every verb loads as its model."""
    found = Seer()
    for verb in (predict_verb, eval_verb, references):
        monkeypatch.setattr(verb, "load", lambda _: found)
    return found


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """100 pixels high, 200 wide."""
    Image.new("RGB", (200, 100), (90, 90, 90)).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_a_predictor_finds_objects_in_an_image_of_any_size(seer: Seer) -> None:
    predictor = predictor_of(seer)
    assert predictor.task == "detection"
    for size in ((64, 64), (30, 500)):
        found = predictor.detections(np.zeros((*size, 3), np.uint8))
        surest = found.above(0.1)
        assert surest.classes.tolist() == [label for label, _, _ in FOUND]
        np.testing.assert_allclose(surest.scores, [score for _, score, _ in FOUND], rtol=1e-5)
        np.testing.assert_allclose(surest.boxes, [box for _, _, box in FOUND], atol=1e-5)


def test_predict_names_places_and_draws_what_it_finds(run: "Run", seer: Seer, photo: Path) -> None:
    ran = run("predict", "seer", photo, "--json")
    (answer,) = ran.json
    (found,) = answer["objects"]
    assert (found["class"], found["score"]) == ("square", pytest.approx(0.9, abs=1e-4))
    expected = {"top": 25, "left": 25, "bottom": 75, "right": 100}
    assert found["box"] == pytest.approx(expected, abs=0.01)
    picture = np.asarray(Image.open(answer["picture"]))
    factor = -(-LEGIBLE_SIDE // 100)
    assert picture.shape == (100 * factor, 200 * factor, 3)
    assert (picture[60 * factor, 25 * factor : 100 * factor] != 90).any()
    assert (picture[90 * factor :] == 90).all()
    text = run("predict", "seer", photo, "--out", "elsewhere").out
    assert "photo.jpg -> elsewhere/photo.png" in text
    assert text.splitlines()[-1].split() == ["square", "90.0", "%", "25", "25", "75", "100"]
    assert Path("elsewhere/photo.png").is_file()


def test_one_picture_may_go_to_a_file_and_several_may_not(
    run: "Run", seer: Seer, photo: Path
) -> None:
    assert "photo.jpg -> found.png" in run("predict", "seer", photo, "--out", "found.png").out
    assert Path("found.png").is_file()
    other = photo.with_name("other.jpg")
    other.write_bytes(photo.read_bytes())
    ran = run("predict", "seer", photo, other, "--out", "both.png")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "give --out a folder for 2. Received: both.png" in ran.err


def test_predict_shows_as_many_as_are_asked_for(run: "Run", seer: Seer, photo: Path) -> None:
    def names(*options: object) -> list[str]:
        (answer,) = run("predict", "seer", photo, "--json", *options).json
        return [found["class"] for found in answer["objects"]]

    assert names("--threshold", 0.1) == ["square", "ring"]
    assert names("--threshold", 0.1, "--top", 1) == ["square"]
    assert names("--threshold", 0.95) == []
    assert "score of at least 0.95" in run("predict", "seer", photo, "--threshold", 0.95).out


def test_the_help_names_the_threshold_that_is_used(run: "Run", capsys: Any) -> None:
    with pytest.raises(SystemExit):
        run("predict", "--help")
    assert f"(default: {LEAST_SCORE})" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("threshold", [-0.1, 1.01, "nan", "inf"])
def test_a_threshold_is_a_share(run: "Run", seer: Seer, photo: Path, threshold: object) -> None:
    line = run("predict", "seer", photo, "--threshold", threshold).failed(2)
    assert "--threshold must be from 0 to 1. Received:" in line


def test_what_is_no_image_is_said_in_one_line(run: "Run", seer: Seer, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no image")
    assert "Cannot read image notes.png" in run("predict", "seer", "notes.png").failed(3)
    assert "There is no image gone.png" in run("predict", "seer", "gone.png").failed(3)
    assert not Path("predictions").exists()


def test_a_threshold_is_for_detection_alone(
    run: "Run", photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = SimpleNamespace(task="classification")
    monkeypatch.setattr(predict_verb, "_predictor", lambda _: predictor)
    line = run("predict", "other", photo, "--threshold", 0.5).failed(2)
    assert "--threshold is for detection; this model is for classification" in line


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> ImageDataset:
    """What every verb reads as its data: a square where the detector finds it, and a ring elsewhere."""
    objects = Objects(
        boxes=np.array([FOUND[0][2], (0, 0.5, 0.2, 1)], np.float32),
        classes=np.array([1, 4]),
        crowd=np.zeros(2, np.bool_),
    )
    split = BoxArraySplit(np.full((15, 40, 60, 3), 90, np.uint8), [objects] * 15)
    splits = {"train": split, "test": split}
    found = ImageDataset(name="few", class_names=NAMES, splits=splits)
    monkeypatch.setattr(data, "load_dataset", lambda *_, **__: found)
    return found


def test_eval_shows_every_class(run: "Run", seer: Seer, few: ImageDataset) -> None:
    answer = run("eval", "seer", "--data", "any", "--json").json
    assert (answer["form"], answer["images"]) == ("float", 15)
    assert [answer[key] for key in ("ap", "ap50", "ap75")] == pytest.approx([0.5] * 3)
    assert answer["loss"] > 0
    unseen = dict.fromkeys(NAMES)
    assert answer["class_ap50"] == unseen | {"square": pytest.approx(1), "ring": 0}
    assert answer["class_ap"] == answer["class_ap50"]
    lines = run("eval", "seer", "--data", "any").out.splitlines()
    assert ["AP50", "50.00", "%"] in [line.split() for line in lines]
    assert lines[-8].split() == ["class", "AP", "AP50"]
    assert lines[-5].split() == ["square", "100.0", "%", "100.0", "%"]
    assert lines[-6].split() == ["disc", "–", "–"]


class File:
    """A `.tflite` file of that detector, with or without post-processing."""

    num_classes = 6
    input = SimpleNamespace(shape=(1, 128, 128, 3))

    def __init__(
        self, path: str | Path, *, anchors: Any = None, workers: int | None = None
    ) -> None:
        self.postprocesses = "boxes" in str(path)
        self.anchors = None if self.postprocesses or "foreign" in str(path) else anchors_of(SPEC)

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, inputs: Any) -> dict[str, Any]:
        outputs = Seer().predict_on_batch(inputs)
        if not self.postprocesses:
            return outputs
        (found,) = detect(*(rows[:1] for rows in outputs.values()), anchors_of(SPEC))
        rows = {"boxes": found.boxes, "classes": found.classes, "scores": found.scores}
        repeated = {name: np.repeat(row[None], len(inputs), axis=0) for name, row in rows.items()}
        return repeated | {"count": np.full((len(inputs), 1), len(found), np.float32)}

    def detections(self, inputs: Any) -> list[Detections]:
        return found_in(self(inputs), anchors_of(SPEC))


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every name of a file stands for a detector's."""
    known = Sidecar(preprocessing=Seer.preprocessing, class_names=NAMES)
    monkeypatch.setattr(detector, "DetectorRunner", File)
    monkeypatch.setattr(detector, "is_detector", lambda _: True)
    monkeypatch.setattr(hw_model.io, "read_header", lambda _: None)
    monkeypatch.setattr(sidecar, "read", lambda *_: known)
    for verb in (predict_verb, eval_verb):
        monkeypatch.setattr(verb, "require_file", Path)


@pytest.mark.usefixtures("files", "few")
def test_files_with_and_without_post_processing_are_evaluated_alike(run: "Run") -> None:
    raw = run("eval", "raw.tflite", "--data", "any", "--json").json
    boxes = run("eval", "boxes.tflite", "--data", "any", "--json").json
    assert raw["form"] == boxes["form"] == "int8"
    assert raw["ap"] == boxes["ap"] == pytest.approx(0.5)
    assert raw["class_ap50"] == boxes["class_ap50"]
    assert raw["loss"] > 0
    assert "loss" not in boxes


@pytest.mark.usefixtures("files")
def test_predict_runs_files(run: "Run", photo: Path) -> None:
    for name in ("raw.tflite", "boxes.tflite"):
        (answer,) = run("predict", name, photo, "--json").json
        assert [found["class"] for found in answer["objects"]] == ["square"]


@pytest.mark.usefixtures("files", "few")
def test_a_file_of_other_classes_or_without_anchors_is_refused(
    run: "Run", monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "foreign.tflite holds no anchors" in run(
        "eval", "foreign.tflite", "--data", "any"
    ).failed(2)
    monkeypatch.setattr(File, "num_classes", 90)
    line = run("eval", "raw.tflite", "--data", "any").failed(2)
    assert "raw.tflite tells 90 classes apart, the data has 6; they must agree" in line


def test_classes_of_model_and_data_must_agree(
    run: "Run", seer: Seer, few: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = load_dataset("digits")
    seer.spec = create_spec("spaghettinet_edgetpu_s", input_shape=(128, 128, 3), num_classes=3)
    line = run("eval", "seer", "--data", "any").failed(2)
    assert "seer has 3 classes, few has 6 classes for detection" in line
    monkeypatch.setattr(data, "load_dataset", lambda *_, **__: digits)
    line = run("eval", "seer", "--data", "digits").failed(2)
    assert "seer is no model for classification, digits has 10 classes" in line


def test_the_report_shows_truth_and_findings_side_by_side(seer: Seer, few: ImageDataset) -> None:
    section = predictions_section(seer, predictor_of(seer), few)
    assert section.title == "Test images of few"
    assert section.body.count("data:image/png") == 2 * 12
    assert "AP on 15 images, 30 objects" in section.body
    assert "truth; found 1 of 2 objects, with 1 boxes" in section.body
    assert all(f"<td>{name}</td>" in section.body for name in NAMES)
    with pytest.raises(UsageError, match="digits is for classification, the model for detection"):
        predictions_section(seer, predictor_of(seer), load_dataset("digits"))

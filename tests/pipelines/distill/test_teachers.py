"""Teachers of images: Keras models, callables and files, what they see, and which of them are refused."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hw_model.errors import UsageError
from model_zoo.preprocessing import Preprocessing
from pipelines.data import ArraySplit, ImageDataset
from pipelines.distill import teacher_of
from pipelines.distill.teachers import as_logits, viewer
from pipelines.tasks import TASKS
from pipelines.train import Recipe, train
from pipelines.train.recipe import parse_recipe

Make = Callable[..., Any]
SMALL = Preprocessing(height=8, width=8, channels=1)


@pytest.fixture(scope="module")
def dataset() -> ImageDataset:
    """Squares, bright or dark."""
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = rng.integers(0, 60, (40, 8, 8, 1)) + 150 * labels[:, None, None, None]
    split = ArraySplit(images.astype(np.uint8), labels)
    return ImageDataset(
        name="squares",
        class_names=("dark", "bright"),
        splits={"train": split.part(range(32)), "test": split.part(range(32, 40))},
    )


def make(
    seed: int = 1, *, side: int = 8, classes: int = 2, width: int = 4, softmax: bool = True
) -> Any:
    """Two convolutions and a classifier."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    inputs = keras.Input((side, side, 1))
    x = layers.Conv2D(width, 3, activation="relu", name="stem")(inputs)
    x = layers.Conv2D(width, 3, activation="relu", name="body")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dense(classes, activation="softmax" if softmax else None, name="logits")(x)
    return keras.Model(inputs, x, name=f"net_{seed}")


def recipe(**distillation: Any) -> Recipe:
    return parse_recipe(
        {
            "epochs": 2,
            "batch_size": 8,
            "optimizer": {"name": "adamw", "learning_rate": 1e-2},
            "distillation": distillation,
        }
    )


def fit(dataset: ImageDataset, run_dir: Path, teacher: Any, **changes: Any) -> tuple[Any, Any]:
    student = make(**changes.pop("student", {}))
    settings = changes.pop("distillation", {})
    result = train(
        student,
        dataset,
        recipe(**settings),
        run_dir=run_dir,
        preprocessing=SMALL,
        teacher=teacher,
        verbose=0,
        **changes,
    )
    return student, result


def test_soft_labels_alone_teach_and_leave_the_teacher_as_it_was(
    dataset: ImageDataset, tmp_path: Path
) -> None:
    """A teacher that is wrong about everything: with alpha 1 the student learns just that."""

    def wrong(images: np.ndarray) -> np.ndarray:
        dark = images.mean(axis=(1, 2, 3)) < -0.3
        return np.stack([~dark, dark], axis=-1) * 9.0

    settings = {"alpha": 1.0, "temperature": 2.0}
    student, result = fit(
        dataset, tmp_path / "wrong", wrong, distillation=settings, student={"width": 8}
    )
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    assert result.history[-1]["top1"] < result.history[0]["top1"]
    # The closing softmax is back, and a teacher with one counts by its logarithms.
    assert np.allclose(np.asarray(student(np.zeros((1, 8, 8, 1)))).sum(), 1)


def test_features_of_another_size_and_width(dataset: ImageDataset, tmp_path: Path) -> None:
    teacher = make(2, side=12, width=6)
    before = teacher.get_weights()
    other = Preprocessing(height=12, width=12, channels=1, mean=127.0, scale=128.0)
    settings = {"feature_weight": 0.5, "temperature": 3.0}
    wrapped = teacher_of(teacher, preprocessing=other)
    student, result = fit(dataset, tmp_path, wrapped, distillation=settings)
    assert {"features_loss", "answer_loss", "val_top1"} <= set(result.history[0])
    assert result.history[1]["features_loss"] < result.history[0]["features_loss"]
    assert "distill_projection" not in [layer.name for layer in student.layers]
    for kept, now in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(now, kept)


def test_a_teacher_sees_what_the_student_sees_at_its_own_size() -> None:
    teacher = SimpleNamespace(
        name="t",
        shape=(4, 4, 3),
        preprocessing=Preprocessing(height=4, width=4, channels=3, mean=127.0, scale=128.0),
    )
    pixels = np.full((2, 8, 8, 1), 200.0)
    see = viewer(teacher, SMALL, (8, 8, 1))  # type: ignore[arg-type]
    seen = see(((pixels - 127.5) / 127.5).astype(np.float32))
    assert seen.shape == (2, 4, 4, 3)
    np.testing.assert_allclose(seen, (200 - 127) / 128, rtol=1e-4)


def test_probabilities_become_logits() -> None:
    logits = np.array([[1.0, -2.0, 0.5]], np.float32)
    shares = np.exp(logits) / np.exp(logits).sum()
    found = as_logits(shares)
    np.testing.assert_allclose(found - found[0, 0], logits - logits[0, 0], rtol=1e-5)
    assert as_logits(logits) is logits


@pytest.mark.parametrize(
    ("teacher", "settings", "words"),
    [
        ({"classes": 3}, {}, r"shape \(3,\), the student \(2,\)"),
        ({"side": 12}, {}, "both need the zoo's preprocessing"),
    ],
)
def test_teachers_of_other_classes_or_sizes_are_refused(
    teacher: dict[str, Any],
    settings: dict[str, Any],
    words: str,
    dataset: ImageDataset,
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=words):
        fit(dataset, tmp_path, make(5, **teacher), distillation=settings)


def test_what_is_no_teacher_is_refused(dataset: ImageDataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a Keras model, a callable or"):
        fit(dataset, tmp_path, 3)
    with pytest.raises(UsageError, match="is not known; pass preprocessing="):
        fit(dataset, tmp_path, "net.tflite")
    with pytest.raises(UsageError, match="not finite"):
        fit(dataset, tmp_path, lambda images: np.full((len(images), 2), np.nan))
    with pytest.raises(UsageError, match="shows its features"):
        fit(
            dataset, tmp_path, lambda x: np.zeros((len(x), 2)), distillation={"feature_weight": 1.0}
        )
    with pytest.raises(UsageError, match="Recipe given learns from a teacher"):
        fit(dataset, tmp_path, None, distillation={"alpha": 0.1})
    student = make()
    with pytest.raises(UsageError, match="its own teacher"):
        train(student, dataset, recipe(), run_dir=tmp_path, preprocessing=SMALL, teacher=student)
    layers = parse_recipe({"stages": [{"learn": "layers"}]})
    with pytest.raises(UsageError, match="no layer 'block_0_output_norm'"):
        train(student, dataset, layers, run_dir=tmp_path, preprocessing=SMALL, teacher=make(2))


def test_tasks_without_soft_labels_say_so() -> None:
    from pipelines.distill.lessons import check_softens

    for name in ("detection", "segmentation"):
        with pytest.raises(UsageError, match=f"not with {name}"):
            check_softens(TASKS[name], make())


def test_an_int8_file_teaches(dataset: ImageDataset, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("the file is made by TensorFlow")
    from pipelines.export.convert import convert

    net = make(3)
    images = SMALL(dataset.train.read(range(32)))
    path = tmp_path / "teacher.tflite"
    path.write_bytes(convert(net, [[image[None]] for image in images], lambda *_: None).int8)
    teacher = teacher_of(path, preprocessing=SMALL)
    scores = teacher.ask(images[:3])[""]
    # Logarithms of a softmax in steps of 1/256.
    np.testing.assert_allclose(np.exp(scores), np.asarray(net(images[:3])), atol=0.03)
    _, result = fit(dataset, tmp_path / "run", teacher)
    assert len(result.history) == 2

"""The training loop: what it learns, what it writes, and that a killed run continues exactly."""

import errno
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hw_model.errors import DataError, EdgeZooError, EnvironmentFault, UsageError
from pipelines.data import ImageDataset, load_dataset
from pipelines.data.batches import plain_errors
from pipelines.train import TrainResult, checkpoint, evaluate, train
from pipelines.train.checkpoint import FILE_NAME, read_meta

pytestmark = pytest.mark.backends

# Trains as the test below does, and dies by SIGKILL inside the third epoch.
_KILLED = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("shared", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
spec.loader.exec_module(shared)
from pipelines.data import ImageDataset, load_dataset, subset
from pipelines.train import train

whole = load_dataset("embedded")
splits = {"train": subset(whole.train, 256), "test": subset(whole.test, 100)}
data = ImageDataset(name="few", class_names=whole.class_names, splits=splits)
run_dir = sys.argv[2]

def preprocessing(images):
    if len(images) == 32 and preprocessing.epochs_done() == 2:
        preprocessing.seen += 1
        if preprocessing.seen == 5:
            os.kill(os.getpid(), signal.SIGKILL)
    return shared.to_unit(images)

def epochs_done():
    path = os.path.join(run_dir, "history.csv")
    return len(open(path).readlines()) - 1 if os.path.exists(path) else 0

preprocessing.seen, preprocessing.epochs_done = 0, epochs_done
train(shared.build_model(), data, shared.small_recipe(), run_dir=run_dir,
      preprocessing=preprocessing, seed=3, verbose=0)
"""


@pytest.fixture(scope="module")
def straight(
    tmp_path_factory: pytest.TempPathFactory,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> tuple[Any, TrainResult]:
    """Four epochs without interruption."""
    model = make_model()
    run_dir = tmp_path_factory.mktemp("straight")
    result = train(
        model,
        dataset,
        make_recipe(),
        run_dir=run_dir,
        preprocessing=preprocessing,
        seed=3,
        verbose=0,
    )
    return model, result


def test_a_killed_run_continues_to_the_same_weights(
    straight: tuple[Any, TrainResult],
    tmp_path: Path,
    root: Path,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    shared = Path(__file__).with_name("conftest.py")
    child = subprocess.run(
        [sys.executable, "-c", _KILLED, str(shared), str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert read_meta(tmp_path / FILE_NAME)["epoch"] == 2

    model = make_model()
    resumed = train(
        model,
        dataset,
        make_recipe(),
        run_dir=tmp_path,
        preprocessing=preprocessing,
        seed=3,
        resume=True,
        verbose=0,
    )
    expected, result = straight
    for wanted, got in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    assert resumed.metrics["top1"] == result.metrics["top1"]
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]


def test_a_finished_run_resumes_to_its_result(
    straight: tuple[Any, TrainResult],
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    expected, result = straight
    model = make_model()
    again = train(
        model,
        dataset,
        make_recipe(),
        run_dir=result.run_dir,
        preprocessing=preprocessing,
        seed=3,
        resume=True,
        verbose=0,
    )
    assert again.metrics == result.metrics
    for wanted, got in zip(expected.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_it_learns_and_leaves_its_records(
    straight: tuple[Any, TrainResult],
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
) -> None:
    model, result = straight
    losses = [row["loss"] for row in result.history]
    assert losses[-1] < losses[0] - 0.1
    run_dir = Path(result.run_dir)
    assert len((run_dir / "history.csv").read_text().splitlines()) == 5
    assert json.loads((run_dir / "result.json").read_text())["metrics"] == result.metrics
    fresh = make_model()
    fresh.load_weights(result.weights)
    assert evaluate(fresh, dataset.test, preprocessing) == pytest.approx(result.metrics)
    # No optimizer in the file: its momenta and averages would triple it.
    alone = run_dir / "alone.weights.h5"
    make_model().save_weights(alone)
    assert Path(result.weights).stat().st_size < 1.2 * alone.stat().st_size


def test_tensorboard_gets_events_under_tensorflow(straight: tuple[Any, TrainResult]) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorBoard logs are written by the TensorFlow backend only")
    _, result = straight
    assert list((Path(result.run_dir) / "tensorboard").rglob("events.*"))


def test_the_result_is_the_average_and_training_goes_on_from_the_raw_weights(
    tmp_path: Path,
    model: Any,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    train(
        model,
        dataset,
        make_recipe(epochs=2),
        run_dir=tmp_path,
        preprocessing=preprocessing,
        verbose=0,
    )
    with np.load(tmp_path / FILE_NAME) as saved:
        raw = saved["model/0"]
    assert not np.allclose(raw, model.get_weights()[0], atol=1e-4)


def test_a_second_run_into_the_same_folder_is_refused(
    straight: tuple[Any, TrainResult],
    model: Any,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    run_dir = straight[1].run_dir
    with pytest.raises(UsageError, match="already holds"):
        train(model, dataset, make_recipe(), run_dir=run_dir, preprocessing=preprocessing)
    with pytest.raises(UsageError, match="recipe_id"):
        train(
            model,
            dataset,
            make_recipe(epochs=5),
            run_dir=run_dir,
            preprocessing=preprocessing,
            resume=True,
            seed=3,
        )


def test_a_damaged_checkpoint_is_refused(
    tmp_path: Path,
    model: Any,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"PK\x03\x04 not much of a checkpoint")
    with pytest.raises(DataError, match="damaged"):
        train(
            model,
            dataset,
            make_recipe(),
            run_dir=tmp_path,
            preprocessing=preprocessing,
            resume=True,
        )


def test_a_model_for_other_classes_is_refused(
    tmp_path: Path,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    with pytest.raises(UsageError, match="num_classes=10"):
        train(
            make_model(num_classes=7),
            dataset,
            make_recipe(),
            run_dir=tmp_path,
            preprocessing=preprocessing,
        )


def test_a_loss_that_explodes_stops_the_run(
    tmp_path: Path,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    recipe = make_recipe(optimizer={"learning_rate": 1e38})
    # Logits overflow on every backend; a softmax would saturate first.
    model = make_model(softmax=False)
    with pytest.raises(EdgeZooError, match=r"lower optimizer\.learning_rate"):
        train(model, dataset, recipe, run_dir=tmp_path, preprocessing=preprocessing, verbose=0)


def test_inputs_that_are_not_finite_are_refused(
    tmp_path: Path, model: Any, dataset: ImageDataset, make_recipe: Callable[..., Any]
) -> None:
    def broken(images: np.ndarray) -> np.ndarray:
        return np.full(images.shape, np.nan, np.float32)

    with pytest.raises(EdgeZooError, match="not finite before training"):
        train(model, dataset, make_recipe(), run_dir=tmp_path, preprocessing=broken, verbose=0)


def test_a_model_without_preprocessing_asks_for_one(
    tmp_path: Path, model: Any, dataset: ImageDataset, make_recipe: Callable[..., Any]
) -> None:
    with pytest.raises(UsageError, match="pass preprocessing="):
        train(model, dataset, make_recipe(), run_dir=tmp_path)


def test_gray_images_reach_an_rgb_model_of_another_size(
    tmp_path: Path,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    result = train(
        make_model(shape=(32, 32, 3), softmax=False),
        dataset,
        make_recipe(epochs=2, optimizer={"name": "adamw", "learning_rate": 1e-3, "l2": 1e-5}),
        run_dir=tmp_path,
        preprocessing=preprocessing,
        verbose=0,
    )
    assert 0.0 < result.metrics["loss"] < 4.0


def test_an_unreadable_image_ends_training_with_its_one_line(
    tmp_path: Path,
    make_model: Callable[..., Any],
    preprocessing: Callable[..., Any],
    make_recipe: Callable[..., Any],
) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for index in range(40):
            pixels = rng.integers(0, 256, (28, 28)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    broken = load_dataset(tmp_path / "images")
    for path in (tmp_path / "images" / "b").iterdir():
        path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"Cannot read image .*b/\d+\.png") as caught:
        train(
            make_model(num_classes=2),
            broken,
            make_recipe(),
            run_dir=tmp_path / "run",
            preprocessing=preprocessing,
            verbose=0,
        )
    assert "\n" not in str(caught.value)


def test_a_full_disk_leaves_the_last_checkpoint(
    tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    optimizer = keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    path = tmp_path / FILE_NAME
    checkpoint.save(path, model, optimizer, {"epoch": 1})

    def out_of_space(file: Any, **_: Any) -> None:
        file.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", out_of_space)
    with pytest.raises(EnvironmentFault, match="No space left"):
        checkpoint.save(path, model, optimizer, {"epoch": 2})
    assert read_meta(path)["epoch"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME]
    checkpoint.restore(path, model, optimizer)


def test_a_full_disk_met_by_a_framework_is_one_line() -> None:
    """TensorBoard's writer has its own error class; what it says is all there is to recognise."""
    batches = SimpleNamespace(error=None)
    with (
        pytest.raises(EnvironmentFault, match="free some space and resume"),
        plain_errors(batches),  # type: ignore[arg-type]
    ):
        raise RuntimeError("ResourceExhausted: events.out.v2; No space left on device")
    with pytest.raises(RuntimeError, match="something else"), plain_errors(batches):  # type: ignore[arg-type]
        raise RuntimeError("something else")

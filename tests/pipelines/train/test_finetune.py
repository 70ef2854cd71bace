"""Fine-tuning: which layers move in which stage, and that frozen batch norm stays as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import UnknownNameError, UsageError
from pipelines.data import ImageDataset, load_dataset
from pipelines.data.augment import Augmentation
from pipelines.tasks import Classification
from pipelines.train import Recipe, Stage, finetune, train
from pipelines.train.freeze import apply_stage

pytestmark = pytest.mark.backends


def trained_names(model: Any, stage: Stage) -> list[str]:
    with apply_stage(model, stage):
        return [variable.path for variable in model.trainable_variables]


def test_head_means_the_last_layer_with_weights(model: Any) -> None:
    assert [path.split("/")[-2] for path in trained_names(model, Stage(trainable="head"))] == [
        "logits",
        "logits",
    ]
    assert all(layer.trainable for layer in model.layers)


def test_training_starts_at_a_named_layer(model: Any) -> None:
    layers = {path.split("/")[-2] for path in trained_names(model, Stage(trainable="body"))}
    assert layers == {"body", "body_bn", "logits"}
    stage = Stage(trainable="body", train_batch_norm=False)
    assert {path.split("/")[-2] for path in trained_names(model, stage)} == {"body", "logits"}


def test_an_unknown_layer_gets_a_suggestion(model: Any) -> None:
    with (
        pytest.raises(UnknownNameError, match="stem_bn"),
        apply_stage(model, Stage(trainable="stem_nb")),
    ):
        pass


def test_a_stack_of_a_zoo_model_is_named_without_its_layers() -> None:
    from model_zoo import create_model

    model = create_model(
        "mobilenet_edgetpu_v2_tiny", num_classes=3, input_shape=(32, 32, 1), width=0.25
    )
    trained = {path.partition("/")[0] for path in trained_names(model, Stage(trainable="stack_1"))}
    assert not any(name.startswith(("stem", "stack_0_")) for name in trained)
    assert {"stack_1_block_0_fused_conv2d", "stack_2_block_0_project_conv2d"} <= trained
    late = trained_names(model, Stage(trainable="stack_19", train_batch_norm=False))
    assert {path.partition("/")[0] for path in late} == {
        "stack_19_block_0_expand_conv2d",
        "stack_19_block_0_depthwise_conv2d",
        "stack_19_block_0_project_conv2d",
        "top_conv2d",
        "logits",
    }


def test_every_batch_norm_of_a_zoo_model_is_found() -> None:
    from model_zoo import create_model
    from pipelines.train.batch_norm import trained_norms

    model = create_model(
        "mobilenet_edgetpu_v2_tiny", num_classes=3, input_shape=(32, 32, 1), width=0.25
    )
    means = [variable for variable in model.weights if variable.path.endswith("moving_mean")]
    assert len(trained_norms(model)) == len(means) > 50


def test_nested_models_are_opened() -> None:
    import keras
    from keras import layers

    body = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="inner"), layers.GlobalMaxPooling2D()]
    )
    inputs = keras.Input((8, 8, 1))
    model = keras.Model(inputs, layers.Dense(2, name="top")(body(inputs)))
    with apply_stage(model, Stage(trainable="head")):
        assert [v.path for v in model.trainable_variables] == ["top/kernel", "top/bias"]


@pytest.fixture(scope="module")
def before_and_after(
    tmp_path_factory: pytest.TempPathFactory,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Recipe],
) -> dict[str, dict[str, np.ndarray]]:
    """Weights by path at the start, after a run of the head alone, and after both stages."""
    import keras

    weights = {}
    stages = [
        {"name": "head", "trainable": "head", "learning_rate": 0.1},
        {"name": "rest", "trainable": "body", "learning_rate": 0.01, "train_batch_norm": False},
    ]
    for count in (0, 1, 2):
        model = make_model()
        if count:
            recipe = make_recipe(stages=stages[:count], schedule={"kind": "constant"})
            run_dir = tmp_path_factory.mktemp("stages")
            train(model, dataset, recipe, run_dir=run_dir, preprocessing=preprocessing, verbose=0)
        weights[("start", "head", "both")[count]] = {
            variable.path: keras.ops.convert_to_numpy(variable.value) for variable in model.weights
        }
    return weights


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    # Two models built alike have the same layer names below their own.
    pairs = zip(before.items(), after.values(), strict=True)
    return {"/".join(path.split("/")[-2:]) for (path, old), new in pairs if (old != new).any()}


def test_the_frozen_stage_moves_the_head_alone(
    before_and_after: dict[str, dict[str, np.ndarray]],
) -> None:
    weights = before_and_after
    assert moved(weights["start"], weights["head"]) == {"logits/kernel", "logits/bias"}


def test_the_second_stage_moves_the_rest_but_no_batch_norm(
    before_and_after: dict[str, dict[str, np.ndarray]],
) -> None:
    weights = before_and_after
    assert moved(weights["start"], weights["both"]) == {
        "logits/kernel",
        "logits/bias",
        "body/kernel",
        "body/bias",
    }


def test_stages_resume_between_and_inside(
    tmp_path: Path,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Recipe],
) -> None:
    stages = [
        {"name": "head", "trainable": "head", "epochs": 1},
        {"name": "all", "epochs": 2, "learning_rate": 0.02},
    ]
    recipe = make_recipe(stages=stages, schedule={"kind": "cosine"})
    straight = make_model()
    common: dict[str, Any] = {"preprocessing": preprocessing, "verbose": 0, "seed": 2}
    train(straight, dataset, recipe, run_dir=tmp_path / "straight", **common)

    class StopError(Exception):
        """Ends a run after the epoch that was asked for."""

    for epochs in (1, 2):
        seen = {"rows": 0}

        def stopping(images: np.ndarray, seen: dict[str, int] = seen, last: int = epochs) -> Any:
            history = tmp_path / "parts" / "history.csv"
            rows = len(history.read_text().splitlines()) - 1 if history.exists() else 0
            seen["rows"] = max(seen["rows"], rows)
            if rows >= last:
                raise StopError
            return preprocessing(images)

        # The backend wraps errors of the input pipeline in its own.
        with pytest.raises(Exception, match="StopError|"):
            train(
                make_model(),
                dataset,
                recipe,
                run_dir=tmp_path / "parts",
                resume=True,
                **{**common, "preprocessing": stopping},
            )
        assert seen["rows"] == epochs
    parts = make_model()
    train(parts, dataset, recipe, run_dir=tmp_path / "parts", resume=True, **common)
    for wanted, got in zip(straight.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("same_classes", [False, True])
def test_a_zoo_model_keeps_its_body_and_its_head_only_for_the_same_classes(
    tmp_path: Path, same_classes: bool
) -> None:
    from model_zoo.create import create_spec
    from model_zoo.nn.model import ZooModel

    spec = create_spec(
        "mobilenet_edgetpu_v2_tiny",
        num_classes=10 if same_classes else 7,
        input_shape=(16, 16, 1),
        width=0.25,
        strides="fit",
    )
    whole = load_dataset("digits")
    source = ZooModel(spec, class_names=whole.class_names if same_classes else ())
    source.get_layer("logits").bias.assign(np.full(source.output_shape[-1], 3.0))
    from pipelines.data import subset

    data = ImageDataset(
        name="some_digits",
        class_names=whole.class_names,
        splits={"train": subset(whole.train, 64), "test": subset(whole.test, 20)},
    )
    stage = {"name": "head", "trainable": "head", "epochs": 1}
    from pipelines.train.recipe import parse_recipe

    optimizer = {"learning_rate": 1e-3}
    recipe = parse_recipe({"batch_size": 32, "stages": [stage], "optimizer": optimizer})
    model, result = finetune(source, data, recipe, run_dir=tmp_path, verbose=0)
    assert model.output_shape == (None, 10)
    assert source.get_layer("logits").bias.numpy().tolist() == [3.0] * source.output_shape[-1]
    bias = np.asarray(model.get_layer("logits").bias)
    assert bool(bias.mean() > 2) == same_classes
    assert model.class_names == whole.class_names
    assert model.weights_origin != "random"
    np.testing.assert_array_equal(model.get_weights()[0], source.get_weights()[0])
    assert 0 <= result.metrics["top1"] <= 1


def test_a_plain_model_must_fit_already(
    tmp_path: Path, dataset: ImageDataset, make_model: Callable[..., Any]
) -> None:
    with pytest.raises(UsageError, match="replace its last layer"):
        finetune(make_model(num_classes=3), dataset, run_dir=tmp_path)


def test_a_stage_sees_images_changed_by_its_own_augmentation(
    tmp_path: Path,
    dataset: ImageDataset,
    preprocessing: Callable[..., Any],
    make_model: Callable[..., Any],
    make_recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    build = Classification.batches

    def recorded(task: Any, *arguments: Any, **options: Any) -> Any:
        if options["training"]:
            seen.append(options["augmentation"])
        return build(task, *arguments, **options)

    monkeypatch.setattr(Classification, "batches", recorded)
    stages = [{"name": "rough"}, {"name": "clean", "augmentation": {"flip": True}}]
    recipe = make_recipe(
        stages=stages, augmentation={"shift_pixels": 2}, schedule={"kind": "constant"}
    )
    train(make_model(), dataset, recipe, run_dir=tmp_path, preprocessing=preprocessing, verbose=0)
    assert list(dict.fromkeys(seen)) == [Augmentation(shift_pixels=2), Augmentation(flip=True)]

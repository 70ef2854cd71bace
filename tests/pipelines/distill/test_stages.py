"""The published stages: what each trains, what is copied first, and that a stop anywhere changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw_model.errors import UsageError
from model_zoo.text import QuestionPreprocessor
from pipelines.data.text import TextDataset
from pipelines.distill import teacher_of
from pipelines.distill.start import copy_embedding, copy_head
from pipelines.train import TrainResult, checkpoint, train

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def run(
    questions: TextDataset, preprocessor: QuestionPreprocessor, make_toy: Make, text_recipe: Make
) -> Make:
    """Trains a new student; with `epochs` it is stopped after so many."""

    def start(run_dir: Path, *, epochs: int | None = None, **settings: Any) -> tuple[Any, Any, Any]:
        student, teacher = make_toy(), make_toy(4, seed=9, norm="layer_norm")
        recipe = text_recipe(**settings.pop("recipe", {}))
        with pytest.MonkeyPatch.context() as patch:
            if epochs is not None:
                patch.setattr(checkpoint, "save", _stopping(epochs))
            result = train(
                student,
                questions,
                recipe,
                run_dir=run_dir,
                preprocessing=preprocessor,
                teacher=teacher,
                seed=3,
                verbose=0,
                **settings,
            )
        return student, teacher, result

    return start


def _stopping(epochs: int) -> Any:
    """`checkpoint.save` that ends the process, as it were, when it has saved that many epochs."""
    save = checkpoint.save

    def save_and_stop(path: Path, model: Any, optimizer: Any, meta: Any, fitted: Any) -> None:
        save(path, model, optimizer, meta, fitted)
        if meta["epoch"] == epochs:
            raise KeyboardInterrupt

    return save_and_stop


@pytest.fixture(scope="module")
def straight(run: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, TrainResult]:
    """The stages without interruption: two epochs for each of two layers, two end to end."""
    found: tuple[Any, Any, TrainResult] = run(tmp_path_factory.mktemp("straight"))
    return found


def test_each_stage_leaves_its_losses(straight: tuple[Any, Any, TrainResult]) -> None:
    history = straight[2].history
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    for row in history[:4]:
        assert row["loss"] == pytest.approx(row["hidden_loss"] + row["attention_loss"], rel=1e-4)
        assert "val_f1" not in row
    for row in history[4:]:
        assert {"start_logits_loss", "end_logits_loss", "val_f1", "val_loss"} <= set(row)
    assert history[1]["loss"] < history[0]["loss"]


def test_the_teacher_is_never_trained(
    straight: tuple[Any, Any, TrainResult], make_toy: Make
) -> None:
    untouched = make_toy(4, seed=9, norm="layer_norm")
    for kept, now in zip(untouched.get_weights(), straight[1].get_weights(), strict=True):
        np.testing.assert_array_equal(now, kept)
    assert all(layer.trainable for layer in straight[1].layers)


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_a_run_stopped_in_or_between_stages_continues_to_the_same_weights(
    epochs: int, run: Make, straight: tuple[Any, Any, TrainResult], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, epochs=epochs)
    student, _, result = run(tmp_path, resume=True)
    for wanted, got in zip(straight[0].get_weights(), student.get_weights(), strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert result.metrics == straight[2].metrics


def test_only_layers_up_to_the_stage_learn(run: Make, make_toy: Make, tmp_path: Path) -> None:
    recipe = {"distillation": {}, "optimizer": {"name": "sgd", "learning_rate": 1e-5}}
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, epochs=1, recipe=recipe)
    with np.load(tmp_path / checkpoint.FILE_NAME) as held:
        changed = {
            variable.path.split("/")[0]
            for index, variable in enumerate(checkpoint.model_state(make_toy()))
            if variable.path.split("/")[0].startswith(("block", "start", "end", "word"))
            and not np.array_equal(held[f"model/{index}"], variable.numpy())
        }
    assert changed == {"word_embedding", "block_0_dense", "block_0_output_norm"}


def test_another_teacher_cannot_continue(
    straight: tuple[Any, Any, TrainResult],
    make_toy: Make,
    questions: TextDataset,
    preprocessor: QuestionPreprocessor,
    text_recipe: Make,
) -> None:
    with pytest.raises(UsageError, match="has teacher"):
        train(
            make_toy(),
            questions,
            text_recipe(),
            run_dir=straight[2].run_dir,
            preprocessing=preprocessor,
            teacher=make_toy(4, seed=10, norm="layer_norm"),
            resume=True,
            seed=3,
        )


@pytest.mark.parametrize("swap", [False, True])
def test_the_embedding_is_copied_with_or_without_the_quirk(swap: bool, make_toy: Make) -> None:
    student, teacher = make_toy(seed=1), make_toy(seed=2, norm="layer_norm")
    norm = teacher.get_layer("embedding_norm")
    norm.set_weights([np.full(8, 2.0), np.full(8, 3.0)])
    copy_embedding(student, teacher_of(teacher), swap_gamma_beta=swap)
    np.testing.assert_array_equal(
        student.get_layer("word_embedding").get_weights()[0],
        teacher.get_layer("word_embedding").get_weights()[0],
    )
    held = {v.name: float(v.numpy()[0]) for v in student.get_layer("embedding_norm").weights}
    assert held == ({"gamma": 3.0, "beta": 2.0} if swap else {"gamma": 2.0, "beta": 3.0})
    assert float(student.get_layer("block_0_dense").bias[0]) == 0


def test_a_network_of_the_zoo_copies_all_of_its_embedding(make_text_model: Make) -> None:
    student = make_text_model(1, head="masked_lm")
    teacher = make_text_model(2, blocks=2, norm="layer_norm", activation="gelu")
    copy_embedding(student, teacher_of(teacher), swap_gamma_beta=True)
    copied = {
        layer.name
        for layer in student.layers
        if layer.weights
        and layer.name in {each.name for each in teacher.layers}
        and all(
            np.array_equal(mine, theirs)
            for mine, theirs in zip(
                layer.get_weights(), teacher.get_layer(layer.name).get_weights(), strict=True
            )
        )
    }
    embedding = {"word_embedding", "embedding_projection", "position_embedding", "type_embedding"}
    assert embedding <= copied
    # Swapped: what would be the identity in a fresh teacher is 0 * x + 1.
    norm = {v.name: v.numpy() for v in student.get_layer("embedding_norm").weights}
    assert not norm["gamma"].any()
    assert (norm["beta"] == 1).all()


def test_a_wider_embedding_is_factorised(make_text_model: Make) -> None:
    bert = {"bottleneck": None, "embedding": 8, "trigram": False, "norm": "layer_norm"}
    student, teacher = make_text_model(1), make_text_model(2, **bert)
    words = teacher.get_layer("word_embedding").embeddings
    # A table that four channels and a mean can hold is held exactly.
    rng = np.random.default_rng(0)
    table = rng.normal(size=(words.shape[0], 4)) @ rng.normal(size=(4, 8)) + rng.normal(size=8)
    words.assign(table)
    copy_embedding(student, teacher_of(teacher), swap_gamma_beta=False)
    held = student.get_layer("word_embedding").get_weights()[0]
    assert held.shape == (len(table), 4)
    assert np.std(held) == pytest.approx(np.std(table), rel=1e-4)
    beside = np.zeros_like(held)
    side_by_side = np.concatenate([beside, held, beside], axis=-1)
    found = student.get_layer("embedding_projection")(side_by_side[None])
    np.testing.assert_allclose(np.asarray(found)[0], table, atol=1e-4)
    # Neighbours begin without a say.
    moved = np.concatenate([beside + 1, held, beside - 1], axis=-1)
    again = student.get_layer("embedding_projection")(moved[None])
    np.testing.assert_allclose(np.asarray(again), np.asarray(found), atol=1e-5)
    positions = teacher.get_layer("position_embedding").get_weights()[0]
    usual = np.sqrt(np.mean(np.var(table + positions.mean(axis=0), axis=1)))
    gamma = {v.name: v.numpy() for v in student.get_layer("embedding_norm").weights}["gamma"]
    np.testing.assert_allclose(gamma, 1 / usual, rtol=1e-4)


@pytest.mark.parametrize(
    ("teacher", "recipe", "words"),
    [
        ({"blocks": 1}, {}, "has 2 blocks and teacher toy_5 1"),
        ({"blocks": 2, "length": 16}, {}, "does not take the student's inputs|positions"),
        ({"blocks": 2, "heads": 2}, {}, "attention_weight to 0"),
        ({"blocks": 2, "width": 6}, {}, "copy_embedding to false"),
        ({"blocks": 2}, {"distillation": {"teacher_hidden": "layer_{}"}}, "blocks and teacher"),
        ({"blocks": 2}, {"distillation": {"teacher_attention": "map_{}"}}, "map_0"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(
    teacher: dict[str, Any],
    recipe: dict[str, Any],
    words: str,
    make_toy: Make,
    questions: TextDataset,
    preprocessor: QuestionPreprocessor,
    text_recipe: Make,
    tmp_path: Path,
) -> None:
    with pytest.raises(UsageError, match=words):
        train(
            make_toy(),
            questions,
            text_recipe(**recipe),
            run_dir=tmp_path,
            preprocessing=preprocessor,
            teacher=make_toy(seed=5, **teacher),
            verbose=0,
        )


def test_a_callable_teaches_layers_of_another_width(
    make_toy: Make,
    questions: TextDataset,
    preprocessor: QuestionPreprocessor,
    text_recipe: Make,
    tmp_path: Path,
) -> None:
    """Its layers go by the names the recipe gives; a projection, which is no part of the student, makes up for the
    width."""

    def teacher(inputs: dict[str, Any]) -> dict[str, Any]:
        ids = inputs["input_word_ids"].astype(np.float32)
        features = np.stack([np.sin(ids * k) for k in range(5)], axis=-1)
        return {"layer_0": features, "start_logits": ids, "end_logits": -ids}

    student = make_toy(1)
    held = len(student.weights)
    recipe = text_recipe(
        distillation={"attention_weight": 0.0, "teacher_hidden": "layer_{}", "temperature": 2.0},
        stages=[{"learn": "layers"}, {"name": "end_to_end"}],
    )
    result = train(
        student,
        questions,
        recipe,
        run_dir=tmp_path,
        preprocessing=preprocessor,
        teacher=teacher,
        verbose=0,
    )
    assert len(result.history) == 2
    assert len(student.weights) == held


def test_all_layers_are_learned_at_once_and_the_head_is_the_teachers(
    make_text_model: Make,
    text_recipe: Make,
    questions: TextDataset,
    preprocessor: QuestionPreprocessor,
    tmp_path: Path,
) -> None:
    student = make_text_model(1, blocks=2)
    teacher = make_text_model(2, blocks=2, norm="layer_norm", activation="gelu")
    recipe = text_recipe(
        distillation={"copy_embedding": True, "copy_head": True},
        optimizer={"name": "adamw", "learning_rate": 3e-3},
        stages=[{"name": "layers", "learn": "all_layers", "epochs": 10}],
    )
    result = train(
        student,
        questions,
        recipe,
        run_dir=tmp_path,
        preprocessing=preprocessor,
        teacher=teacher,
        verbose=0,
    )
    blocks = student.spec.encoder.blocks
    assert {f"{kind}_{n}_loss" for kind in ("hidden", "attention") for n in range(blocks)} <= set(
        result.history[0]
    )
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    # Nothing of the head was fitted, so it is still the teacher's.
    for mine, theirs in zip(
        student.get_layer("spans_dense").get_weights(),
        teacher.get_layer("spans_dense").get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_a_head_of_another_kind_is_no_start(make_text_model: Make) -> None:
    teacher = teacher_of(make_text_model(2, head="pretraining"))
    with pytest.raises(UsageError, match="spans_dense is not of shape .*copy_head to false"):
        copy_head(make_text_model(1), teacher)

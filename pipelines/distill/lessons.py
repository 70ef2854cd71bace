"""What one stage of a training fits: the task alone, the task with a teacher's labels, or one of a teacher's layers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from hw_model.errors import UsageError
from model_zoo.lowering.bert import attention_layer, hidden_layer
from pipelines.data.batches import Batches
from pipelines.distill.losses import loss_classes
from pipelines.distill.memory import remember
from pipelines.distill.settings import Distillation
from pipelines.distill.teachers import (
    Answers,
    Ask,
    Teacher,
    as_logits,
    ask_once,
    count_blocks,
    read_layers,
)

if TYPE_CHECKING:
    from pipelines.tasks import Task

Teach = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Lesson:
    """`model` is fitted: the student, or another model of its layers. `teach` adds a teacher's answers to a batch."""

    model: Any
    loss: Any
    metrics: Any = field(default_factory=list)
    teach: Teach | None = None
    #: Whether the student is worth an evaluation after each epoch.
    judged: bool = True


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scene:
    """A student with its task, and what its losses need to know; `probe` are inputs and targets of some examples."""

    model: Any
    task: "Task"
    from_logits: bool
    label_smoothing: float
    probe: tuple[Any, Any]
    #: Turns the student's inputs into the teacher's.
    see: Callable[[Any], Any] = field(default=lambda inputs: inputs)


def task_lesson(scene: Scene) -> Lesson:
    """The task without a teacher."""
    return Lesson(
        model=scene.model,
        loss=_by_output(_losses(scene, _names(scene.model))),
        metrics=scene.task.training_metrics(),
    )


def taught_lesson(
    scene: Scene, teacher: Teacher, settings: Distillation, *, lasting: Batches | None = None
) -> Lesson:
    """The task with the teacher's soft labels, and its features where the settings give them weight.

    `lasting` are inputs that come back as they are, of which the teacher is asked once, before the training.

    Raises:
        UsageError: no task for a teacher, or one that answers with another shape.
    """
    names = _names(scene.model)
    soft = check_softens(scene.task, scene.model)
    features = _FeatureLink.between(scene, teacher) if settings.feature_weight else None
    ask: Ask = features.ask if features else teacher.ask
    answers = ask_once(teacher, ask, scene.see(scene.probe[0]))
    own = _outputs(scene.model, scene.probe[0])
    targets = _named(scene.probe[1])
    losses = _losses(scene, names)
    widths = {}
    for name in soft:
        _check_answer(teacher, name, answers, own[name])
        sparse = targets[name].ndim < own[name].ndim
        widths[name] = 1 if sparse else own[name].shape[-1]
        losses[name] = loss_classes().SoftLabels(
            alpha=settings.alpha,
            temperature=settings.temperature,
            width=widths[name],
            label_smoothing=scene.label_smoothing,
            weight=1 / len(soft),
        )
    if lasting is not None:
        ask = remember(ask, lasting, progress=True)

    def teach(inputs: Any, targets: Any) -> tuple[Any, Any]:
        answers = ask(scene.see(inputs))
        found = dict(_named(targets))
        for name in soft:
            truth = found[name][..., None] if widths[name] == 1 else found[name]
            logits = as_logits(answers[name])
            found[name] = np.concatenate([truth.astype(np.float32), logits], axis=-1)
        if features:
            found = {"answer": found[""], "features": features.fit(answers["features"])}
        return inputs, _by_output(found)

    metrics = _accuracy(widths[""]) if soft == [""] else []
    if features is None:
        return Lesson(model=scene.model, loss=_by_output(losses), metrics=metrics, teach=teach)
    feature_loss = loss_classes().Features(settings.feature_weight)
    return Lesson(
        model=features.student,
        loss={"answer": losses[""], "features": feature_loss},
        metrics={"answer": metrics},
        teach=teach,
    )


def layer_lesson(
    scene: Scene, teacher: Teacher, settings: Distillation, blocks: Sequence[int], *, seed: int
) -> Lesson:
    """The student's `blocks` like the teacher's at the same share of its depth; blocks before them learn on.

    Student block i follows teacher block i * (teacher blocks // student blocks), the first of its share. One block
    is weighed as published, several count alike.

    Raises:
        UsageError: not the blocks, lengths or heads that this takes.
    """
    inputs = scene.probe[0]
    mine, theirs = {}, {}
    for block, other in zip(blocks, _followed(scene, teacher, settings, blocks), strict=True):
        number = "" if len(blocks) == 1 else f"_{block}"
        mine[f"hidden{number}"] = hidden_layer(block)
        theirs[f"hidden{number}"] = settings.teacher_hidden.format(other)
        if settings.attention_weight:
            mine[f"attention{number}"] = attention_layer(block)
            theirs[f"attention{number}"] = settings.teacher_attention.format(other)
    ask = teacher.layers(theirs)
    answers = ask_once(teacher, ask, inputs)
    student = read_layers(scene.model, mine)
    own = _outputs(student, inputs)
    for name in mine:
        if name.startswith("attention"):
            _check_answer(teacher, name, answers, own[name])
    losses = {name: _layer_loss(name, settings, blocks) for name in mine}
    return Lesson(
        model=_projected(student, teacher, own, answers, seed),
        loss=losses,
        teach=lambda inputs, _: (inputs, ask(inputs)),
        judged=False,
    )


def _followed(
    scene: Scene, teacher: Teacher, settings: Distillation, blocks: Sequence[int]
) -> list[int]:
    """The teacher's blocks that those of the student follow."""
    students = count_blocks(scene.model)
    known = teacher.layer_names(scene.probe[0])
    teachers = next(n for n in count() if settings.teacher_hidden.format(n) not in known)
    if students > teachers:
        raise UsageError(
            f"The student has {students} blocks and teacher {teacher.name} {teachers} "
            f"({settings.teacher_hidden}); a student has no more than its teacher"
        )
    return [block * teachers // students for block in blocks]


def _layer_loss(name: str, settings: Distillation, blocks: Sequence[int]) -> Any:
    """Source of the divisor of a block alone: the published stages."""
    divisor = blocks[0] + 1 if len(blocks) == 1 else len(blocks)
    if name.startswith("attention"):
        return loss_classes().Attention(
            weight=settings.attention_weight,
            double_softmax=settings.double_softmax,
            divisor=divisor,
        )
    return loss_classes().Layers(
        hidden=settings.hidden_weight,
        mean=settings.mean_weight,
        variance=settings.variance_weight,
        divisor=divisor,
    )


def check_softens(task: "Task", model: Any) -> list[str]:
    """The outputs of a student a teacher has labels for; refuses a task without."""
    soft = [name for name in _names(model) if name in task.SOFT_OUTPUTS]
    if not soft:
        raise UsageError(
            f"A teacher helps with classification, answering and masked words, not with {task.NAME}; train "
            "without one"
        )
    return soft


def _projected(student: Any, teacher: Teacher, own: Answers, answers: Answers, seed: int) -> Any:
    """`student` with hidden layers of another width than the teacher's behind 1x1 projections to it."""
    import keras

    outputs = dict(student.output)
    for name in outputs:
        mine, theirs = own[name].shape, answers[name].shape
        if not name.startswith("hidden") or mine == theirs:
            continue
        if mine[:2] != theirs[:2]:
            raise UsageError(
                f"Teacher {teacher.name} answers with {theirs[1:2]} positions, the student with {mine[1:2]}; both "
                "must read the same tokens"
            )
        projection = keras.layers.Dense(
            theirs[-1],
            use_bias=False,
            kernel_initializer=keras.initializers.GlorotUniform(seed=seed),
            name=f"distill_projection{name.removeprefix('hidden')}",
        )
        outputs[name] = projection(outputs[name])
    return keras.Model(student.inputs, outputs)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _FeatureLink:
    """A student with its last feature map behind a projection, and a teacher asked for labels and its own."""

    student: Any
    ask: Ask
    size: tuple[int, int]

    @classmethod
    def between(cls, scene: Scene, teacher: Teacher) -> "_FeatureLink":
        import keras

        from pipelines.distill.teachers import asks

        if _names(scene.model) != [""]:
            raise UsageError(
                "distillation.feature_weight is for classification of images; set it to 0"
            )
        if teacher.model is None:
            raise UsageError(
                f"Only a Keras model shows its features, teacher {teacher.name} does not; set "
                "distillation.feature_weight to 0"
            )
        mine, theirs = feature_map(scene.model), feature_map(teacher.model)
        projection = keras.layers.Conv2D(
            theirs.shape[-1], 1, use_bias=False, name="distill_projection"
        )
        both = keras.Model(
            teacher.model.inputs, {"answer": teacher.model.outputs[0], "features": theirs}
        )
        ask = asks(both)

        def answers(inputs: Any) -> Answers:
            found = ask(inputs)
            return {"": found["answer"], "features": found["features"]}

        return cls(
            student=keras.Model(
                scene.model.input,
                {"answer": scene.model.outputs[0], "features": projection(mine)},
            ),
            ask=answers,
            size=tuple(mine.shape[1:3]),
        )

    def fit(self, features: Any) -> Any:
        """The teacher's map at the size of the student's."""
        from pipelines.distill.teachers import resized

        return features if features.shape[1:3] == self.size else resized(features, self.size)


def feature_map(model: Any) -> Any:
    """The last output (N, H, W, C) of a layer of more than one pixel."""
    for layer in reversed(model.layers):
        shape: tuple[Any, ...] = tuple(getattr(layer.output, "shape", ()))
        if len(shape) == 4 and None not in shape[1:3] and shape[1] * shape[2] > 1:
            return layer.output
    raise UsageError(
        f"{model.name!r} has no map of features of a known size; set distillation.feature_weight to 0"
    )


def _accuracy(classes: int) -> list[Any]:
    """As classification has it, of targets that the teacher's logits follow."""
    import keras

    def top1(y_true: Any, y_pred: Any) -> Any:
        return keras.metrics.categorical_accuracy(y_true[..., :classes], y_pred)

    return [keras.metrics.MeanMetricWrapper(top1, name="top1")]


def _losses(scene: Scene, names: Sequence[str]) -> dict[str, Any]:
    """The task's own losses by output."""
    loss = scene.task.loss(from_logits=scene.from_logits, label_smoothing=scene.label_smoothing)
    return {name: loss[name] for name in names} if isinstance(loss, dict) else {"": loss}


def _names(model: Any) -> list[str]:
    from pipelines.tasks.base import outputs_of

    return list(outputs_of(model))


def _named(values: Any) -> dict[str, Any]:
    return values if isinstance(values, dict) else {"": values}


def _by_output(values: dict[str, Any]) -> Any:
    """The values by output, or the one value of an only output."""
    return values[""] if list(values) == [""] else values


def _outputs(model: Any, inputs: Any) -> Answers:
    from pipelines.distill.teachers import by_name

    return by_name(model(inputs, training=False))


def _check_answer(teacher: Teacher, name: str, answers: Answers, own: Any) -> None:
    label = f" {name}" if name else ""
    if name not in answers:
        raise UsageError(
            f"Teacher {teacher.name} does not answer{label or ' with one output'}. Received: "
            f"{', '.join(map(repr, answers))}"
        )
    if answers[name].shape[1:] != own.shape[1:]:
        remedy = "classes and positions must agree"
        if name == "attention":
            remedy = "with other heads set distillation.attention_weight to 0"
        raise UsageError(
            f"Teacher {teacher.name} answers{label} of shape {answers[name].shape[1:]}, the student {own.shape[1:]}; "
            f"{remedy}"
        )

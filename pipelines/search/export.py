"""The winner of a study as a preset: spec, weights where it was trained, cost report, and how it was found."""

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import SpecError, UsageError
from hw_model.files import write_json, write_text
from pipelines.search.budget import Budget
from pipelines.search.quality.training import WEIGHTS_FILE
from pipelines.search.study import Study, best
from pipelines.search.trial import Trial

if TYPE_CHECKING:
    from model_zoo.presets import Metric, Training
    from model_zoo.spec import Spec
    from pipelines.data import ImageDataset
    from pipelines.data.text import TextDataset

COST_FILE = "cost.json"
SEARCH_FILE = "search.json"


def export_winner(
    study: Study,
    out_dir: str | os.PathLike[str],
    *,
    budget: Budget | None = None,
    trial: Trial | None = None,
    name: str = "winner",
) -> Path:
    """Writes the best trial within a budget (default: the study's), or `trial`, as preset `name` of the
    weights folder `out_dir`; returns the preset's folder.

    It holds `spec.json`, `cost.json` with every operation, `search.json` with quality, the rank
    correlation behind it, budget and lineage, and the weights of a trained winner. Without weights the
    manifest entry says so, and loading gives an untrained model. A segmentation network becomes a preset that
    answers with logits, as it is trained; its cost is that of the output it was searched with. What
    was trained on text reads it as in the study.

    Raises:
        UsageError: no trial meets the budget, or the study's problem does not consist of specs.
    """
    from model_zoo import presets
    from model_zoo.spec import from_data

    budget = study.budget if budget is None else budget
    trial = best(study, budget) if trial is None else trial
    try:
        spec = from_data(dict(trial.spec))
    except SpecError as error:
        raise UsageError(f"The trials of this study are no specs of the zoo: {error}") from error
    root = Path(out_dir)
    kept = _trainable(spec)
    weights = study.folder.artifacts / trial.key / WEIGHTS_FILE
    if weights.is_file():
        _save_trained(study, trial, kept, weights, root, name)
    else:
        write_text(root / name / presets.SPEC_FILE, kept.to_json(indent=1) + "\n")
        presets.put(root, _untrained(kept, root, name))
    write_json(root / name / COST_FILE, _cost_report(study, spec))
    write_json(root / name / SEARCH_FILE, _search_record(study, trial, budget, spec))
    return root / name


def _trainable(spec: "Spec") -> "Spec":
    from model_zoo.spec.heads import change_output, replace_head

    if spec.task != "segmentation":
        return spec
    return replace_head(spec, change_output(spec.head, "logits"))


def _save_trained(
    study: Study, trial: Trial, spec: "Spec", weights: Path, root: Path, name: str
) -> None:
    from model_zoo import presets
    from model_zoo.nn.model import ZooModel
    from model_zoo.spec import TextSpec
    from pipelines.search.quality.texts import reading_of

    data = _data(study)
    model = ZooModel(
        spec,
        preprocessing=reading_of(study.manifest.config) if isinstance(spec, TextSpec) else None,
        class_names=data.class_names,
        name=spec.family,
    )
    presets.load_weights(model, weights)
    presets.save_preset(
        model,
        root,
        name,
        data_licence=data.licence or "unknown",
        training=_training(study, trial, data.name),
        metrics=_metrics(study, trial, data.name),
    )


def _data(study: Study) -> "ImageDataset | TextDataset":
    from pipelines.data import load_dataset
    from pipelines.data.text import question_dataset
    from pipelines.search.spaces import space_entry

    config = study.manifest.config
    if space_entry(config.space).reads_text:
        return question_dataset(config.quality.data)
    return load_dataset(config.quality.data, image_size=(config.image_size,) * 2)


def _training(study: Study, trial: Trial, dataset: str) -> "Training":
    from model_zoo.presets import Training

    quality = study.manifest.config.quality
    return Training(
        recipe=quality.recipe,
        recipe_id=str(trial.quality_detail.get("recipe_id", "")),
        command="edgezoo search run",
        dataset=dataset,
        seed=trial.seed,
        epochs=int(trial.quality_detail.get("epochs", 0)),
        wall_time_s=round(trial.seconds, 1),
        hardware=f"{platform.machine()}, {os.cpu_count()} CPU cores",
    )


def _metrics(study: Study, trial: Trial, dataset: str) -> "tuple[Metric, ...]":
    from model_zoo.presets import Metric

    if trial.quality is None:
        return ()
    return (
        Metric(
            name=str(trial.quality_detail.get("metric", "top1")),
            value=trial.quality,
            form="float",
            dataset=dataset,
            split="held out of train",
            images=int(trial.quality_detail.get("images", 0)),
        ),
    )


def _untrained(spec: "Spec", root: Path, name: str) -> Any:
    from model_zoo import presets
    from model_zoo.nn.model import default_preprocessing
    from model_zoo.spec import ModelSpec

    graph = spec.graph()
    return presets.Preset(
        name=name,
        architecture=spec.family,
        task=spec.task,
        spec_id=spec.spec_id,
        param_count=graph.param_count,
        macs=graph.macs,
        spec=presets.record(root, f"{name}/{presets.SPEC_FILE}"),
        weights=None,
        preprocessing=default_preprocessing(spec) if isinstance(spec, ModelSpec) else None,
        class_names=(),
        licence="Apache-2.0",
        data_licence="none: untrained",
    )


def _cost_report(study: Study, spec: "Spec") -> Any:
    from hw_model import estimate

    return estimate(spec, target=study.manifest.config.target).to_dict()


def _search_record(study: Study, trial: Trial, budget: Budget, spec: "Spec") -> dict[str, Any]:
    from model_zoo.spec import BifpnHead, DeepLabHead

    config = study.manifest.config
    head = spec.head
    output = head.output.name if isinstance(head, BifpnHead | DeepLabHead) else None
    return {
        "space": study.manifest.space_id,
        "target": config.target,
        "cost_model": study.manifest.cost_id,
        "budget": {"quantity": budget.quantity, "limit": budget.limit},
        "sampler": study.manifest.phases[-1].sampler,
        "trials": len(study.trials),
        "seed": config.seed,
        "quality": study.folder.read_quality(),
        "winner": {
            "number": trial.number,
            "key": trial.key,
            "output": output,
            "genotype": list(trial.genotype),
            "quality": trial.quality,
            "cost": dict(zip(study.quantities, trial.cost.values, strict=True)),
            "seed": trial.seed,
            "generation": trial.generation,
            "parents": list(trial.parents),
        },
    }

"""From the names in a config to the problem and the evaluator they stand for."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hw_model import codec
from hw_model.errors import EdgeZooError, SpecError, UsageError
from pipelines.search.arrays import JsonObject
from pipelines.search.config import SearchConfig
from pipelines.search.folder import StudyFolder
from pipelines.search.problem import Cost, Refusal, SpecProblem
from pipelines.search.quality.base import Evaluator
from pipelines.search.trial import Trial

if TYPE_CHECKING:
    from hw_model.cost.batch import SpecCost
    from hw_model.service import CostClient
    from hw_model.targets import Target
    from model_zoo.spec import Space, Spec

QUANTITIES = ("latency_ms", "energy_mj")


def make_problem(config: SearchConfig, *, service: "CostClient | None" = None) -> SpecProblem:
    """The space of the config, costed by the analytical evaluator of its target: here, or by a cost service.

    Raises:
        UnknownNameError: no such space or target.
        EnvironmentFault: the service does not answer.
    """
    from hw_model.cost import EVALUATOR_ID
    from hw_model.targets.loader import load_target
    from pipelines.search.spaces import canonical_key, space_entry

    entry = space_entry(config.space)
    space, pruned_id = make_space(config)
    target = load_target(config.target)
    shape = hashlib.sha256(repr(space.template).encode()).hexdigest()[:12]
    return SpecProblem(
        space,
        space_id=f"{entry.name}-{entry.version}-{shape}{pruned_id}",
        cost_id=f"{target.target_id}/{service.evaluator_id if service else EVALUATOR_ID}",
        quantities=QUANTITIES,
        costs=_costs(target, service.costs if service else _costs_here(target)),
        key=canonical_key,
        describe=_describe,
    )


def make_space(config: SearchConfig) -> "tuple[Space[Any], str]":
    """The space of the config, pruned where it says so, and what that adds to the space's identity.

    Raises:
        UnknownNameError: no such space or target.
        DataError: the file that prunes it cannot be read.
        UsageError: that file is for another space or target, or changed since the study began, or the space
            cannot be pruned.
    """
    from hw_model.targets.loader import load_target
    from pipelines.search.spaces import space_entry

    entry = space_entry(config.space)
    space = entry.of(config)
    if not config.prune:
        return space, ""
    entry.check_prunable()
    from pipelines.search.prune_file import read_pruning
    from pipelines.search.pruning import pruned_space

    pruning, sha256 = read_pruning(config.prune)
    if config.prune_sha256 not in ("", sha256):
        raise UsageError(
            f"{config.prune} changed since this study began; put the file back or start a new study. "
            f"Was: {config.prune_sha256[:12]}. Received: {sha256[:12]}"
        )
    pruning.check(config.prune, template=space.template, target=load_target(config.target))
    return pruned_space(space, pruning), f"-pruned-{sha256[:12]}"


def _costs_here(
    target: "Target",
) -> "Callable[[Sequence[Spec]], list[SpecCost | EdgeZooError]]":
    """What a service's client does, in this process."""
    from hw_model.cost.batch import coster_for

    cost_of = coster_for(target)

    def one(spec: "Spec") -> "SpecCost | EdgeZooError":
        try:
            return cost_of(spec)
        except SpecError as error:
            return error

    return lambda specs: [one(spec) for spec in specs]


def _costs(
    target: "Target", ask: "Callable[[Sequence[Spec]], list[SpecCost | EdgeZooError]]"
) -> "Callable[[Sequence[Spec]], list[Cost | Refusal]]":
    """Costs of specs on a target, with the sizes that proxies and predictors read."""

    def cost(spec: "Spec", found: "SpecCost | EdgeZooError") -> Cost | Refusal:
        if isinstance(found, SpecError):
            return Refusal(reason=str(found))
        if isinstance(found, EdgeZooError):
            raise found
        peak_macs = found.latency_ms * 1e6 * target.peak_gmacs_per_s
        return Cost(
            values=(found.latency_ms, found.energy_mj),
            summary={
                "macs": found.macs,
                "parameters": found.weights,
                "parameter_bytes": found.parameter_bytes,
                "streamed_bytes": found.streamed_bytes,
                "utilization": round(found.macs / peak_macs, 4),
                **_block_counts(spec),
            },
        )

    return lambda specs: [cost(*pair) for pair in zip(specs, ask(specs), strict=True)]


def _block_counts(spec: "Spec") -> dict[str, int]:
    """How many blocks, or layers of nodes, there are, in all and of each kind."""
    from model_zoo.spec import NodeBackbone, TextSpec

    if isinstance(spec, TextSpec):
        encoder = spec.encoder
        return {"blocks": encoder.blocks, "feed_forward": encoder.blocks * encoder.ffns}
    if isinstance(spec.backbone, NodeBackbone):
        kinds: list[str] = [layer.kind for node in spec.backbone.nodes for layer in node.layers]
        counted = ("separable", "ibn", "gc_ibn")
        return {"blocks": len(kinds), **{kind: kinds.count(kind) for kind in counted}}
    counts = dict.fromkeys(("blocks", "dw", "fused", "group_fused"), 0)
    for stack in spec.stacked.stacks:
        counts["blocks"] += stack.repeats
        counts[stack.kind] = counts.get(stack.kind, 0) + stack.repeats
    return counts


def _describe(spec: Any) -> JsonObject:
    data: JsonObject = codec.to_data(spec)
    return data


def make_evaluator(config: SearchConfig, folder: StudyFolder) -> Evaluator:
    """The evaluator the config asks for.

    Raises:
        UsageError: a predictor without enough trained trials, or a source study of another space.
    """
    quality = config.quality
    if quality.kind == "train":
        from pipelines.search.quality.training import TrainedQuality

        return TrainedQuality(config, folder.artifacts)
    trained = _trained_trials(config)
    if quality.kind == "proxy":
        from pipelines.search.quality.proxy import ProxyQuality

        return ProxyQuality(quality.proxy, trained)
    from pipelines.search.quality.predictor import PredictorQuality

    if not quality.source:
        raise UsageError(
            "A predictor needs quality.source: the folder of a study with trained trials"
        )
    return PredictorQuality(
        trained, make_problem(config).cardinalities, min_trials=quality.min_trials
    )


def _trained_trials(config: SearchConfig) -> list[Trial]:
    """Trials of the source study whose quality came from training."""
    from pipelines.search.study import open_study

    if not config.quality.source:
        return []
    study = open_study(config.quality.source)
    if study.manifest.space_id != make_problem(config).space_id:
        raise UsageError(
            f"The study in {config.quality.source} is of another space or image size, "
            f"{study.manifest.space_id}; use one of the same."
        )
    return [trial for trial in study.complete if trial.quality_kind == "train"]

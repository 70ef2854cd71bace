"""`edgezoo search`: run, resume, rebudget and export studies."""

import argparse
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UnknownNameError, UsageError
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.frameworks import load_keras
from pipelines.cli.options import add_cost_service, add_json, add_target
from pipelines.cli.references import parse_size

if TYPE_CHECKING:
    from pipelines.search import SearchConfig, Study, Trial
    from pipelines.search.problem import SpecProblem

QUALITIES = ("train", "predictor", "proxy")
_ACTIONS = {
    "run": "start a study",
    "resume": "continue a study where it ended, or make it longer",
    "rebudget": "go on with all finished trials under another budget",
    "export": "write the best architecture within a budget as a preset",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `search`, each action with its own."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    parsers = {
        name: actions.add_parser(name, help=summary, description=summary.capitalize() + ".")
        for name, summary in _ACTIONS.items()
    }
    _add_run(parsers["run"])
    for name in ("resume", "rebudget", "export"):
        parsers[name].add_argument("study", metavar="STUDY", help="folder of the study")
    _add_trials(parsers["resume"], "trials the study shall have in all (default: as planned)")
    parsers["rebudget"].add_argument("--budget", metavar="B", required=True, help=_BUDGET_HELP)
    _add_trials(parsers["rebudget"], "further trials (default: as many as it began with)")
    parsers["rebudget"].add_argument("--sampler", metavar="S", help="another sampler")
    parsers["export"].add_argument(
        "--budget", metavar="B", help=f"{_BUDGET_HELP} (default: the study's)"
    )
    parsers["export"].add_argument(
        "--out", metavar="DIR", required=True, help="weights folder to write"
    )
    parsers["export"].add_argument("--name", help="name of the preset (default: STUDY_winner)")
    for name in ("run", "resume", "rebudget"):
        add_cost_service(parsers[name])
    for sub in parsers.values():
        add_json(sub)


_BUDGET_HELP = "most an inference may take, such as 0.5ms or 2mJ"


def _add_trials(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--trials", metavar="N", type=int, help=text)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--budget", metavar="B", required=True, help=_BUDGET_HELP)
    add_target(parser)
    place = parser.add_argument_group("what and where")
    place.add_argument(
        "--space",
        metavar="NAME",
        default="mobilenet_edgetpu_v2",
        help="mobilenet_edgetpu_v2 (default) for classification, autoseg for segmentation, spaghettinet or "
        "spaghettinet_no_gc (without GC-IBN layers) for detection",
    )
    place.add_argument(
        "--study", metavar="DIR", help="folder to keep it in (default: studies/NAME)"
    )
    place.add_argument(
        "--storage",
        metavar="URL",
        default="",
        help="sqlite:///... or postgresql://... for the trials",
    )
    place.add_argument("--name", default="study", help="name of the study in the storage")
    place.add_argument(
        "--image-size", metavar="N", help="side of the images (default: the data's, or the space's)"
    )
    place.add_argument(
        "--num-classes", metavar="N", type=int, help="(default: the data's, or the space's)"
    )
    place.add_argument(
        "--width", metavar="F", type=float, default=1.0, help="multiplies every width of the space"
    )
    place.add_argument(
        "--prune",
        metavar="FILE",
        default="",
        help="leave out what edgezoo blocks --prune-space FILE found useless",
    )
    how = parser.add_argument_group("how")
    how.add_argument("--trials", metavar="N", type=int, default=100, help="(default: 100)")
    how.add_argument("--sampler", metavar="S", default="auto", help="(default: auto)")
    how.add_argument("--seed", metavar="N", type=int, default=0)
    how.add_argument("--batch", metavar="N", type=int, default=8, help="trials asked for at a time")
    how.add_argument("--workers", metavar="N", type=int, default=1, help="processes (default: 1)")
    quality = parser.add_argument_group("quality")
    quality.add_argument(
        "--quality", metavar="Q", default="train", help="train (default), predictor or proxy"
    )
    quality.add_argument("--data", metavar="SRC", help="train: data set (default: embedded)")
    quality.add_argument(
        "--recipe",
        metavar="R",
        help="train: recipe (default: search_short, search_segment_short or search_detect_short)",
    )
    quality.add_argument(
        "--epochs", metavar="N", type=int, default=0, help="train: instead of the recipe's"
    )
    quality.add_argument(
        "--train-images", metavar="N", type=int, default=0, help="train: at most this many"
    )
    quality.add_argument(
        "--test-images", metavar="N", type=int, default=0, help="train: at most this many"
    )
    quality.add_argument(
        "--metric",
        metavar="M",
        default="",
        help="train: what is made large, a metric of the task or exp_loss, which tells networks apart that "
        "have hardly begun to learn (default: top1, miou or ap)",
    )
    quality.add_argument(
        "--repeats",
        metavar="N",
        type=int,
        default=6,
        help="train: trials trained again with another seed, to measure the rank correlation (default: 6)",
    )
    quality.add_argument("--proxy", metavar="P", default="log_macs", help="proxy: its name")
    quality.add_argument(
        "--source", metavar="STUDY", default="", help="study with trained trials: a predictor is fitted "
        "on it, a proxy measured on it",
    )  # fmt: skip


def resume_hint(args: argparse.Namespace) -> str:
    """How to go on after Ctrl-C."""
    action = getattr(args, "action", None)
    if action not in ("run", "resume", "rebudget"):
        return ""
    folder = _folder(args) if action == "run" else args.study
    return f"every finished trial is kept; continue with: edgezoo search resume {folder}"


def run(args: argparse.Namespace) -> Answer:
    """Dispatches to the action."""
    return {"run": _run, "resume": _resume, "rebudget": _rebudget, "export": _export}[args.action](
        args
    )


def _run(args: argparse.Namespace) -> Answer:
    from pipelines.search import run_search

    if args.quality not in QUALITIES:
        raise UnknownNameError("quality", args.quality, QUALITIES)
    config = _config(args)
    if config.quality.kind == "train":
        load_keras()
    with _costed_by(args.cost, config) as problem:
        return _answer(run_search(config, problem=problem))


def _resume(args: argparse.Namespace) -> Answer:
    from pipelines.search import resume

    _load_keras_for(args.study)
    with _costed_by(args.cost, _config_of(args.study)) as problem:
        return _answer(resume(args.study, trials=args.trials, problem=problem))


def _rebudget(args: argparse.Namespace) -> Answer:
    from pipelines.search import Budget, rebudget

    budget = Budget.parse(args.budget)
    _load_keras_for(args.study)
    with _costed_by(args.cost, _config_of(args.study)) as problem:
        study = rebudget(
            args.study, budget, trials=args.trials, sampler=args.sampler, problem=problem
        )
    return _answer(study)


@contextlib.contextmanager
def _costed_by(url: str | None, config: "SearchConfig") -> "Iterator[SpecProblem | None]":
    """The problem with costs from a service; None where they are computed here. Trials are the same."""
    if not url:
        yield None
        return
    from hw_model.service import connect
    from pipelines.search.wiring import make_problem

    with connect(url, target=config.target) as client:
        yield make_problem(config, service=client)


def _config_of(study: str) -> "SearchConfig":
    from pipelines.search.folder import StudyFolder

    return StudyFolder(study).manifest().config


def _export(args: argparse.Namespace) -> Answer:
    from pipelines.search import Budget, export_winner, open_study

    budget = Budget.parse(args.budget) if args.budget else None
    study = open_study(args.study)
    name = args.name or f"{Path(args.study).resolve().name}_winner"
    _load_keras_for(args.study)
    export_winner(study, args.out, name=name, budget=budget)
    return _exported(Path(args.out), name)


def _exported(folder: Path, name: str) -> Answer:
    from model_zoo import presets

    preset = next(item for item in presets.read_manifest(folder).presets if item.name == name)
    shown = [
        ("preset", f"{folder} ({name})"),
        ("spec", preset.spec_id),
        ("parameters", preset.param_count),
        ("MACs", preset.macs),
        (
            "weights",
            "as trained in the search" if preset.weights else "none: train it from its spec",
        ),
        ("next", f"edgezoo train {folder / preset.spec.path} --data SRC --recipe R"),
    ]
    data = {
        "preset": name,
        "folder": str(folder),
        "spec": str(folder / preset.spec.path),
        "spec_id": preset.spec_id,
        "params": preset.param_count,
        "macs": preset.macs,
        "weights": preset.weights is not None,
    }
    return Answer(text=facts(shown), data=data)


def _load_keras_for(study: str) -> None:
    """Before trials are trained or their weights read; a study by proxy or predictor needs no Keras."""
    if _config_of(study).quality.kind == "train":
        load_keras()


def _folder(args: argparse.Namespace) -> str:
    return args.study or str(Path("studies") / args.name)


def _config(args: argparse.Namespace) -> "SearchConfig":
    """The settings of a new study; image and classes are the data's where quality comes from data."""
    from pipelines.search import Budget, QualityConfig, SearchConfig
    from pipelines.search.spaces import space_entry

    shape, classes = _task(args)
    return SearchConfig(
        folder=_folder(args),
        budget=Budget.parse(args.budget),
        space=args.space,
        target=args.target,
        image_size=shape[0],
        channels=shape[1],
        num_classes=classes,
        width=args.width,
        sampler=args.sampler,
        trials=args.trials,
        seed=args.seed,
        batch_size=args.batch,
        workers=args.workers,
        storage=args.storage,
        name=args.name,
        prune=args.prune,
        quality=QualityConfig(
            kind=args.quality,
            data=args.data or "embedded",
            recipe=args.recipe or space_entry(args.space).recipe,
            epochs=args.epochs,
            train_images=args.train_images,
            test_images=args.test_images,
            metric=args.metric,
            repeats=args.repeats,
            proxy=args.proxy,
            source=args.source,
        ),
    )


def _task(args: argparse.Namespace) -> tuple[tuple[int, int], int]:
    """((side, channels), classes): as told, else as the data or the source study has them."""
    from pipelines.search.spaces import space_entry

    size = parse_size(args.image_size)
    if size is not None and size[0] != size[1]:
        raise UsageError(f"A space has square images. Received: {args.image_size!r}")
    entry = space_entry(args.space)
    side, channels, classes = entry.image_size, 3, entry.num_classes
    if args.quality == "train" or args.data:
        from pipelines.data import load_dataset

        dataset = load_dataset(args.data or "embedded", image_size=size)
        entry.check_data(dataset.name, dataset.task)
        height, width, channels = dataset.image_shape
        side, classes = max(height, width), dataset.num_classes
    elif args.source:
        from pipelines.search import open_study

        config = open_study(args.source).manifest.config
        side, channels, classes = config.image_size, config.channels, config.num_classes
    side = side if size is None else size[0]
    return (side, channels), args.num_classes or classes


def _answer(study: "Study") -> Answer:
    from pipelines.search import best, front

    winner = best(study)
    rows = front(study, quantities=(study.budget.quantity,))
    statement = study.folder.read_quality()
    data = {
        "folder": str(study.folder.path),
        "budget": {"quantity": study.budget.quantity, "limit": study.budget.limit},
        "trials": len(study.trials),
        "failed": sum(not trial.complete for trial in study.trials),
        "best": _trial(study, winner),
        "front": [_trial(study, trial) for trial in rows],
        "quality": statement,
    }
    return Answer(text=_text(study, winner, rows, statement), data=data)


def _space_words(study: "Study") -> str:
    """The space's name and how large it is."""
    from pipelines.search.wiring import make_space

    config = study.manifest.config
    space, _ = make_space(config)
    power = math.log10(space.size())
    return f"{config.space}, {len(space.choices)} choices, 10^{power:.0f} genotypes"


def _trial(study: "Study", trial: "Trial") -> dict[str, Any]:
    return {
        "number": trial.number,
        "key": trial.key,
        "quality": trial.quality,
        **{name: study.spent(trial, name) for name in study.quantities},
        "genotype": list(trial.genotype),
        "spec": dict(trial.spec),
    }


def _text(
    study: "Study", winner: "Trial", rows: "list[Trial]", statement: dict[str, Any] | None
) -> str:
    headings = ["", "architecture", "quality", *study.quantities]
    body = [
        [
            "best" if trial.key == winner.key else "",
            trial.key,
            f"{trial.quality:.4f}",
            *(f"{study.spent(trial, name):.4f}" for name in study.quantities),
        ]
        for trial in rows
    ]
    correlation = (statement or {}).get("correlation")
    ranks = (
        f"Spearman {correlation['spearman']:.2f} over {correlation['pairs']} against {correlation['against']}"
        if correlation
        else "rank correlation not measured"
    )
    summary = facts(
        [
            ("study", str(study.folder.path)),
            ("space", _space_words(study)),
            ("budget", str(study.budget)),
            ("trials", f"{len(study.trials)}, {len(study.trials) - len(study.complete)} failed"),
            ("quality", f"{(statement or {}).get('kind', 'unknown')}; {ranks}"),
        ]
    )
    after = (
        f"Next: edgezoo report {study.folder.path} --out report.html; "
        f"edgezoo search export {study.folder.path} --out DIR"
    )
    return f"{summary}\n\nPareto front\n{table(headings, body)}\n\n{after}"

"""`edgezoo search`: run, resume, rebudget and export studies."""

import argparse
import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hw_model.errors import UnknownNameError
from pipelines.cli.answer import Answer, facts, table
from pipelines.cli.frameworks import load_keras
from pipelines.cli.options import add_cost_service, add_json
from pipelines.cli.study_settings import BUDGET_HELP, add_run, config_of, folder_of

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
    add_run(parsers["run"])
    for name in ("resume", "rebudget", "export"):
        parsers[name].add_argument("study", metavar="STUDY", help="folder of the study")
    _add_trials(parsers["resume"], "trials the study shall have in all (default: as planned)")
    parsers["rebudget"].add_argument("--budget", metavar="B", required=True, help=BUDGET_HELP)
    _add_trials(parsers["rebudget"], "further trials (default: as many as it began with)")
    parsers["rebudget"].add_argument("--sampler", metavar="S", help="another sampler")
    parsers["export"].add_argument(
        "--budget", metavar="B", help=f"{BUDGET_HELP} (default: the study's)"
    )
    parsers["export"].add_argument(
        "--out", metavar="DIR", required=True, help="weights folder to write"
    )
    parsers["export"].add_argument("--name", help="name of the preset (default: STUDY_winner)")
    for name in ("run", "resume", "rebudget"):
        add_cost_service(parsers[name])
    for sub in parsers.values():
        add_json(sub)


def _add_trials(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--trials", metavar="N", type=int, help=text)


def resume_hint(args: argparse.Namespace) -> str:
    """How to go on after Ctrl-C."""
    action = getattr(args, "action", None)
    if action not in ("run", "resume", "rebudget"):
        return ""
    folder = folder_of(args) if action == "run" else args.study
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
    config = config_of(args)
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

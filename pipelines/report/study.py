"""A study as sections: what was found, the Pareto front, the best per budget, and how the search got there."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw_model import estimate
from hw_model.errors import UsageError
from model_zoo.spec import from_data
from pipelines.report.chart import Chart, Dot, Line, Mark, draw, ticks
from pipelines.report.markup import Html, el, join, table
from pipelines.report.page import Section, figures, legend, note
from pipelines.report.training import percent
from pipelines.report.winner import published_twins, winner_sections
from pipelines.search import Budget, Study, Trial, best, front
from pipelines.search.quality.predictor import PredictorQuality
from pipelines.search.quality.proxy import PROXIES
from pipelines.search.ranking import rank_correlation
from pipelines.search.spaces import space_entry
from pipelines.search.wiring import make_problem
from pipelines.tasks import METRIC_WORDS

_UNITS = {"latency_ms": ("latency", "ms"), "energy_mj": ("energy", "mJ")}
#: Strokes on the axis are for an impression; more of them only make the page heavy.
_RUG_LIMIT = 400


def study_sections(study: Study, *, against: Study | None = None) -> list[Section]:
    """Everything a study says; `against` is one of the same task by random sampling.

    Raises:
        UsageError: no trial of the study is within its budget.
    """
    winner = best(study)
    return [
        _overview(study, winner),
        pareto_section(study),
        _per_budget(study),
        _convergence(study, against),
        _trust(study),
        *winner_sections(study, winner),
    ]


def pareto_section(study: Study, *, title: str = "Pareto front") -> Section:
    """Quality against the budgeted quantity, with every trial, the front and the winner."""
    quantity = study.budget.quantity
    words, unit = words_of(quantity)
    on_front = front(study, quantities=(quantity,))
    winner = _best_or_none(study, study.budget)
    keys = {trial.key for trial in on_front}
    dots = [
        _dot(study, trial, quantity, "dot" if _inside(study, trial) else "dot over", 3.5)
        for trial in study.complete
        if trial.key not in keys
    ]
    dots += [
        _dot(study, trial, quantity, "front", 5.0) for trial in on_front if trial is not winner
    ]
    if winner is not None:
        dots.append(_dot(study, winner, quantity, "winner", 7.0))
    points = tuple((study.spent(t, quantity), _shown(study, t)) for t in on_front)
    rejected = rejected_costs(study, quantity)
    published = _published(study, winner, quantity) if winner is not None else ()
    widest = max((dot.x for dot in dots), default=0.0) * 1.25
    chart = Chart(
        x_label=f"{words} of one inference on {study.manifest.config.target}, {unit}",
        y_label=quality_label(study),
        alt=f"quality against {words} of all trials",
        dots=tuple(dots),
        lines=(Line(points=points, steps=True),),
        marks=(
            *(
                Mark(x=phase.budget.limit, label=f"budget {phase.budget}")
                for phase in study.manifest.phases
                if phase.budget.quantity == quantity
            ),
            *published,
        ),
        rug=_thinned([value for value in rejected if value <= widest]),
    )
    entries = [
        ("winner", "best within the budget"),
        ("front", "Pareto front"),
        ("dot", "other trials"),
        ("budget", "budget"),
    ]
    if published:
        entries.append(("published", "cost of published networks; their quality here is not known"))
    if rejected:
        entries.append(
            ("rug", f"{len(rejected):,} over {study.budget} by cost alone, never paid for")
        )
    return Section(
        title=title,
        body=join((legend(entries), draw(chart), _front_table(study, on_front, winner))),
    )


def _published(study: Study, winner: Trial, quantity: str) -> tuple[Mark, ...]:
    """What the published networks of the winner's family cost at this size and width."""
    config = study.manifest.config
    spec = from_data(dict(winner.spec))
    return tuple(
        Mark(
            x=getattr(estimate(other, target=config.target), quantity), label=name, kind="published"
        )
        for name, other in published_twins(spec, width=config.width)
    )


def words_of(quantity: str) -> tuple[str, str]:
    """A cost quantity in words, and its unit."""
    return _UNITS.get(quantity, (quantity.replace("_", " "), ""))


def quality_label(study: Study) -> str:
    """What the quality axis shows."""
    if not in_percent(study):
        return f"quality by {study.manifest.config.quality.kind}"
    metrics = (trial.quality_detail.get("metric") for trial in study.complete)
    return f"{METRIC_WORDS[next(filter(None, metrics), 'top1')]}, %"


def in_percent(study: Study) -> bool:
    """Whether qualities are shares measured on images, or predictions of them."""
    return study.manifest.config.quality.kind in ("train", "predictor")


def rejected_costs(study: Study, quantity: str) -> list[float]:
    """Costs of candidates over the study's budget that never became trials."""
    column = study.quantities.index(quantity)
    limit = study.budget.limit
    found = []
    try:
        lines = study.folder.costs_path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    for line in lines:
        try:
            values = json.loads(line).get("values")
        except ValueError:  # a search that is running may be in the middle of its last line
            continue
        if values and values[column] > limit:
            found.append(float(values[column]))
    return found


def _overview(study: Study, winner: Trial) -> Section:
    config = study.manifest.config
    failed = len(study.trials) - len(study.complete)
    shown: list[tuple[object, object]] = [
        (quality_text(study, winner), f"best within {study.budget}"),
        *(
            (f"{study.spent(winner, name):.3g} {words_of(name)[1]}", f"its {words_of(name)[0]}")
            for name in study.quantities
        ),
        (f"{len(study.trials):,}", f"trials{f', {failed} failed' if failed else ''}"),
    ]
    quality = config.quality
    taught = f", taught by {Path(quality.teacher).name}" if quality.teacher else ""
    source = {
        "train": f"a short training by recipe {quality.recipe} on {quality.data}{taught}",
        "predictor": f"a predictor fitted on the study {quality.source}",
        "proxy": f"the proxy {quality.proxy}, which is no accuracy",
    }[quality.kind]
    size = (
        f"for {config.sequence_length} of {config.vocabulary_size:,} word pieces"
        if space_entry(config.space).reads_text
        else f"at {config.image_size}×{config.image_size}×{config.channels} with {config.num_classes:,} classes"
    )
    text = (
        f"Space {config.space} {size}, target {config.target}, sampler "
        f"{study.manifest.phases[-1].sampler}, seed {config.seed}. Quality is {source}."
    )
    return Section(title="What was found", body=join((figures(shown), el("p", text))))


def _front_table(study: Study, trials: Sequence[Trial], winner: Trial | None) -> Html:
    rows = [
        (
            join((el("code", trial.key), " ← best" if trial is winner else "")),
            quality_text(study, trial),
            *(f"{study.spent(trial, name):.4g}" for name in study.quantities),
            f"{trial.cost.summary.get('macs', 0) / 1e6:,.1f}",
            f"{trial.cost.summary.get('parameters', 0) / 1e6:,.2f}",
        )
        for trial in trials
    ]
    names = [", ".join(words_of(name)) for name in study.quantities]
    shown = table(
        ("architecture", "quality", *names, "MACs, M", "parameters, M"), rows, numeric=range(1, 6)
    )
    return el("details", el("summary", f"The {len(rows)} architectures on the front"), shown)


def _per_budget(study: Study) -> Section:
    """The best trial for each phase's budget and for round budgets between the cheapest and the dearest."""
    quantity = study.budget.quantity
    words, unit = words_of(quantity)
    spent = sorted(study.spent(trial, quantity) for trial in front(study, quantities=(quantity,)))
    limits = {p.budget.limit for p in study.manifest.phases if p.budget.quantity == quantity}
    if len(spent) > 1 and spent[-1] > spent[0]:
        limits |= {value for value in ticks(spent[0], spent[-1], 5) if value > 0}
    rows = []
    for limit in sorted(limits):
        budget = Budget(quantity=quantity, limit=limit)
        trial = _best_or_none(study, budget)
        if trial is not None:
            rows.append(
                (
                    str(budget),
                    quality_text(study, trial),
                    f"{study.spent(trial, quantity):.4g} {unit}",
                    el("code", trial.key),
                )
            )
    body = join(
        (
            note(
                "From the trials there are; ",
                el("code", f"edgezoo search rebudget {study.folder.path} --budget B"),
                " searches on under another.",
            ),
            table(("budget", "best quality", words, "architecture"), rows, numeric=(0, 1, 2)),
        )
    )
    return Section(title="Best per budget", body=body)


def _convergence(study: Study, against: Study | None) -> Section:
    """Best quality so far by trial, within the study's budget."""
    own = _best_so_far(study, study.budget)
    lines = [Line(points=own, steps=True, kind="line", label="this study")]
    entries = [("line", f"this study ({study.manifest.phases[-1].sampler})")]
    if against is not None:
        _check_comparable(study, against)
        other = _best_so_far(against, study.budget)
        lines.append(Line(points=other, steps=True, kind="line3", label="the other study"))
        entries.append(("line3", f"compared with ({against.manifest.phases[-1].sampler})"))
    chart = Chart(
        x_label="trials",
        y_label=quality_label(study),
        alt="best quality so far by number of trials",
        lines=tuple(line for line in lines if line.points),
        whole_x=True,
    )
    remark = note(f"Best quality within {study.budget} after each trial.")
    return Section(
        title="How the search got there", body=join((remark, legend(entries), draw(chart)))
    )


def _check_comparable(study: Study, against: Study) -> None:
    same = (study.manifest.space_id, study.manifest.config.quality.kind, study.quantities)
    other = (against.manifest.space_id, against.manifest.config.quality.kind, against.quantities)
    if same != other:
        raise UsageError(
            f"The studies {study.folder.path} and {against.folder.path} are of another space or quality; "
            f"their curves do not compare. Received: {other[:2]} against {same[:2]}"
        )


def _best_so_far(study: Study, budget: Budget) -> tuple[tuple[float, float], ...]:
    points: list[tuple[float, float]] = []
    top = -math.inf
    for count, trial in enumerate(study.trials, start=1):
        if trial.quality is not None and study.spent(trial, budget.quantity) <= budget.limit:
            top = max(top, _shown(study, trial))
        if top > -math.inf:
            points.append((float(count), top))
    return tuple(points)


def _trust(study: Study) -> Section:
    """How far the quality numbers may be trusted: measured rank correlations."""
    statement = study.folder.read_quality() or {}
    rows = []
    if statement.get("correlation"):
        known = statement["correlation"]
        rows.append(_rank_row(f"{statement['kind']}: {statement['name']}", known))
    trained = [t for t in study.complete if t.quality_kind == "train"]
    for name, proxy in PROXIES.items() if trained else ():
        found = _proxy_correlation(proxy, trained)
        if found is not None:
            rows.append(_rank_row(f"proxy {name}", found))
    fitted = _predictor_correlation(study, trained)
    if fitted is not None:
        rows.append(_rank_row(f"ridge predictor on {len(trained)} of these trials", fitted))
    lead = (
        "1 means that two orders agree, 0 that they have nothing to do with each other."
        if rows
        else "No rank correlation was measured: the order of these qualities is not known to be that of "
        "trained accuracy."
    )
    headings = ("estimate", "Spearman", "Kendall", "architectures", "against")
    shown = table(headings, rows, numeric=(1, 2, 3)) if rows else None
    return Section(title="How far to trust the order", body=join((note(lead), shown)))


def _proxy_correlation(proxy: Any, trials: Sequence[Trial]) -> dict[str, Any] | None:
    try:
        estimates = [proxy(trial.cost.summary) for trial in trials]
    except KeyError:
        return None
    measured = [trial.quality or 0.0 for trial in trials]
    found = rank_correlation(estimates, measured, against="trained quality")
    return None if found is None else found.to_data()


def _predictor_correlation(study: Study, trained: Sequence[Trial]) -> dict[str, Any] | None:
    """How well a predictor ranks trials it was not fitted on; None where there are too few."""
    config = study.manifest.config
    if len(trained) < config.quality.min_trials:
        return None
    problem = make_problem(config)
    if problem.space_id != study.manifest.space_id:
        return None
    try:
        fitted = PredictorQuality(
            trained, problem.cardinalities, min_trials=config.quality.min_trials
        )
    except UsageError:  # all of one quality: nothing to rank
        return None
    return None if fitted.correlation is None else fitted.correlation.to_data()


def _rank_row(name: str, known: dict[str, Any]) -> tuple[object, ...]:
    return (
        name,
        f"{known['spearman']:.2f}",
        f"{known['kendall']:.2f}",
        known["pairs"],
        el("span", known["against"], class_="note"),
    )


def quality_text(study: Study, trial: Trial) -> str:
    """A trial's quality as people read it."""
    if trial.quality is None:
        return "–"
    return percent(trial.quality) if in_percent(study) else f"{trial.quality:.4g}"


def _shown(study: Study, trial: Trial) -> float:
    quality = trial.quality or 0.0
    return 100 * quality if in_percent(study) else quality


def _dot(study: Study, trial: Trial, quantity: str, kind: str, radius: float) -> Dot:
    spent = study.spent(trial, quantity)
    title = f"{trial.key}: {quality_text(study, trial)} at {study.budget.show(spent)}"
    return Dot(x=spent, y=_shown(study, trial), title=title, kind=kind, radius=radius)


def _inside(study: Study, trial: Trial) -> bool:
    return study.spent(trial, study.budget.quantity) <= study.budget.limit


def _best_or_none(study: Study, budget: Budget) -> Trial | None:
    try:
        return best(study, budget)
    except UsageError:
        return None


def _thinned(values: list[float]) -> tuple[float, ...]:
    step = max(1, len(values) // _RUG_LIMIT)
    return tuple(sorted(values)[::step])

"""Finished trials in an Optuna study: written whole, by the driver alone, readable by Optuna's own tools."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from hw_model.errors import DataError, EnvironmentFault, UsageError
from pipelines.search.arrays import JsonObject
from pipelines.search.locate import journal_path, without_password
from pipelines.search.problem import Cost
from pipelines.search.trial import Trial

if TYPE_CHECKING:
    import optuna

    from pipelines.search.journal import Journal

OWNER_ATTR = "study_folder_id"
QUANTITIES_ATTR = "quantities"


class TrialStore:
    """One Optuna study. Values are quality (larger is better) and then each cost quantity."""

    def __init__(self, study: "optuna.Study", backend: "_Backend") -> None:
        self._study = study
        self._backend = backend

    @classmethod
    @contextmanager
    def open(
        cls, url: str, name: str, quantities: tuple[str, ...], *, owner: str, writable: bool
    ) -> "Iterator[TrialStore]":
        """Opens or creates the study `name`, and closes its storage at the end of the block.

        `url` is `journal:///path` or whatever SQLAlchemy takes (`sqlite:///path`, `postgresql://...`).

        Raises:
            UsageError: the study belongs to another study folder.
            DataError: the journal is damaged in the middle.
            EnvironmentFault: the database cannot be reached.
        """
        import optuna

        with _quiet(optuna), _explained(url):
            backend = _Backend(url)
        try:
            with _quiet(optuna), _explained(url), backend.batch():
                study = _open_study(backend.storage, name, quantities, writable=writable)
                found = study.user_attrs.get(OWNER_ATTR)
                begun = found is not None or bool(study.get_trials(deepcopy=False))
                if not begun and writable:
                    study.set_user_attr(OWNER_ATTR, owner)
                    study.set_user_attr(QUANTITIES_ATTR, list(quantities))
                    study.set_metric_names(["quality", *quantities])
            if begun and found != owner:
                raise UsageError(
                    f"Study {name!r} in {without_password(url)} belongs to another study folder; "
                    "choose another name, or resume in the folder it was started in."
                )
            yield cls(study, backend)
        finally:
            backend.close()

    def add(self, trials: Iterable[Trial]) -> None:
        """Appends finished trials; a crash keeps those already written, each whole or not at all.

        Raises:
            EnvironmentFault: the disk is full or the database went away; resuming loses nothing.
        """
        import sqlalchemy.exc
        from optuna.exceptions import OptunaError

        try:
            with self._backend.batch():
                for trial in trials:
                    self._study.add_trial(_frozen(trial))
        except (OSError, OptunaError, sqlalchemy.exc.SQLAlchemyError) as error:
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            raise EnvironmentFault(
                f"Cannot write trials: {reason}. Those written are kept; mend the storage and resume."
            ) from error

    def trials(self) -> list[Trial]:
        """Every finished trial, in the order written."""
        frozen = self._study.get_trials(deepcopy=False)
        return [_read(trial) for trial in frozen if "lineage" in trial.user_attrs]

    def delete(self) -> None:
        """Removes the study from its storage."""
        storage = self._study._storage
        storage.delete_study(self._study._study_id)

    def set_note(self, name: str, value: Any) -> None:
        """A study attribute that Optuna's tools show."""
        self._study.set_user_attr(name, value)


class _Backend:
    """Optuna's storage with what lies beneath it."""

    def __init__(self, url: str) -> None:
        import optuna

        self.journal: Journal | None = None
        self.storage: Any
        self._engine: Any = None
        path = journal_path(url)
        if path is None:
            self.storage = optuna.storages.RDBStorage(url)
            self._engine = self.storage.engine
        else:
            from pipelines.search import journal

            self.journal = journal.Journal(path)
            self.storage = optuna.storages.JournalStorage(self.journal)

    def batch(self) -> AbstractContextManager[None]:
        """Everything written inside goes to a journal in one write; databases have transactions."""
        return nullcontext() if self.journal is None else self.journal.batch()

    def close(self) -> None:
        """Ends database connections."""
        if self._engine is not None:
            self.storage.remove_session()
            self._engine.dispose()


def _open_study(
    storage: Any, name: str, quantities: Sequence[str], *, writable: bool
) -> "optuna.Study":
    import optuna

    sampler = optuna.samplers.RandomSampler()
    with nullcontext() if not writable else suppress(KeyError):
        return optuna.load_study(study_name=name, storage=storage, sampler=sampler)
    return optuna.create_study(
        study_name=name,
        storage=storage,
        directions=[
            optuna.study.StudyDirection.MAXIMIZE,
            *(optuna.study.StudyDirection.MINIMIZE for _ in quantities),
        ],
        sampler=sampler,
    )


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Turns what storages raise into one line that says what to do."""
    import sqlalchemy.exc
    from optuna.exceptions import OptunaError

    where = without_password(url)
    try:
        yield
    except KeyError as error:
        raise UsageError(f"No such study in {where}: {error}") from error
    except ImportError as error:
        raise EnvironmentFault(
            f"Storage {where} needs a package that is missing: {error}"
        ) from error
    except ValueError as error:  # a journal line that is not JSON
        raise DataError(f"The trials in {where} cannot be read: {error}") from error
    except sqlalchemy.exc.ArgumentError as error:
        raise UsageError(
            f"Storage must be journal:///path, sqlite:///path or postgresql://... Received: {where!r}"
        ) from error
    except (OSError, OptunaError, sqlalchemy.exc.SQLAlchemyError) as error:
        text = str(error).splitlines()[0]
        raise EnvironmentFault(f"Cannot open storage {where}: {text}") from error


def _quiet(optuna_module: Any) -> Any:
    """Optuna's notes about experimental parts and new studies are not for our users."""
    import warnings
    from contextlib import ExitStack

    stack = ExitStack()
    stack.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore", optuna_module.exceptions.ExperimentalWarning)
    before = optuna_module.logging.get_verbosity()
    optuna_module.logging.set_verbosity(optuna_module.logging.WARNING)
    stack.callback(optuna_module.logging.set_verbosity, before)
    return stack


def _frozen(trial: Trial) -> "optuna.trial.FrozenTrial":
    import optuna

    attrs: JsonObject = {
        "genotype": list(trial.genotype),
        "key": trial.key,
        "spec": dict(trial.spec),
        "cost": {"values": list(trial.cost.values), **_plain(trial.cost.summary)},
        "quality": {
            "kind": trial.quality_kind,
            "seconds": trial.seconds,
            **_plain(trial.quality_detail),
        },
        "seed": trial.seed,
        "lineage": {
            "phase": trial.phase,
            "generation": trial.generation,
            "position": trial.position,
            "parents": list(trial.parents),
        },
    }
    if trial.failure is not None:
        attrs["failure"] = trial.failure
    complete = optuna.trial.TrialState.COMPLETE
    frozen = optuna.trial.create_trial(
        state=complete if trial.complete else optuna.trial.TrialState.FAIL,
        values=None if trial.quality is None else [trial.quality, *trial.cost.values],
        user_attrs=attrs,
    )
    finished = datetime.now()  # Optuna takes a naive time for local time
    frozen.datetime_complete = finished
    frozen.datetime_start = finished - timedelta(seconds=trial.seconds)
    return frozen


def _plain(values: Mapping[str, Any]) -> JsonObject:
    """NumPy scalars as Python ones."""
    return {
        name: value.item() if hasattr(value, "item") else value for name, value in values.items()
    }


def _read(frozen: "optuna.trial.FrozenTrial") -> Trial:
    attrs = frozen.user_attrs
    cost, quality, lineage = dict(attrs["cost"]), dict(attrs["quality"]), attrs["lineage"]
    values = cost.pop("values")
    return Trial(
        number=frozen.number,
        genotype=tuple(attrs["genotype"]),
        key=attrs["key"],
        cost=Cost(values=tuple(values), summary=cost),
        quality=None if frozen.values is None else frozen.values[0],
        failure=attrs.get("failure"),
        quality_kind=quality.pop("kind"),
        seconds=quality.pop("seconds"),
        quality_detail=quality,
        seed=attrs["seed"],
        phase=lineage["phase"],
        generation=lineage["generation"],
        position=lineage["position"],
        parents=tuple(lineage["parents"]),
        spec=attrs["spec"],
    )

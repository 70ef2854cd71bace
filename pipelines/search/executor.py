"""Where quality is computed: in this process, or in worker processes that may die without ending the study."""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

from hw_model.errors import DataError, EnvironmentFault, SpecError, UsageError
from pipelines.search.problem import Candidate
from pipelines.search.quality.base import Evaluator, Failure, Outcome, Quality

Indexed = tuple[int, Candidate]


class Executor(Protocol):
    """Runs an evaluator over candidates and hands out outcomes as they come, in any order."""

    def run(
        self, evaluator: Evaluator, candidates: Sequence[Candidate], seed: int
    ) -> Iterator[list[tuple[int, Outcome]]]:
        """Lists of (index into `candidates`, outcome); every index exactly once."""

    def close(self) -> None:
        """Ends what it started."""


class LocalExecutor:
    """One call after the other in this process."""

    def run(
        self, evaluator: Evaluator, candidates: Sequence[Candidate], seed: int
    ) -> Iterator[list[tuple[int, Outcome]]]:
        """In order."""
        for chunk in _chunks(candidates, evaluator.batch_limit):
            outcomes = evaluate_safely(evaluator, [candidate for _, candidate in chunk], seed)
            yield [(index, out) for (index, _), out in zip(chunk, outcomes, strict=True)]

    def close(self) -> None:
        """Nothing to end."""


class ProcessExecutor:
    """A pool of worker processes, each with its own copy of the evaluator.

    When a worker dies (out of memory, a crash in native code) the unfinished candidates are run again one
    at a time, so that the one that kills its worker is the only one recorded as failed.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise UsageError(f"workers must be at least 1. Received: {workers}")
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None
        self._evaluator: Evaluator | None = None

    def run(
        self, evaluator: Evaluator, candidates: Sequence[Candidate], seed: int
    ) -> Iterator[list[tuple[int, Outcome]]]:
        """As they finish."""
        # Enough calls to keep every worker busy, each no larger than the evaluator likes.
        share = max(1, math.ceil(len(candidates) / self._workers))
        chunks = _chunks(candidates, min(evaluator.batch_limit, share))
        pending: dict[Future[list[Outcome]], list[Indexed]] = {}
        unfinished: list[Indexed] = []
        for chunk in chunks:
            try:
                pending[self._submit(evaluator, chunk, seed)] = chunk
            except BrokenProcessPool:
                unfinished += chunk
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                chunk = pending.pop(future)
                try:
                    outcomes = future.result()
                except BrokenProcessPool:
                    unfinished += chunk
                    self._pool = None
                else:
                    yield [(i, out) for (i, _), out in zip(chunk, outcomes, strict=True)]
        for indexed in sorted(unfinished):
            yield [self._alone(evaluator, indexed, seed)]

    def close(self) -> None:
        """Ends the workers at once; what they were computing is lost."""
        if self._pool is not None:
            workers = list((self._pool._processes or {}).values())
            self._pool.shutdown(wait=False, cancel_futures=True)
            for worker in workers:
                worker.terminate()
            self._pool = None

    def _submit(
        self, evaluator: Evaluator, chunk: list[Indexed], seed: int
    ) -> Future[list[Outcome]]:
        if self._pool is not None and self._evaluator is not evaluator:
            self.close()
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._workers,
                # A forked TensorFlow deadlocks; a spawned worker starts clean and inherits no lock file.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(evaluator, os.getpid()),
            )
            self._evaluator = evaluator
        return self._pool.submit(_work, [candidate for _, candidate in chunk], seed)

    def _alone(self, evaluator: Evaluator, indexed: Indexed, seed: int) -> tuple[int, Outcome]:
        started = time.perf_counter()
        try:
            return indexed[0], self._submit(evaluator, [indexed], seed).result()[0]
        except BrokenProcessPool:
            self._pool = None
            return indexed[0], Failure(
                reason="the worker process died (out of memory or a crash in native code)",
                seconds=time.perf_counter() - started,
            )


def evaluate_safely(
    evaluator: Evaluator, candidates: Sequence[Candidate], seed: int
) -> list[Outcome]:
    """Outcomes in order; an exception becomes the failure of the candidate that raised it.

    Raises:
        UsageError, DataError, EnvironmentFault: what would fail every candidate alike and is the user's to mend.
    """
    started = time.perf_counter()
    try:
        outcomes = evaluator.evaluate(candidates, seed)
    except SpecError as error:
        return _blame(evaluator, candidates, seed, error, started)
    except (UsageError, DataError, EnvironmentFault):
        raise
    except Exception as error:
        return _blame(evaluator, candidates, seed, error, started)
    if len(outcomes) != len(candidates):
        raise RuntimeError(f"{evaluator.name}: {len(candidates)} asked, {len(outcomes)} answered")
    return [_finite(outcome) for outcome in outcomes]


def _blame(
    evaluator: Evaluator,
    candidates: Sequence[Candidate],
    seed: int,
    error: Exception,
    started: float,
) -> list[Outcome]:
    if len(candidates) > 1:
        return [evaluate_safely(evaluator, [candidate], seed)[0] for candidate in candidates]
    text = " ".join(str(error).split())[:500]
    return [
        Failure(reason=f"{type(error).__name__}: {text}", seconds=time.perf_counter() - started)
    ]


def _finite(outcome: Outcome) -> Outcome:
    if isinstance(outcome, Quality) and not math.isfinite(outcome.value):
        return Failure(reason=f"quality is {outcome.value}", seconds=outcome.seconds)
    return outcome


def _chunks(candidates: Sequence[Candidate], limit: int) -> list[list[Indexed]]:
    indexed = list(enumerate(candidates))
    size = max(1, limit)
    return [indexed[start : start + size] for start in range(0, len(indexed), size)]


# The worker's side. A pool gives its workers no other place to keep what the initializer made.
_worker: list[Evaluator] = []


def _begin(evaluator: Evaluator, driver_pid: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    _worker[:] = [evaluator]
    threading.Thread(target=_leave_with, args=(driver_pid,), daemon=True).start()


def _leave_with(driver_pid: int) -> None:
    """Ends this worker when its driver is gone: a killed driver cannot do so itself."""
    while os.getppid() == driver_pid:
        time.sleep(0.5)
    os._exit(1)


def _work(candidates: list[Candidate], seed: int) -> list[Outcome]:
    try:
        return evaluate_safely(_worker[0], candidates, seed)
    except (UsageError, DataError, EnvironmentFault) as error:
        # Errors with more than a message do not survive the way back to the driver; these do.
        kinds = (UsageError, DataError, EnvironmentFault)
        kind = next(kind for kind in kinds if isinstance(error, kind))
        raise kind(str(error)) from None
